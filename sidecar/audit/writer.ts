/** Writes audit lines so that none is lost: in order, with the sender held up rather than a line dropped. */
import type { SessionTerms } from '@firebreak/policy'
import { lineStart, type Sink } from './sink.ts'
import type { Spool } from './spool.ts'

/** Lines that wait to be written may take this much memory before sessions have to wait. */
const maximumPending = 4 * 1024 * 1024
/** How long a sink that failed is left alone. In milliseconds, as the others. */
const retryAfter = 250
/** A pipe whose reader is slow is not a failure: it is asked again soon. */
const busyAfter = 2
/** Lines are written together: a write per line would cost more than all the rest. */
const flushAfter = 10
const flushBeyond = 64 * 1024
/** How long the end waits for a sink that takes nothing. */
const closeWithin = 3_000

/** What sessions do while the sink fails, as the policy says. */
type WhenFailing = SessionTerms['audit']['onFailure']

export interface AuditWriterEvents {
  /** Told once per failure, not per line: of the sink, and of the spool that was to stand in for it. */
  readonly failed: (error: Error) => void
  /** The sink has all lines again. */
  readonly recovered: () => void
  /** There is room again, and meanwhile there was none for these lines. */
  readonly dropped: (lines: Dropped) => void
}

/** Lines that a sink never gets. */
export interface Dropped {
  readonly count: number
  /** Their numbers in the chain, as first and last of each run of them. */
  readonly lines: readonly (readonly [number, number])[]
}

/** Lines on their way to the sink. */
interface Batch {
  readonly lines: Buffer
  /** Up to where the sink has them. */
  offset: number
  /** Where they still stand, if they come from there. */
  readonly spool: Spool | undefined
}

/** Lines go from pending to a batch to the sink, or from both to the spool and by a batch to the sink. One loop alone moves them. */
export class AuditWriter {
  readonly #sink: Sink
  readonly #spool: Spool | undefined
  readonly #events: AuditWriterEvents
  #pending: string[] = []
  #pendingLength = 0
  #batch: Batch | undefined
  #flushTimer: NodeJS.Timeout | undefined
  #working: Promise<void> | undefined
  /** Until the sink has all lines again. */
  #failing = false
  #spoolFailing = false
  #state: 'open' | 'closing' | 'closed' = 'open'
  #progressedAt = performance.now()
  #dropped: [number, number][] = []
  #waiters: { readonly whenFailing: WhenFailing; readonly resolve: () => void }[] = []
  #wakeUp: () => void = () => {}

  /** @param spool keeps lines while the sink fails; what stands in it from before is written first. */
  constructor(sink: Sink, spool: Spool | undefined, events: AuditWriterEvents) {
    this.#sink = sink
    this.#spool = spool
    this.#events = events
    this.#flush()
  }

