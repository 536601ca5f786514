/** Messages from the server: held against what is expected, masked, counted and passed on. */

import { FrameReader } from '../codec/frame-reader.ts'
import {
  decodeCommandTag,
  decodeCopyResponse,
  decodeDataRow,
  decodeErrorFields,
  decodeParameterStatus,
  decodeRowDescription,
  rowsOfTag,
} from '../codec/server-messages.ts'
import { fromServer, serverRules } from '../codec/types.ts'
import { Output } from '../masking/output.ts'
import { redactPayload } from '../masking/notification.ts'
import { type Exposure, moreExposed, scrub } from '../masking/scrub.ts'
import type { Operation } from './operation.ts'
import { limitReached, unmaskable } from './refusals.ts'
import type { CommandRun } from './run.ts'
import type { Session } from './session.ts'
import type { TransactionStatus } from './state.ts'

/** `forward`: as it is. `drop`: not for the client. `end`: the session is over. */
type Verdict = 'forward' | 'drop' | 'end'

export class ServerSide {
  readonly #session: Session
  readonly #reader = new FrameReader(serverRules)
  #forwardFrom = -1
  /** Rewritten rows of the current chunk. */
  #output: Output | undefined
  /** The gateway has ended the current command: nothing more of it passes. */
  #muted = false
  /** Rows and bytes that have not been counted by the session's limits yet. */
  #rows = 0
  #bytes = 0
  /** A question of the gateway's own could not be answered. */
  #hiddenFailed = false
  /** By the earlier commands of the transaction: its deferred checks, and cursors that outlive it, run at its end. */
  #exposedBefore: Exposure = 'nothing'

  constructor(session: Session) {
    this.#session = session
  }

  receive(chunk: Buffer): void {
    const { client, server } = this.#session
    const reader = this.#reader
    reader.push(chunk)
    client.cork()
    let verdict: Verdict = 'drop'
    while (!this.#session.closed) {
      reader.streaming = !this.#mustSeeRows()
      const result = reader.next()
      if (result === 'more') break
      if (result === 'error') {
        this.#flush(reader.start)
        this.#fail(`the server sent something that is not the PostgreSQL protocol: ${reader.problem}`)
        break
      }
      verdict = result === 'piece' ? this.#piece() : this.#frame()
      if (verdict === 'forward') {
        if (this.#forwardFrom < 0) this.#forwardFrom = reader.start
        if (this.#output) this.#flushOutput()
      } else this.#flush(reader.start)
      if (verdict === 'end') break
    }
    if (verdict === 'forward') this.#flush(reader.end)
    this.#flushOutput()
    client.uncork()
    this.#meter()
    if (client.writableNeedDrain) server.socket.pause()
  }

  #flush(end: number): void {
    if (this.#forwardFrom < 0) return
    const bytes = this.#reader.buffer.subarray(this.#forwardFrom, end)
    this.#forwardFrom = -1
    this.#deliver(bytes)
  }

  #flushOutput(): void {
    const output = this.#output
    this.#output = undefined
    if (output && output.length > 0) this.#deliver(output.take())
  }

  /** To the client, in the order in which it came. */
  #deliver(bytes: Buffer): void {
    this.#bytes += bytes.length
    this.#session.client.write(bytes)
  }

