/** What the server says besides: notices, notifications and settings, without values that are masked. */
import { decodeErrorFields, decodeParameterStatus, type ErrorFields } from '../codec/server-messages.ts'
import { fromServer } from '../codec/types.ts'
import { redactPayload } from '../masking/notification.ts'
import { type Exposure, moreExposed, type ScrubbedMessage, scrub } from '../masking/scrub.ts'
import type { CommandRun } from './run.ts'
import type { ServerVerdict } from './server-side.ts'
import type { Session } from './session.ts'

export class Messages {
  readonly #session: Session
  /** By the earlier commands of the transaction: its deferred checks, and cursors that outlive it, run at its end. */
  #exposedBefore: Exposure = 'nothing'

  constructor(session: Session) {
    this.#session = session
  }

  /** A command has run, or a part of it. */
  ran(run: CommandRun): void {
    this.#exposedBefore = this.#exposure(run)
  }

  transactionEnded(): void {
    this.#exposedBefore = 'nothing'
  }

  /** @returns what the client may hear of an error, when it is not all of it. */
  error(fields: ErrorFields, run: CommandRun | undefined): ScrubbedMessage | undefined {
    return scrub(fromServer.error, fields, this.#exposure(run))
  }

  notice(run: CommandRun | undefined): ServerVerdict {
    const { operations, toClient } = this.#session
    const { buffer, start, end } = toClient.reader
    if (operations.head?.hidden) return 'drop'
    const exposure = this.#exposure(run)
    if (exposure === 'nothing') return 'forward'
    const fields = decodeErrorFields(buffer, start, end)
    if (!fields) return this.#session.broken('an invalid NoticeResponse')
    return this.#instead(scrub(fromServer.notice, fields, exposure)?.bytes)
  }

  /** Other sessions and triggers send what they like: it can't be traced. */
  notification(): ServerVerdict {
    const { guarded, toClient } = this.#session
    const { buffer, start, end } = toClient.reader
    if (!guarded.terms.masks) return 'forward'
    const redacted = redactPayload(buffer, start, end)
    return redacted ? this.#instead(redacted) : this.#session.broken('an invalid NotificationResponse')
  }

  parameterStatus(): ServerVerdict {
    const { buffer, start, end } = this.#session.toClient.reader
    const status = decodeParameterStatus(buffer, start, end)
    if (!status) return this.#session.broken('an invalid ParameterStatus')
    this.#session.state.parameter(status.name, status.value)
    return 'forward'
  }

  /** What a message of the server may quote now. */
  #exposure(run: CommandRun | undefined): Exposure {
    if (run) return moreExposed(run.exposure, this.#exposedBefore)
    // planning can run functions, before there is a command to be charged with it
    return moreExposed(this.#session.guarded.terms.masks ? 'code' : 'nothing', this.#exposedBefore)
  }

  #instead(message: Buffer | undefined): ServerVerdict {
    if (!message) return 'forward'
    this.#session.toClient.send(message)
    return 'drop'
  }
}
