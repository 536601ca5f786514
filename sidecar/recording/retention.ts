/** Deletes recordings whose time is over, and those that somebody wants deleted; none that is held. Makes one piece of those in many. */
import type { Notices } from '../audit/lines.ts'
import type { Clock } from '../clock.ts'
import { decodeHeader, type RecordingHeader } from './header.ts'
import type { RecordingStore, StoredRecording } from './store.ts'
import { walk } from './walk.ts'

/** In milliseconds: whoever writes a recording may be about to make one piece of it. */
const settledAfter = 60_000

/** What stays of a deleted recording, in the audit trail. */
export type Tombstone = Notices['recording.deleted']

export class Retention {
  readonly #store: RecordingStore
  readonly #clock: Clock
  readonly #onDeleted: (tombstone: Tombstone) => void
  /** Looked at once: a header doesn't change. */
  readonly #keepSeconds = new Map<string, number>()
  /** When those were changed that had no end when they were looked at. */
  readonly #unended = new Map<string, number>()

  constructor(store: RecordingStore, clock: Clock, onDeleted: (tombstone: Tombstone) => void) {
    this.#store = store
    this.#clock = clock
    this.#onDeleted = onDeleted
  }

  /**
   * One round.
   *
   * @param isLive whether it is being written here.
   * @param signal ends it after the recording that it is at.
   * @throws Error in words, when the place can't be looked at.
   */
  async run(isLive: (id: string) => boolean, signal?: AbortSignal): Promise<void> {
    const there = new Set<string>()
    for await (const recording of this.#store.list()) {
      if (signal?.aborted) return
      there.add(recording.id)
      if (isLive(recording.id) || recording.hold !== undefined) continue
      const reason = recording.deletion ?? (await this.#overdue(recording))
      if (reason !== undefined) await this.#delete(recording, reason)
      else if (recording.inPieces) await this.#join(recording)
    }
    for (const known of [this.#keepSeconds, this.#unended])
      for (const id of known.keys()) if (!there.has(id)) known.delete(id)
  }

  /** @returns why it is not kept any longer. What can't be read is kept until somebody wants it deleted. */
  async #overdue({ id, changedAt }: StoredRecording): Promise<string | undefined> {
    let keepSeconds = this.#keepSeconds.get(id)
    if (keepSeconds === undefined) {
      keepSeconds = (await this.#header(id))?.keepSeconds ?? Number.POSITIVE_INFINITY
      this.#keepSeconds.set(id, keepSeconds)
    }
    return this.#clock.wall() >= changedAt.getTime() + keepSeconds * 1_000
      ? `it was kept for ${keepSeconds} s, as policy says`
      : undefined
  }

  /** A writer that may only write leaves a recording in as many objects as it has blocks. */
  async #join({ id, changedAt }: StoredRecording): Promise<void> {
    const changed = changedAt.getTime()
    if (this.#unended.get(id) === changed || this.#clock.wall() - changed < settledAfter) return
    // where it fails they are read as one all the same, and it is tried again
    const joined = await this.#store.join?.(id).catch(() => undefined)
    if (joined === false) this.#unended.set(id, changed)
    else this.#unended.delete(id)
  }

  async #delete({ id, bytes }: StoredRecording, reason: string): Promise<void> {
    const header = await this.#header(id)
    await this.#store.delete(id)
    this.#onDeleted({
      session: id,
      bytes,
      reason,
      ...(header && {
        startedAt: header.startedAt,
        identity: header.identity,
        resource: header.resource,
        role: header.role,
      }),
    })
  }

  /** As it was signed: whoever may only write may have added to the recording, and must not have it deleted. */
  async #header(id: string): Promise<RecordingHeader | undefined> {
    await using source = await this.#store.open(id)
    if (!source) return undefined
    const { value: first } = await walk(source).next()
    const header = first?.kind === 'block' ? decodeHeader(first.body) : undefined
    return typeof header === 'string' ? undefined : header
  }
}
