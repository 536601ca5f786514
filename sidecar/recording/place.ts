/** Where sessions are recorded; opened with the first session that is to be, so that nothing is written where none is. */
import type { KeyObject } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { ownRecipient, ownSigner } from './installation-keys.ts'
import { wrongRecipients } from './keys.ts'
import { Recordings, type RecordingsOptions } from './recordings.ts'
import { openStore } from './stores/open-store.ts'
import type { RecordingTarget } from './target.ts'

export interface RecordingPlaceOptions {
  readonly target: RecordingTarget
  /** Who can read: public keys of age. Absent: whoever has the key that is made in the {@link keys}. */
  readonly recipients?: readonly string[] | undefined
  /** Directory of the installation's own keys. */
  readonly keys: string
  readonly clock: Clock
  readonly show: RecordingsOptions['show']
  readonly notice: RecordingsOptions['notice']
  readonly expires: boolean
  /** Told once. */
  readonly onOpened: (place: string, ownKeys: string | undefined) => void
}

export class RecordingPlace implements AsyncDisposable {
  /** Absent as long as no session was to be recorded, or none could be. */
  opened: Recordings | undefined
  readonly #options: RecordingPlaceOptions
  #opening: Promise<Recordings> | undefined

  constructor(options: RecordingPlaceOptions) {
    this.#options = options
  }

  /** Tried again each time until it succeeds. @throws Error in words. */
  open(): Promise<Recordings> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.opened?.[Symbol.asyncDispose]()
  }

  /** What time brings: recordings are kept only for so long. Called every second. */
  tick(): void {
    this.opened?.tick()
  }

  async #open(): Promise<Recordings> {
    const { target, keys, clock, show, notice, expires, onOpened, recipients = [] } = this.#options
    const [wrong] = await wrongRecipients(recipients)
    if (wrong !== undefined) throw new Error(`${wrong} is no public key of age (age1…)`)
    const signer: KeyObject = await ownSigner(keys)
    const readers = recipients.length > 0 ? recipients : [await ownRecipient(keys)]
    const store = await openStore(target)
    this.opened = new Recordings({ store, recipients: readers, signer, clock, show, notice, expires })
    onOpened(store.place, recipients.length > 0 ? undefined : keys)
    return this.opened
  }
}