  /**
   * Takes one line.
   *
   * @param droppableAs its number in the chain, if it may be dropped where there is no room.
   */
  write(line: string, droppableAs?: number): void {
    if (this.#state === 'closed')
      return this.#events.failed(new Error('a line came after the end of the audit'))
    if (droppableAs !== undefined && this.#pendingLength > maximumPending) return this.#drop(droppableAs)
    this.#pending.push(line)
    this.#pendingLength += line.length
    if (this.#pendingLength > flushBeyond) this.#flush()
    else this.#flushTimer ??= setTimeout(() => this.#flush(), flushAfter)
  }

  /** @returns undefined while more can be taken. */
  ready(whenFailing: WhenFailing): Promise<void> | undefined {
    if (!this.blocks(whenFailing)) return undefined
    return new Promise((resolve) => this.#waiters.push({ whenFailing, resolve }))
  }

  /** Whether no more can be taken now. */
  blocks(whenFailing: WhenFailing): boolean {
    if (this.#state !== 'open') return true
    if (whenFailing === 'drop') return false
    const spools = whenFailing === 'spool' && this.#spool !== undefined && !this.#spoolFailing
    return this.#pendingLength > maximumPending || (this.#failing && !spools)
  }

  /** Says which lines were dropped, if any were since it was last said. */
  tellDropped(): void {
    const lines = this.#dropped
    if (lines.length === 0) return
    this.#dropped = []
    const count = lines.reduce((sum, [first, last]) => sum + last - first + 1, 0)
    this.#events.dropped({ count, lines })
  }

  /** In bytes: what waits in memory and in the spool. */
  get waiting(): number {
    const batch = this.#batch
    const inBatch = batch && !batch.spool ? batch.lines.length - batch.offset : 0
    return this.#pendingLength + inBatch + (this.#spool?.waiting ?? 0)
  }

  /** Writes what is left, to the spool if it has to be. @returns how many lines could not be written. */
  async close(): Promise<number> {
    this.#state = 'closing'
    this.#progressedAt = performance.now()
    this.#flush()
    this.#wakeUp()
    while (this.#working && !this.#hangs()) await Promise.race([this.#working, delay(closeWithin)])
    this.#state = 'closed'
    this.#wakeUp()
    const rest = this.#takeWaiting()
    const lost = rest.length > 0 && !(await this.#append(rest)) ? countLines(rest) : 0
    this.#sink.close()
    this.#spool?.close()
    return lost
  }

  #drop(seq: number): void {
    const last = this.#dropped.at(-1)
    if (last?.[1] === seq - 1) last[1] = seq
    else this.#dropped.push([seq, seq])
  }

  #flush(): void {
    clearTimeout(this.#flushTimer)
    this.#flushTimer = undefined
    if (this.#failing) this.#wakeUp()
    if (this.#hasLines()) this.#working ??= this.#work()
  }

  /** Brings lines to the sink until none are due. There is one to begin with. */
  async #work(): Promise<void> {
    let failed = false
    while (this.#hasDueLines() && this.#state !== 'closed') {
      const closing = this.#state === 'closing'
      if (failed && closing && !this.#sink.drains) break
      if (failed && closing) await delay(retryAfter)
      else if (failed) await this.#keepUntil(performance.now() + retryAfter)
      failed = !(await this.#deliver())
    }
    this.#working = undefined
  }

  #hasLines(): boolean {
    return this.#batch !== undefined || this.#pending.length > 0 || this.#spool?.empty === false
  }

  /** New lines wait for each other, or a busy session would have them written one by one. */
  #hasDueLines(): boolean {
    const gathering = this.#flushTimer !== undefined && this.#pendingLength <= flushBeyond
    return gathering ? this.#batch !== undefined || this.#spool?.empty === false : this.#hasLines()
  }

  /** Brings the next lines to the sink, as far as it takes them. @returns false when it failed. */
  async #deliver(): Promise<boolean> {
    try {
      const batch = this.#batch ?? (await this.#nextBatch())
      this.#batch = batch
      const { lines, offset: before, spool } = batch
      batch.offset = await this.#sink.write(lines, before)
      // what was left at the end has been dealt with
      if (this.#state === 'closed') return true
      spool?.delivered(lineStart(lines, batch.offset) - lineStart(lines, before))
      if (batch.offset === lines.length) this.#batch = undefined
      if (batch.offset === before) await this.#pause(busyAfter)
      else this.#progressed()
      return true
    } catch (error) {
      if (!this.#failing) this.#events.failed(asError(error))
      this.#failing = true
      return false
    }
  }

  async #nextBatch(): Promise<Batch> {
    const spool = this.#spool?.empty === false ? this.#spool : undefined
    return { lines: spool ? await spool.next() : this.#takePending(), offset: 0, spool }
  }

  #progressed(): void {
    this.#progressedAt = performance.now()
    if (this.#failing) {
      if (this.#batch || this.#spool?.empty === false) return
      this.#failing = false
      this.#spoolFailing = false
      this.#events.recovered()
    }
    this.#release()
  }

  /** Keeps lines in the spool, those that come meanwhile too. */
  async #keepUntil(time: number): Promise<void> {
    while (performance.now() < time && this.#state === 'open') {
      await this.#keep()
      await this.#pause(time - performance.now())
    }
  }

  async #keep(): Promise<void> {
    const batch = this.#batch
    // the sink has the first part of a line: the rest has to follow there
    const cut = batch && !batch.spool && lineStart(batch.lines, batch.offset) !== batch.offset
    if (!this.#spool || cut) return
    const lines = this.#takeWaiting()
    if (lines.length === 0) return
    if (await this.#append(lines)) this.#release()
    else this.#putBack(lines)
  }

  async #append(lines: Buffer): Promise<boolean> {
    if (!this.#spool) return false
    try {
      await this.#spool.append(lines)
      this.#spoolFailing = false
      return true
    } catch (error) {
      if (!this.#spoolFailing)
        this.#events.failed(new Error(`${this.#spool.path}: ${asError(error).message}`, { cause: error }))
      this.#spoolFailing = true
      return false
    }
  }

  #takePending(): Buffer {
    const lines = Buffer.from(this.#pending.join(''))
    this.#pending = []
    this.#pendingLength = 0
    return lines
  }

  #putBack(lines: Buffer): void {
    const text = lines.toString()
    this.#pending.unshift(text)
    this.#pendingLength += text.length
  }

  /** All lines that are in memory alone and not wholly in the sink. */
  #takeWaiting(): Buffer {
    const pending = this.#takePending()
    const batch = this.#batch
    if (!batch || batch.spool) return pending
    this.#batch = undefined
    return Buffer.concat([batch.lines.subarray(lineStart(batch.lines, batch.offset)), pending])
  }

  /** Waits, unless there is something to do sooner. */
  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, milliseconds))
      this.#wakeUp = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #hangs(): boolean {
    return performance.now() - this.#progressedAt >= closeWithin
  }

  /** Lets those go on that need not wait any more. */
  #release(): void {
    if (this.#pendingLength <= maximumPending) this.tellDropped()
    const waiters = this.#waiters
    this.#waiters = waiters.filter(({ whenFailing }) => this.blocks(whenFailing))
    for (const { whenFailing, resolve } of waiters) if (!this.blocks(whenFailing)) resolve()
  }
}

function countLines(bytes: Buffer): number {
  let lines = 0
  for (const byte of bytes) if (byte === 0x0a) lines++
  return lines
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref()
  })
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
