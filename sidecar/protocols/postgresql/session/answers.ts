/** What the server answers to what was sent, one after the other: completions, errors and the ends of transactions. */
import {
  decodeCommandTag,
  decodeCopyResponse,
  decodeErrorFields,
  decodeRowDescription,
  rowsOfTag,
} from '../codec/server-messages.ts'
import type { Messages } from './messages.ts'
import type { Operation } from './operation.ts'
import type { Results } from './results.ts'
import type { ServerVerdict } from './server-side.ts'
import type { Session } from './session.ts'

export class Answers {
  readonly #session: Session
  readonly #results: Results
  readonly #messages: Messages
  /** A question of the gateway's own could not be answered. */
  #hiddenFailed = false

  constructor(session: Session, results: Results, messages: Messages) {
    this.#session = session
    this.#results = results
    this.#messages = messages
  }

  get #head(): Operation | undefined {
    return this.#session.operations.head
  }

  /** The head of the line is answered by its success. */
  completes(kind: Operation['kind']): ServerVerdict {
    const head = this.#head
    if (head?.kind !== kind) return this.#session.unexpected()
    const verdict = this.#shown(head)
    this.#session.answered()
    if (head.change) this.#session.prepared.confirmed(head.change)
    return verdict
  }

  /** Whether the client sees the answer. */
  #shown(head: Operation): ServerVerdict {
    return head.hidden || this.#results.muted ? 'drop' : 'forward'
  }

  parameterDescription(): ServerVerdict {
    const head = this.#head
    return head?.kind === 'describe' ? this.#shown(head) : this.#session.unexpected()
  }

  /** The columns of what a Describe was about. */
  described(): ServerVerdict {
    const { buffer, start, end } = this.#session.toClient.reader
    const columns = decodeRowDescription(buffer, start, end)
    if (!columns) return this.#session.broken('an invalid RowDescription')
    if (this.#head?.describes) this.#head.describes.columns = columns
    return this.completes('describe')
  }

  commandComplete(): ServerVerdict {
    const session = this.#session
    const { buffer, start, end } = session.toClient.reader
    const head = this.#head
    if (head?.kind !== 'query' && head?.kind !== 'execute') return session.unexpected()
    if (head.hidden) return this.completes('execute')
    const run = this.#results.currentRun(head)
    if (!run) return session.unexpected()
    const tag = decodeCommandTag(buffer, start, end)
    if (tag === undefined) return session.broken('an invalid CommandComplete')
    const verdict = this.#shown(head)
    if (verdict === 'forward' && (run.rows === 0 || run.analysis.copy)) run.rows = rowsOfTag(tag)
    this.#messages.ran(run)
    run.finish()
    for (const change of run.changes) session.prepared.confirmed(change)
    session.copyingIn = false
    if (head.kind === 'query') head.done = (head.done ?? 0) + 1
    else session.answered()
    return verdict
  }

  /** To a Query it is not the last answer. */
  emptyQuery(): ServerVerdict {
    return this.#head?.kind === 'query' ? 'forward' : this.completes('execute')
  }

  portalSuspended(): ServerVerdict {
    const run = this.#results.currentRun()
    if (this.#head?.kind !== 'execute' || !run) return this.#session.unexpected()
    run.stopped()
    this.#messages.ran(run)
    return this.completes('execute')
  }

  copyIn(): ServerVerdict {
    const session = this.#session
    const { buffer, start, end } = session.toClient.reader
    const head = this.#head
    const run = this.#results.currentRun(head)
    if (
      !decodeCopyResponse(buffer, start, end) ||
      !run ||
      (head?.kind !== 'query' && head?.kind !== 'execute')
    )
      return session.unexpected()
    if (run.analysis.copy?.direction !== 'in')
      return session.fail('08P01', 'the server asks for data that the analysis did not expect')
    run.begun = true
    session.copyingIn = true
    return 'forward'
  }

  functionResult(): ServerVerdict {
    return this.#head?.kind === 'function' ? 'forward' : this.#session.unexpected()
  }

  ready(): ServerVerdict {
    const session = this.#session
    const { buffer, start } = session.toClient.reader
    const head = this.#head
    if (head?.kind !== 'query' && head?.kind !== 'sync' && head?.kind !== 'function')
      return session.unexpected()
    const status = String.fromCharCode(buffer[start + 5] ?? 0)
    if (status !== 'I' && status !== 'T' && status !== 'E')
      return session.broken('an unknown transaction status')
    if (head.runs)
      for (const run of head.runs)
        run.finish({
          code: '25P02',
          message: 'not run, because an earlier command of the same message failed',
        })
    session.copyingIn = false
    this.#results.muted = false
    session.answered()
    session.state.ready(status)
    if (status === 'I') {
      session.prepared.transactionEnded()
      this.#messages.transactionEnded()
    }
    head.settled?.(this.#hiddenFailed)
    this.#hiddenFailed = false
    return head.hidden ? 'drop' : 'forward'
  }

  error(): ServerVerdict {
    const session = this.#session
    const { buffer, start, end } = session.toClient.reader
    const head = this.#head
    const fields = decodeErrorFields(buffer, start, end)
    if (!fields) return session.broken('an invalid ErrorResponse')
    if (!head) {
      // the server ends the session by itself: shutdown, timeout, killed
      this.#results.instead(buffer.subarray(start, end))
      return session.end()
    }
    const run = this.#results.currentRun(head)
    const { muted } = this.#results
    const scrubbed = this.#messages.error(fields, run)
    if (run) {
      const { code, message } = scrubbed ?? { code: fields.get('C') ?? '', message: fields.get('M') ?? '' }
      run.error ??= { code, message }
      run.finish()
    }
    session.copyingIn = false
    if (head.hidden) this.#hiddenFailed = true
    this.#failed(head)
    if (head.hidden || muted) return 'drop'
    const answer = head.refusal ?? run?.ended ?? scrubbed?.bytes
    return answer ? this.#results.instead(answer) : 'forward'
  }

  /** A query's other commands don't run, and of a pipeline nothing up to its Sync does, whatever it is. */
  #failed(head: Operation): void {
    const session = this.#session
    const { operations } = session
    session.state.doubt()
    if (head.kind === 'sync') return
    if (head.kind !== 'query' && head.kind !== 'function') {
      for (let next: Operation | undefined = head; next && next.kind !== 'sync'; next = operations.head) {
        for (const run of next.runs ?? [])
          run.finish({ code: '25P02', message: 'not run, because an earlier message of the pipeline failed' })
        session.answered()
      }
      session.discarding = operations.length === 0
    }
    session.prepared.failed(operations.changes(head))
  }
}
