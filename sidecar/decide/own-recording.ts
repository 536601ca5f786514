/** The recording of a session, from when its terms ask for one. */
import type { SessionEnd } from '../audit/lines.ts'
import type { RecordedSession } from '../recording/recordings.ts'
import type { SessionRecording } from '../recording/session-recording.ts'
import type { Runtime } from '../runtime.ts'
import type { Refusal } from '../session.ts'

/** As far as its recording is concerned. */
export interface SessionToRecord {
  /** As it is now. */
  head(): Omit<RecordedSession, 'protocol'>
  /** What is said of it when it is over. */
  ended(): SessionEnd
  isOver(): boolean
  reference(): string
}

export class OwnRecording {
  readonly #session: SessionToRecord
  readonly #runtime: Runtime
  #recording: SessionRecording | undefined
  #beginning: Promise<Refusal | undefined> | undefined

  constructor(session: SessionToRecord, runtime: Runtime) {
    this.#session = session
    this.#runtime = runtime
  }

  /** Absent where nothing is recorded, now. */
  get recorder(): SessionRecording | undefined {
    return this.#recording?.stopped === false ? this.#recording : undefined
  }

  /** Settled when it is known whether the session can be recorded; undefined once it is. */
  get beginning(): Promise<Refusal | undefined> | undefined {
    return this.#beginning
  }

  /** Begins, if the terms ask for that. @returns why the session may not go on. */
  begin(): Promise<Refusal | undefined> {
    this.#beginning ??= this.#begin().finally(() => {
      this.#beginning = undefined
    })
    return this.#beginning
  }

  /** The terms may ask for a recording now, or for another one. */
  adjust(): void {
    const { terms, onStop } = this.#session.head()
    if (this.#recording) this.#recording.change(terms)
    else if (terms.recording.mode !== 'off')
      void this.begin().then((refusal) => refusal && onStop(refusal.message))
  }

  end(): void {
    if (this.#recording) this.#runtime.recordings?.opened?.end(this.#recording, this.#session.ended())
  }

  async #begin(): Promise<Refusal | undefined> {
    const head = this.#session.head()
    const { mode, onFailure } = head.terms.recording
    if (mode === 'off' || this.#recording) return undefined
    const begun = await this.#runtime.record(head)
    if (begun.ok) {
      this.#recording = begun.value
      // it may have ended meanwhile
      if (this.#session.isOver()) this.end()
      return undefined
    }
    const message = `the session can't be recorded, which policy asks for: ${begun.error}`
    if (onFailure === 'refuse') return { code: 'unavailable', message, reference: this.#session.reference() }
    this.#runtime.audit.notice('recording.lost', {
      session: head.id,
      reason: begun.error,
      consequence: 'continues',
    })
    return undefined
  }
}