  #instead(message: Buffer): Verdict {
    this.#flush(this.#reader.start)
    this.#flushOutput()
    this.#deliver(message)
    return 'drop'
  }

  get #head(): Operation | undefined {
    return this.#session.operations.head
  }

  #currentRun(operation = this.#head): CommandRun | undefined {
    const run = operation?.runs?.[operation.done ?? 0]
    if (!run?.finished || operation?.kind !== 'execute') return run
    // sent as going on with a command that turned out to be over: what comes now is another one
    const another = run.again()
    operation.runs = [another]
    return another
  }

  #mustSeeRows(): boolean {
    const head = this.#head
    const run = this.#currentRun(head)
    return (
      head?.hidden === true ||
      run?.rowMasker !== undefined ||
      run?.copyMasker !== undefined ||
      (head?.kind === 'execute' && run?.begun === false && this.#watchesResults())
    )
  }

  #fail(message: string): Verdict {
    this.#session.fail('08P01', message)
    return 'end'
  }

  /** Part of a row too large to be seen whole, which nobody has to. */
  #piece(): Verdict {
    if (this.#muted) return 'drop'
    const run = this.#currentRun()
    if (!run) return this.#unexpected()
    if (this.#reader.first) this.#rows++
    run.bytes += this.#reader.end - this.#reader.start
    if (this.#reader.first) run.rows++
    return 'forward'
  }

  #unexpected(): Verdict {
    return this.#fail(`the server sent ${String.fromCharCode(this.#reader.type)} when something else was due`)
  }

  #frame(): Verdict {
    const { type } = this.#reader
    switch (type) {
      case fromServer.dataRow:
        return this.#dataRow()
      case fromServer.parseComplete:
        return this.#completes('parse')
      case fromServer.bindComplete:
        return this.#completes('bind')
      case fromServer.closeComplete:
        return this.#completes('close')
      case fromServer.commandComplete:
        return this.#commandComplete()
      case fromServer.ready:
        return this.#ready()
      case fromServer.rowDescription:
        return this.#rowDescription()
      case fromServer.noData:
        return this.#completes('describe')
      case fromServer.parameterDescription:
        return this.#head?.kind === 'describe' ? this.#shown() : this.#unexpected()
      case fromServer.error:
        return this.#error()
      case fromServer.notice:
        return this.#notice()
      case fromServer.parameterStatus:
        return this.#parameterStatus()
      case fromServer.notification:
        return this.#notification()
      case fromServer.emptyQuery:
        return this.#emptyQuery()
      case fromServer.portalSuspended:
        return this.#portalSuspended()
      case fromServer.copyData:
        return this.#copyData()
      case fromServer.copyIn:
      case fromServer.copyOut:
        return this.#copyBegins(type === fromServer.copyIn)
      case fromServer.copyDone:
        return this.#muted ? 'drop' : 'forward'
      case fromServer.functionResult:
        return this.#head?.kind === 'function' ? 'forward' : this.#unexpected()
      default:
        return this.#unexpected()
    }
  }

  /** Whether the client sees the answer to the head of the line. */
  #shown(): Verdict {
    return this.#head?.hidden || this.#muted ? 'drop' : 'forward'
  }

  #completes(kind: Operation['kind']): Verdict {
    if (this.#head?.kind !== kind) return this.#unexpected()
    const verdict = this.#shown()
    const { change } = this.#head
    this.#done()
    if (change) this.#session.prepared.confirmed(change)
    return verdict
  }

  /** The head of the line has been answered. */
  #done(): void {
    const operation = this.#session.operations.shift()
    if (operation?.hasEffects) this.#session.effectsInFlight--
  }

  #dataRow(): Verdict {
    const { buffer, start, end } = this.#reader
    const head = this.#head
    if (head?.receive) {
      head.receive(decodeDataRow(buffer, start, end)?.[0]?.toString('utf8') ?? '')
      return 'drop'
    }
    if (this.#muted) return 'drop'
    const run = this.#currentRun(head)
    if (!run) return this.#unexpected()
    const problem = this.#beginExecute(head)
    if (problem !== undefined) return this.#withhold(run, problem)
    const { rowsPerCommand } = this.#session.guarded.terms.limits
    if (rowsPerCommand !== undefined && run.rows >= rowsPerCommand) {
      return this.#cut(run, {
        limit: 'rowsPerCommand',
        message: `the limit of ${rowsPerCommand} rows per command is reached`,
      })
    }
    run.rows++
    this.#rows++
    if (!run.rowMasker) {
      run.bytes += end - start
      return 'forward'
    }
    this.#flush(start)
    this.#output ??= new Output(buffer.length + 1024)
    const before = this.#output.length
    if (!run.rowMasker.rewrite(buffer, start, end, this.#output))
      return this.#fail('the server sent a row that is not as it was described')
    run.bytes += this.#output.length - before
    return 'drop'
  }

  #rowDescription(): Verdict {
    const { buffer, start, end } = this.#reader
    const head = this.#head
    if (!head) return this.#unexpected()
    const watched = this.#watchesResults() || head.kind === 'describe'
    const columns = watched ? decodeRowDescription(buffer, start, end) : undefined
    if (watched && !columns) return this.#fail('the server sent an invalid RowDescription')
    if (head.kind === 'describe') {
      const verdict = this.#shown()
      if (head.describes && columns) head.describes.columns = columns
      this.#done()
      return verdict
    }
    const run = this.#currentRun(head)
    if (head.kind !== 'query' || !run) return this.#unexpected()
    if (this.#muted) return 'drop'
    const problem = columns && run.begin(columns, this.#session.state.catalogue)
    return problem === undefined ? 'forward' : this.#withhold(run, problem)
  }

  #watchesResults(): boolean {
    const { terms } = this.#session.guarded
    return terms.masks || terms.detectors.length > 0 || this.#currentRun()?.masks === true
  }

  /** An execute begins to answer: its columns are known from a describe. */
  #beginExecute(head: Operation | undefined): string | undefined {
    const run = this.#currentRun(head)
    if (head?.kind !== 'execute' || !run || run.begun || run.analysis.copy) return undefined
    run.begun = true
    if (!run.analysis.returnsRows || !this.#watchesResults()) return undefined
    const columns = head.portal?.columns
    if (!columns) return run.masks ? 'the columns of the result are not known' : undefined
    return run.begin(columns, this.#session.state.catalogue)
  }

  #copyBegins(isIn: boolean): Verdict {
    const { buffer, start, end } = this.#reader
    const session = this.#session
    const head = this.#head
    const run = this.#currentRun()
    const formats = decodeCopyResponse(buffer, start, end)
    if (!formats || !run || (head?.kind !== 'query' && head?.kind !== 'execute')) return this.#unexpected()
    if (isIn) {
      if (run.analysis.copy?.direction !== 'in')
        return this.#fail('the server asks for data that the analysis did not expect')
      session.copyingIn = true
      // the server ignores a Sync that was sent before it began to copy
      session.operations.dropLeadingSyncs()
      return 'forward'
    }
    const problem = run.beginCopy(formats.columnFormats.length, formats.format === 1, session.state.catalogue)
    return problem === undefined ? 'forward' : this.#withhold(run, problem)
  }

  #copyData(): Verdict {
    const { buffer, start, end } = this.#reader
    if (this.#muted) return 'drop'
    const run = this.#currentRun()
    if (!run) return this.#unexpected()
    run.rows++
    this.#rows++
    const { rowsPerCommand } = this.#session.guarded.terms.limits
    if (rowsPerCommand !== undefined && run.rows > rowsPerCommand + 1) {
      return this.#cut(run, {
        limit: 'rowsPerCommand',
        message: `the limit of ${rowsPerCommand} rows per command is reached`,
      })
    }
    if (!run.copyMasker) {
      run.bytes += end - start
      return 'forward'
    }
    this.#flush(start)
    const row = run.copyMasker.rewrite(buffer.subarray(start + 5, end))
    if (!row) return this.#fail('the server sent a COPY row that is not as it was described')
    this.#output ??= new Output(buffer.length + 1024)
    const header = Buffer.alloc(5)
    header.writeUInt8(fromServer.copyData, 0)
    header.writeInt32BE(row.length + 4, 1)
    this.#output.copy(header, 0, 5)
    this.#output.copy(row, 0, row.length)
    run.bytes += row.length + 5
    return 'drop'
  }

  #commandComplete(): Verdict {
    const { buffer, start, end } = this.#reader
    const head = this.#head
    if (head?.kind !== 'query' && head?.kind !== 'execute') return this.#unexpected()
    if (head.hidden) return this.#completes('execute')
    const run = this.#currentRun(head)
    if (!run) return this.#unexpected()
    const tag = decodeCommandTag(buffer, start, end)
    if (tag === undefined) return this.#fail('the server sent an invalid CommandComplete')
    const verdict = this.#muted ? 'drop' : 'forward'
    if (run.rows === 0) run.rows = rowsOfTag(tag)
    this.#exposedBefore = this.#exposure(run)
    run.finish()
    for (const change of run.changes) this.#session.prepared.confirmed(change)
    this.#runDone(head)
    return verdict
  }

  #runDone(head: Operation): void {
    this.#session.copyingIn = false
    if (head.kind === 'query') head.done = (head.done ?? 0) + 1
    else this.#done()
  }

  #emptyQuery(): Verdict {
    const head = this.#head
    if (head?.kind === 'query') return 'forward'
    return this.#completes('execute')
  }

  #portalSuspended(): Verdict {
    const run = this.#currentRun()
    if (this.#head?.kind !== 'execute' || !run) return this.#unexpected()
    run.stopped()
    this.#exposedBefore = this.#exposure(run)
    return this.#completes('execute')
  }

  #ready(): Verdict {
    const { buffer, start } = this.#reader
    const session = this.#session
    const head = this.#head
    if (head?.kind !== 'query' && head?.kind !== 'sync' && head?.kind !== 'function')
      return this.#unexpected()
    const status = String.fromCharCode(buffer[start + 5] ?? 0)
    if (status !== 'I' && status !== 'T' && status !== 'E')
      return this.#fail('the server sent an unknown transaction status')
    for (const run of head.runs ?? [])
      run.finish({ code: '25P02', message: 'not run, because an earlier command of the same message failed' })
    session.copyingIn = false
    this.#muted = false
    this.#done()
    session.state.ready(status satisfies TransactionStatus)
    if (status === 'I') this.#exposedBefore = 'nothing'
    const verdict = head.hidden ? 'drop' : 'forward'
    if (status === 'I') session.prepared.transactionEnded()
    head.settled?.(this.#hiddenFailed)
    this.#hiddenFailed = false
    session.answered()
    return verdict
  }

  #error(): Verdict {
    const { buffer, start, end } = this.#reader
    const session = this.#session
    const head = this.#head
    const fields = decodeErrorFields(buffer, start, end)
    if (!fields) return this.#fail('the server sent an invalid ErrorResponse')
    if (!head) {
      // the server ends the session by itself: shutdown, timeout, killed
      this.#instead(buffer.subarray(start, end))
      this.#flushOutput()
      session.end()
      return 'end'
    }
    const run = this.#currentRun(head)
    const muted = this.#muted
    const scrubbed = scrub(fromServer.error, fields, this.#exposure(run))
    const answer = head.refusal ?? run?.ended ?? scrubbed?.bytes
    if (run) {
      const { code, message } = scrubbed ?? { code: fields.get('C') ?? '', message: fields.get('M') ?? '' }
      run.error ??= { code, message }
      run.finish()
    }
    session.copyingIn = false
    if (head.hidden) this.#hiddenFailed = true
    this.#failed(head)
    if (head.hidden || muted) return 'drop'
    return answer ? this.#instead(answer) : 'forward'
  }

  /** A query's other commands don't run, and of a pipeline nothing up to its Sync does. */
  #failed(head: Operation): void {
    const session = this.#session
    const { operations } = session
    session.state.doubt()
    if (head.kind === 'sync') return
    if (head.kind !== 'query' && head.kind !== 'function') {
      for (let next: Operation | undefined = head; next && !endsPipeline(next); next = operations.head) {
        for (const run of next.runs ?? [])
          run.finish({ code: '25P02', message: 'not run, because an earlier message of the pipeline failed' })
        this.#done()
      }
      if (operations.head?.kind !== 'sync') session.discarding = session.groupOpen
    }
    session.prepared.failed(operations.changes(head))
  }

  #notice(): Verdict {
    const { buffer, start, end } = this.#reader
    const head = this.#head
    if (head?.hidden) return 'drop'
    const exposure = this.#exposure(this.#currentRun(head))
    if (exposure === 'nothing') return 'forward'
    const fields = decodeErrorFields(buffer, start, end)
    if (!fields) return this.#fail('the server sent an invalid NoticeResponse')
    const scrubbed = scrub(fromServer.notice, fields, exposure)
    return scrubbed ? this.#instead(scrubbed.bytes) : 'forward'
  }

  /** What a message of the server may quote now. */
  #exposure(run: CommandRun | undefined): Exposure {
    return run ? moreExposed(run.exposure, this.#exposedBefore) : this.#exposedBefore
  }

  /** Other sessions and triggers send what they like: it can't be traced. */
  #notification(): Verdict {
    const { buffer, start, end } = this.#reader
    if (!this.#session.guarded.terms.masks) return 'forward'
    const redacted = redactPayload(buffer, start, end)
    return redacted ? this.#instead(redacted) : this.#fail('the server sent an invalid NotificationResponse')
  }

  #parameterStatus(): Verdict {
    const { buffer, start, end } = this.#reader
    const status = decodeParameterStatus(buffer, start, end)
    if (!status) return this.#fail('the server sent an invalid ParameterStatus')
    this.#session.state.parameter(status.name, status.value)
    return 'forward'
  }

  /** Ends a command in the middle of its result. */
  #cut(run: CommandRun, limit: Parameters<typeof limitReached>[0]): Verdict {
    run.error = { code: '54000', message: limit.message }
    return this.#stop(run, limitReached(limit, run.reference))
  }

  #withhold(run: CommandRun, problem: string): Verdict {
    run.error = { code: '42501', message: problem }
    this.#session.state.catalogueInDoubt()
    return this.#stop(run, unmaskable(problem, run.reference))
  }

  /** The client hears an error now; what the server still says of the command is not passed on. */
  #stop(run: CommandRun, message: Buffer): Verdict {
    const session = this.#session
    const head = this.#head
    run.ended = message
    run.rowMasker = undefined
    run.copyMasker = undefined
    session.cancelRunning()
    this.#instead(message)
    this.#muted = true
    if (head?.kind !== 'query') {
      // to the client everything up to its Sync has failed, so nothing of it may have run
      let followers = 0
      for (const operation of session.operations) {
        if (operation.kind === 'sync') break
        if (operation !== head && operation.runs) followers++
      }
      if (followers > 0) return this.#fail('a limit was reached in a pipeline of commands')
      session.discarding = session.groupOpen
    }
    return 'drop'
  }

  #meter(): void {
    if (this.#rows === 0 && this.#bytes === 0) return
    const limit = this.#session.guarded.meter(this.#rows, this.#bytes)
    this.#rows = 0
    this.#bytes = 0
    const run = this.#currentRun()
    if (!limit) return
    if (run && !this.#muted) this.#cut(run, limit)
  }
}

function endsPipeline({ kind }: Operation): boolean {
  return kind === 'sync' || kind === 'query' || kind === 'function'
}
