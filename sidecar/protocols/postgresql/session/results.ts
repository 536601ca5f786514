/** What commands return: rows and COPY data, masked, counted, and cut where a limit is reached. */
import type { LimitReached } from '../../../session.ts'
import { Output } from '../../output.ts'
import { decodeCopyResponse, decodeDataRow, decodeRowDescription } from '../codec/server-messages.ts'
import { fromServer } from '../codec/types.ts'
import type { Operation } from './operation.ts'
import { limitReached, unmaskable } from './refusals.ts'
import type { CommandRun } from './run.ts'
import type { ServerVerdict } from './server-side.ts'
import type { Session } from './session.ts'

/** What is left of a row when a limit is reached may still pass, so that the client can be told; not if it is that long. */
const longRow = 1024 * 1024

/** Rows are recorded as they came up to so many bytes at a time: all of them are, or none. */
const unmaskedTogether = 16 * 1024

export class Results {
  /** The gateway has ended the current command: nothing more of it passes. */
  muted = false
  readonly #session: Session
  /** Rewritten rows of the current chunk. */
  #output: Output | undefined
  /** The same rows as they came, where they are recorded. */
  #unmasked: Output | undefined
  /** Rows that have not been counted by the session's limits yet. */
  #rows = 0
  /** A limit that was broken in the middle of a row. */
  #broken: LimitReached | undefined

  constructor(session: Session) {
    this.#session = session
  }

