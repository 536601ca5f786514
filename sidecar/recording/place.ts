/** Where sessions are recorded; opened with the first session that is to be, so that nothing is written where none is. */
import type { KeyObject } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { ownRecipient, ownSigner } from './installation-keys.ts'
import { wrongRecipients } from './keys.ts'
import { type Destination, Recordings, type RecordingsOptions } from './recordings.ts'
import { openSinks, openStore } from './stores/open-store.ts'
import { isSamePlace, type RecordingTarget } from './target.ts'
import type { VouchedSigner } from './voucher.ts'

/** The installation's own keys, in a directory. */
interface OwnKeys {
  readonly directory: string
}

/** Where recordings go, for whom and in whose name. */
export interface RecordingAssignment {
  readonly target: RecordingTarget
  /** Who can read: public keys of age. None: whoever has the key that is made in the directory of keys. */
  readonly recipients: readonly string[]
  /** Who can see what masks hid, where policy wants it kept: public keys of age. None: sessions of such policies can't be recorded. */
  readonly unmaskedRecipients: readonly string[]
  readonly signer: OwnKeys | VouchedSigner
}

export interface RecordingPlaceOptions {
  /** Absent: nowhere, until somebody says where. */
  readonly assignment?: RecordingAssignment | undefined
  readonly clock: Clock
  readonly show: RecordingsOptions['show']
  readonly notice: RecordingsOptions['notice']
  /** Whether recordings whose time is over are deleted by this process; otherwise it needs to write only. */
  readonly expires: boolean
  /** Told each time that a place is opened. */
  readonly onOpened: (place: string, ownKeys: string | undefined) => void
}

export class RecordingPlace implements AsyncDisposable {
  /** Absent as long as no session was to be recorded, or none could be. */
  opened: Recordings | undefined
  readonly #options: RecordingPlaceOptions
  #assignment: RecordingAssignment | undefined
  #destination: Destination | undefined
  #opening: Promise<Recordings> | undefined

  constructor(options: RecordingPlaceOptions) {
    this.#options = options
    this.#assignment = options.assignment
  }

  /** For recordings that begin from now on; those that have begun end where they are, by what opens it now. */
  reassign(assignment: RecordingAssignment | undefined): void {
    if (this.#assignment && assignment && isSamePlace(this.#assignment.target, assignment.target))
      this.#destination?.sinks.renew(assignment.target)
    this.#assignment = assignment
    this.#opening = undefined
  }

  /** Tried again each time until it succeeds. @throws Error in words. */
  open(): Promise<Recordings> {
    if (this.#opening) return this.#opening
    const opening = this.#open().catch((error: unknown) => {
      if (this.#opening === opening) this.#opening = undefined
      throw error
    })
    this.#opening = opening
    return opening
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.opened?.[Symbol.asyncDispose]()
  }

  /** What time brings: recordings are kept only for so long. Called every second. */
  tick(): void {
    this.opened?.tick()
  }

  async #open(): Promise<Recordings> {
    const assignment = this.#assignment
    if (!assignment) throw new Error('no place for recordings is configured')
    const { clock, show, notice, expires, onOpened } = this.#options
    const { target, recipients, unmaskedRecipients, signer } = assignment
    const [wrong] = await wrongRecipients([...recipients, ...unmaskedRecipients])
    if (wrong !== undefined) throw new Error(`${wrong} is no public key of age (age1…)`)
    const keys = await keysOf(assignment)
    const shared = keys.recipients.find((recipient) => unmaskedRecipients.includes(recipient))
    if (shared !== undefined)
      throw new Error(`${shared} reads recordings, so it can't be for what masks hide`)
    const store = expires ? await openStore(target) : undefined
    const destination = { sinks: store ?? (await openSinks(target)), ...keys, unmaskedRecipients }
    if (assignment !== this.#assignment) {
      await destination.sinks[Symbol.asyncDispose]()
      return await this.open()
    }
    this.#destination = destination
    if (this.opened) this.opened.redirect(destination)
    else this.opened = new Recordings({ destination, expiring: store, clock, show, notice })
    const own = recipients.length === 0 && 'directory' in signer ? signer.directory : undefined
    onOpened(destination.sinks.place, own)
    return this.opened
  }
}

async function keysOf({
  recipients,
  signer,
}: RecordingAssignment): Promise<Pick<Destination, 'recipients' | 'signer' | 'voucher'>> {
  if ('voucher' in signer) {
    if (recipients.length === 0) throw new Error('nobody is named who can read recordings')
    return { recipients, signer: signer.key, voucher: signer.voucher }
  }
  const key: KeyObject = await ownSigner(signer.directory)
  return {
    recipients: recipients.length > 0 ? recipients : [await ownRecipient(signer.directory)],
    signer: key,
  }
}
