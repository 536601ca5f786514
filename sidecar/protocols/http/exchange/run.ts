/** One request on its way: its decision, what came of it, and its audit line. */
import type { Command, Decision } from '@firebreak/policy'
import type { GuardedSession, Outcome, SessionRecorder } from '../../../session.ts'
import type { ApiKind } from './client.ts'

const whatIsMasked =
  'it depends on what there is already, in which something is masked: the audit line says more'

export class CommandRun {
  readonly session: GuardedSession
  readonly reference: string
  readonly kind: ApiKind
  command: Command
  decision: Decision
  /** Name of the request by which people agreed, or did not. */
  approval: string | undefined
  /** Whether a command is still what they have agreed to. */
  permits: ((commands: readonly Command[]) => boolean) | undefined
  /** What the target was asked about has become part of the command. */
  isDerived = false
  /** As it can turn out to be at most, where the target was not asked about it. */
  worst: Command | undefined
  /** It goes to the API. */
  sent = false
  /** That the API has answered with. */
  status: number | undefined
  /** What the client says that it belongs to. */
  traceParent: string | undefined
  bytes = 0
  maskedFields: readonly string[] = []
  readonly #receivedAt: number
  readonly #decidedAt = performance.now()
  #finished = false

  constructor(
    session: GuardedSession,
    command: Command,
    decision: Decision,
    receivedAt: number,
    kind: ApiKind,
  ) {
    this.session = session
    this.kind = kind
    this.reference = session.reference()
    this.command = command
    this.decision = decision
    this.#receivedAt = receivedAt
    session.recorder?.began({
      reference: this.reference,
      command,
      decision,
      text: undefined,
      parameters: undefined,
    })
  }

  /** A decision as the client may hear of it. What the target has said of an object in which something is masked, it may not. */
  told(decision: Decision): Decision {
    return this.isDerived && decision.touchesMasked ? { ...decision, reason: whatIsMasked } : decision
  }

  /** Bytes that go to the client, as they go. @param unmasked what a mask made them of, where that is recorded. */
  shows(bytes: Buffer, unmasked?: Buffer): void {
    this.#recorder?.response(bytes, unmasked)
  }

  /** Data that the client sent for it. */
  takes(bytes: Buffer): void {
    this.#recorder?.input(bytes)
  }

  /** Something new was asked of what runs: its answer is recorded as that to another command. */
  goesOn(): void {
    this.#recorder?.renew()
  }

  /** Writes the audit line; only the first call counts. */
  finish(error?: Outcome['error']): void {
    if (this.#finished) return
    this.#finished = true
    const recorder = this.#recorder
    this.session.audit({
      reference: this.reference,
      command: this.command,
      decision: this.decision,
      outcome: {
        rows: 0,
        bytes: this.bytes,
        maskedFields: this.maskedFields,
        milliseconds: performance.now() - this.#decidedAt,
        // what people took is in between
        ...(this.approval === undefined && { addedMilliseconds: this.#decidedAt - this.#receivedAt }),
        sent: this.sent,
        status: this.status,
        ...(error && { error }),
      },
      ...(this.approval !== undefined && { approval: this.approval }),
      traceParent: this.traceParent,
    })
    // what was shown up to here is its answer
    recorder?.mark(0, true)
  }

  /** Others may have been answered meanwhile. */
  get #recorder(): SessionRecorder | undefined {
    const { recorder } = this.session
    recorder?.turnTo(this)
    return recorder
  }
}