  get #head(): Operation | undefined {
    return this.#session.operations.head
  }

  /** The command that the server answers now. */
  currentRun(operation = this.#head): CommandRun | undefined {
    const run = operation?.runs?.[operation.done ?? 0]
    if (!run?.finished || operation?.kind !== 'execute') return run
    // sent as going on with a command that turned out to be over: what comes now is another one
    const another = run.again()
    operation.runs = [another]
    return another
  }

  /** Whether values are needed for themselves, so that large rows can't be passed in pieces. */
  mustSeeRows(): boolean {
    const head = this.#head
    if (!head) return false
    const run = this.currentRun(head)
    return (
      head.hidden === true ||
      run?.rowMasker !== undefined ||
      run?.copyMasker !== undefined ||
      (head.kind === 'execute' && run?.begun === false && this.watched(run))
    )
  }

  /** Whether the columns of results matter. */
  watched(run = this.currentRun()): boolean {
    const { terms } = this.#session.guarded
    return terms.masks || terms.detectors.length > 0 || run?.masks === true
  }

  /** Masked rows go out before what follows them. */
  flushRows(): void {
    const output = this.#output
    if (!output) return
    const unmasked = this.#unmasked?.take()
    this.#output = undefined
    this.#unmasked = undefined
    if (output.length > 0) this.#session.toClient.send(output.take(), unmasked)
  }

  /** Part of a row too large to be seen whole, which nobody has to. */
  piece(): ServerVerdict {
    if (this.muted) return 'drop'
    const run = this.currentRun()
    if (!run) return this.#session.unexpected()
    const { first, start, end, rest } = this.#session.toClient.reader
    if (first) {
      const limit = this.#limitOf(run, end - start + rest)
      if (limit) return this.#cut(run, limit)
      this.#count(run)
    }
    run.bytes += end - start
    return 'forward'
  }

  #count(run: CommandRun): void {
    run.rows++
    this.#rows++
  }

  /** @returns the limit that the command would break with a row of that many bytes. */
  #limitOf(run: CommandRun, bytes: number): LimitReached | undefined {
    if (this.#broken) return this.#broken
    const { rowsPerCommand, bytesPerCommand } = this.#session.guarded.terms.limits
    if (rowsPerCommand !== undefined && run.rows >= rowsPerCommand + run.extraRows)
      return {
        limit: 'rowsPerCommand',
        message: `the limit of ${rowsPerCommand} rows per command is reached`,
      }
    if (bytesPerCommand !== undefined && run.bytes + bytes > bytesPerCommand)
      return {
        limit: 'bytesPerCommand',
        message: `the limit of ${bytesPerCommand} bytes per command is reached`,
      }
    return undefined
  }

  rowDescription(): ServerVerdict {
    const session = this.#session
    const head = this.#head
    const run = this.currentRun(head)
    if (head?.kind !== 'query' || !run) return session.unexpected()
    if (this.muted) return 'drop'
    if (!this.watched(run)) return 'forward'
    const { buffer, start, end } = session.toClient.reader
    const columns = decodeRowDescription(buffer, start, end)
    if (!columns) return session.broken('an invalid RowDescription')
    const problem = run.begin(columns, session.state.catalogue)
    return problem === undefined ? 'forward' : this.#withhold(run, problem)
  }

  dataRow(): ServerVerdict {
    const session = this.#session
    const { buffer, start, end } = session.toClient.reader
    const head = this.#head
    if (head?.receive) {
      head.receive(decodeDataRow(buffer, start, end)?.[0]?.toString('utf8') ?? '')
      return 'drop'
    }
    if (this.muted) return 'drop'
    const run = this.currentRun(head)
    if (!run) return session.unexpected()
    const problem = head?.kind === 'execute' && !run.begun ? this.#beginExecute(head, run) : undefined
    if (problem !== undefined) return this.#withhold(run, problem)
    const limit = this.#limitOf(run, end - start)
    if (limit) return this.#cut(run, limit)
    this.#count(run)
    if (!run.rowMasker) {
      run.bytes += end - start
      return 'forward'
    }
    const output = this.#rewritten()
    const before = output.length
    if (!run.rowMasker.rewrite(buffer, start, end, output))
      return session.broken('a row that is not as it was described')
    run.bytes += output.length - before
    return 'drop'
  }

  /** Where the current row is to be written. */
  #rewritten(): Output {
    const { toClient } = this.#session
    const { buffer, start, end } = toClient.reader
    if ((this.#unmasked?.length ?? 0) >= unmaskedTogether) this.flushRows()
    toClient.skip()
    if (!this.#output) {
      this.#output = new Output(buffer.length + 1024)
      if (toClient.recorder?.keepsUnmasked) this.#unmasked = new Output(buffer.length)
    }
    this.#unmasked?.copy(buffer, start, end)
    return this.#output
  }

  /** An execute begins to answer: its columns are known from a describe. */
  #beginExecute(head: Operation, run: CommandRun): string | undefined {
    if (run.analysis.copy) return undefined
    run.begun = true
    if (!run.analysis.returnsRows || !this.watched(run)) return undefined
    const columns = head.portal?.columns
    if (!columns) return run.masks ? 'the columns of the result are not known' : undefined
    return run.begin(columns, this.#session.state.catalogue)
  }

  copyOut(): ServerVerdict {
    const session = this.#session
    const { buffer, start, end } = session.toClient.reader
    const head = this.#head
    const run = this.currentRun(head)
    const formats = decodeCopyResponse(buffer, start, end)
    if (!formats || !run || (head?.kind !== 'query' && head?.kind !== 'execute')) return session.unexpected()
    const binary = formats.format === 1
    const problem = run.beginCopy(formats.columnFormats.length, binary, session.state.catalogue)
    return problem === undefined ? 'forward' : this.#withhold(run, problem)
  }

  copyData(): ServerVerdict {
    const session = this.#session
    const { buffer, start, end } = session.toClient.reader
    if (this.muted) return 'drop'
    const run = this.currentRun()
    if (!run) return session.unexpected()
    const limit = this.#limitOf(run, end - start)
    if (limit) return this.#cut(run, limit)
    this.#count(run)
    if (!run.copyMasker) {
      run.bytes += end - start
      return 'forward'
    }
    const row = run.copyMasker.rewrite(buffer.subarray(start + 5, end))
    if (!row) return session.broken('a COPY row that is not as it was described')
    const header = Buffer.alloc(5)
    header.writeUInt8(fromServer.copyData, 0)
    header.writeInt32BE(row.length + 4, 1)
    const output = this.#rewritten()
    output.copy(header, 0, 5)
    output.copy(row, 0, row.length)
    run.bytes += row.length + 5
    return 'drop'
  }

  /** Counts what has passed since the last time; a limit that is broken ends the command, after the open row. */
  meter(): void {
    const { guarded, toClient } = this.#session
    if (this.#rows === 0 && toClient.bytes === 0) return
    const limit = guarded.meter(this.#rows, toClient.bytes)
    this.#rows = 0
    toClient.bytes = 0
    const run = limit && this.currentRun()
    if (!run || this.muted) return
    const { rest } = toClient.reader
    if (rest === 0) {
      this.#cut(run, limit)
      toClient.write()
    } else if (rest > longRow) {
      run.error = { code: '54000', message: limit.message }
      this.#session.end()
    } else this.#broken = limit
  }

  /** Ends a command in the middle of its result. */
  #cut(run: CommandRun, limit: LimitReached): ServerVerdict {
    run.error = { code: '54000', message: limit.message }
    return this.#stop(run, limitReached(limit, run.reference))
  }

  #withhold(run: CommandRun, problem: string): ServerVerdict {
    run.error = { code: '42501', message: problem }
    this.#session.state.catalogueInDoubt()
    return this.#stop(run, unmaskable(problem, run.reference))
  }

  /** The client hears an error now; what the server still says of the command is not passed on. */
  #stop(run: CommandRun, message: Buffer): ServerVerdict {
    const session = this.#session
    const head = this.#head
    run.ended = message
    run.rowMasker = undefined
    run.copyMasker = undefined
    this.#broken = undefined
    session.cancelRunning()
    this.instead(message)
    this.muted = true
    if (head && head.kind !== 'query') {
      // to the client everything up to its Sync has failed, so nothing of it may have run
      if (session.operations.pipelineRunsMore(head))
        return session.fail('08P01', 'a limit was reached in a pipeline of commands')
      session.discarding = session.groupOpen
    }
    return 'drop'
  }

  /** Something of the gateway's own in place of the current message. */
  instead(message: Buffer): ServerVerdict {
    this.flushRows()
    this.#session.toClient.send(message)
    return 'drop'
  }
}
