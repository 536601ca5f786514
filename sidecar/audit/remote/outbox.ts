/** A directory that keeps audit lines until a receiver elsewhere has them. Lines count as written once they are here. */
import {
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  read,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ProcessLock } from '../../approvals/process-lock.ts'
import { type ChainEnd, chainEnd } from '../chain.ts'
import { lastLines, lineStart, openForLines, type Sink, writeSome } from '../sink.ts'

/** In bytes. What is delivered is removed a segment at a time. */
const segmentLength = 2 * 1024 * 1024
/** Lines that are sent together, in bytes; one line may be longer. */
const batchLength = 256 * 1024

/** A file of whole lines. Only the newest one grows. */
interface Segment {
  readonly number: number
  length: number
}

export class Outbox implements Sink {
  /** The last line that an earlier process left. */
  readonly end: ChainEnd | undefined
  readonly drains = true
  readonly #directory: string
  readonly #limit: number
  readonly #lock: ProcessLock
  readonly #segments: Segment[]
  #writing: number | undefined
  #reading: { readonly number: number; readonly file: number } | undefined
  /** How much of the first segment the receiver has. */
  #delivered: number
  #noted: Promise<void> | undefined
  #onLines: () => void = () => {}
  #onTooLong: (line: ChainEnd | undefined) => void = () => {}

  /**
   * @param limit of all that waits, in bytes.
   * @throws the system's error when the directory can't be used, and Error when another process uses it.
   */
  static async open(directory: string, limit: number): Promise<Outbox> {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const lock = ProcessLock.take(directory)
    const numbers = readdirSync(directory)
      .flatMap((name) => /^(\d{12})\.jsonl$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b)
    const outbox = new Outbox(directory, limit, numbers, lock)
    outbox.#startSegment()
    return outbox
  }

  private constructor(directory: string, limit: number, numbers: readonly number[], lock: ProcessLock) {
    this.#lock = lock
    this.#directory = directory
    this.#limit = limit
    this.#segments = numbers.map((number) => ({ number, length: statSync(this.#pathOf(number)).size }))
    const [number, delivered] = this.#readNote()
    this.#delivered = this.#segments[0]?.number === number ? delivered : 0
    this.end = this.#lastEnd()
  }

  /** In bytes: what the receiver has not got yet. */
  get waiting(): number {
    return this.#segments.reduce((sum, { length }) => sum + length, 0) - this.#delivered
  }

  /** @param onLines told when there are new lines to deliver. */
  set onLines(onLines: () => void) {
    this.#onLines = onLines
  }

  /** @param onTooLong told of a line that there never can be room for. */
  set onTooLong(onTooLong: (line: ChainEnd | undefined) => void) {
    this.#onTooLong = onTooLong
  }

  /** Takes as many whole lines as there is room for. One that is longer than all that may wait is passed over. */
  async write(lines: Buffer, from: number): Promise<number> {
    const firstEnd = lines.indexOf('\n', from) + 1
    if (firstEnd - from > this.#limit) {
      this.#onTooLong(chainEnd(lines.subarray(from, firstEnd - 1)))
      return firstEnd
    }
    const to = lineStart(lines, Math.min(lines.length, from + this.#limit - this.waiting))
    if (to <= from)
      throw new Error(`${this.#directory}: the spool has reached its limit of ${this.#limit} bytes`)
    if ((this.#segments.at(-1)?.length ?? 0) >= segmentLength) this.#startSegment()
    const segment = this.#segments.at(-1)
    const file = this.#writing
    if (!segment || file === undefined) throw new Error('the spool is closed')
    try {
      const taken = lines.subarray(0, to)
      for (let position = from; position < to; ) position = await writeSome(file, taken, position)
    } catch (error) {
      ftruncateSync(file, segment.length)
      throw error
    }
    segment.length += to - from
    this.#onLines()
    return to
  }

  /** The next whole lines to deliver, with their ends; empty when there are none. @throws the system's error. */
  async next(): Promise<Buffer> {
    for (;;) {
      const segment = this.#segments[0]
      if (!segment) return Buffer.alloc(0)
      const rest = segment.length - this.#delivered
      for (let length = batchLength; rest > 0; length *= 2) {
        const piece = await this.#read(segment.number, this.#delivered, Math.min(length, rest))
        const end = piece.lastIndexOf('\n') + 1
        if (end > 0) return piece.subarray(0, end)
        // the end of a segment that a killed process left has half a line, which never was one
        if (length >= rest) break
      }
      if (this.#segments.length === 1) return Buffer.alloc(0)
      this.#removeFirst()
    }
  }

  /** The receiver has so many more bytes. A process that is killed now may deliver them again. */
  delivered(bytes: number): void {
    this.#delivered += bytes
    this.#note()
  }

  /** No more lines come; what is there can still be read. */
  close(): void {
    if (this.#writing !== undefined) closeSync(this.#writing)
    this.#writing = undefined
  }

  /** Nothing is read any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    if (this.#reading) closeSync(this.#reading.file)
    this.#reading = undefined
    await this.#noted
    this.#note()
    await this.#noted
    this.#lock[Symbol.dispose]()
  }

  #startSegment(): void {
    const number = (this.#segments.at(-1)?.number ?? 0) + 1
    this.close()
    // a link that somebody put there would take the lines elsewhere
    this.#writing = openForLines(this.#pathOf(number), constants.O_WRONLY | constants.O_NOFOLLOW)
    this.#segments.push({ number, length: 0 })
  }

  /** A segment that is delivered; there is a newer one, which has the end of the chain, or will. */
  #removeFirst(): void {
    const segment = this.#segments.shift()
    if (segment) rmSync(this.#pathOf(segment.number), { force: true })
    this.#delivered = 0
  }

  async #read(number: number, position: number, length: number): Promise<Buffer> {
    if (this.#reading?.number !== number) {
      if (this.#reading) closeSync(this.#reading.file)
      this.#reading = { number, file: openSync(this.#pathOf(number), 'r') }
    }
    const { file } = this.#reading
    return await new Promise((resolve, reject) => {
      read(file, Buffer.allocUnsafe(length), 0, length, position, (error, count, buffer) =>
        error ? reject(error) : resolve(buffer.subarray(0, count)),
      )
    })
  }

  /** Spares the receiver most of what it has already after a restart. */
  #note(): void {
    this.#noted ??= writeFile(this.#notePath, `${this.#segments[0]?.number} ${this.#delivered}\n`, {
      mode: 0o600,
    })
      .catch(() => {
        // no room for it: more is delivered twice
      })
      .finally(() => {
        this.#noted = undefined
      })
  }

  #readNote(): readonly [number, number] {
    if (!existsSync(this.#notePath)) return [0, 0]
    const [, number, delivered] = /^(\d+) (\d+)\n$/.exec(readFileSync(this.#notePath, 'utf8')) ?? []
    return [Number(number ?? 0), Number(delivered ?? 0)]
  }

  #lastEnd(): ChainEnd | undefined {
    for (const { number } of this.#segments.toReversed())
      for (const line of lastLines(this.#pathOf(number))) {
        const end = chainEnd(line)
        if (end) return end
      }
    return undefined
  }

  get #notePath(): string {
    return join(this.#directory, 'delivered')
  }

  #pathOf(number: number): string {
    return join(this.#directory, `${String(number).padStart(12, '0')}.jsonl`)
  }
}
