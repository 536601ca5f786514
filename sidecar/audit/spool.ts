/** A local file that keeps audit lines while their sink does not take any. */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  read,
  readSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { openForLines, writeSome } from './sink.ts'

/** In bytes. */
const pieceLength = 1024 * 1024
const defaultLimit = 256 * 1024 * 1024

export class Spool {
  readonly path: string
  readonly #limit: number
  /** Open while it has something in it. */
  #file: number | undefined
  #length = 0
  /** Up to where the sink has it. */
  #delivered = 0

  /**
   * What an earlier process left is still to be delivered.
   *
   * @param limit of the file, in bytes.
   * @throws the system's error when there is a spool that can't be opened.
   */
  constructor(path: string, limit = defaultLimit) {
    this.path = path
    this.#limit = limit
    if (existsSync(path)) this.#open()
    this.#removeWhenEmpty()
  }

  get empty(): boolean {
    return this.#delivered === this.#length
  }

  /** In bytes: what is still to be delivered. */
  get waiting(): number {
    return this.#length - this.#delivered
  }

  /** Takes the lines as a whole or not at all. @throws the system's error, or that the spool is full. */
  async append(lines: Buffer): Promise<void> {
    const file = this.#file ?? this.#open()
    if (this.#length + lines.length > this.#limit)
      throw new Error(`the spool has reached its limit of ${this.#limit} bytes`)
    try {
      for (let from = 0; from < lines.length; ) from = await writeSome(file, lines, from)
      this.#length += lines.length
    } catch (error) {
      ftruncateSync(file, this.#length)
      this.#removeWhenEmpty()
      throw error
    }
  }

  /** The next lines for the sink, whole ones. @throws the system's error. */
  async next(): Promise<Buffer> {
    for (let length = pieceLength; this.#file !== undefined && !this.empty; length *= 2) {
      const rest = this.#length - this.#delivered
      const piece = await readAt(this.#file, this.#delivered, Math.min(length, rest))
      const end = piece.lastIndexOf('\n') + 1
      if (end > 0) return piece.subarray(0, end)
      if (length < rest) continue
      this.delivered(rest)
      throw new Error(`${this.path} was changed by somebody else; ${rest} bytes of it are gone`)
    }
    return Buffer.alloc(0)
  }

  /** So many more bytes of it have reached the sink. */
  delivered(bytes: number): void {
    this.#delivered += bytes
    this.#removeWhenEmpty()
  }

  /**
   * Passes over what the sink has already: an earlier process may have ended while it delivered.
   *
   * @param lastLines the sink's last lines without their ends, the last one first.
   */
  async passOver(lastLines: readonly Buffer[]): Promise<void> {
    const start = this.#delivered
    let passed = start
    while (!this.empty) {
      const piece = await this.next()
      for (const line of lastLines) {
        const end = endOfLine(piece, line)
        if (end === undefined) continue
        passed = this.#delivered + end
        break
      }
      this.#delivered += piece.length
    }
    this.#delivered = passed
    this.#removeWhenEmpty()
  }

  close(): void {
    if (this.#file === undefined) return
    if (!this.empty && this.#delivered > 0) this.#dropDelivered(this.#file)
    closeSync(this.#file)
    this.#file = undefined
  }

  #open(): number {
    // a link, or a pipe, that somebody put there would take the lines elsewhere
    const file = openForLines(this.path, constants.O_RDWR | constants.O_NOFOLLOW)
    const status = fstatSync(file)
    if (!status.isFile()) {
      closeSync(file)
      throw new Error(`${this.path} is not a file`)
    }
    this.#file = file
    this.#length = status.size
    return file
  }

  /** Leaves the next process what is still to be delivered, and no more. */
  #dropDelivered(file: number): void {
    const path = `${this.path}.new`
    try {
      rmSync(path, { force: true })
      const rest = openSync(path, 'wx', 0o600)
      try {
        const piece = Buffer.allocUnsafe(pieceLength)
        for (let from = this.#delivered; from < this.#length; ) {
          const count = readSync(file, piece, 0, pieceLength, from)
          if (count === 0) throw new Error('the spool has become shorter')
          writeFileSync(rest, piece.subarray(0, count))
          from += count
        }
      } finally {
        closeSync(rest)
      }
      renameSync(path, this.path)
    } catch {
      // no room for it: the next process sees in the sink's last lines where to go on
      rmSync(path, { force: true })
    }
  }

  #removeWhenEmpty(): void {
    if (!this.empty || this.#file === undefined) return
    try {
      ftruncateSync(this.#file, 0)
      this.#length = 0
      this.#delivered = 0
      unlinkSync(this.path)
      this.close()
    } catch {
      // it stays, and what is in it counts as delivered
    }
  }
}

/** @returns where a line ends in whole lines, if it is one of them. */
function endOfLine(lines: Buffer, line: Buffer): number | undefined {
  for (let from = 0; ; ) {
    const start = lines.indexOf(line, from)
    if (start < 0) return undefined
    const end = start + line.length
    if ((start === 0 || lines[start - 1] === newline) && lines[end] === newline) return end + 1
    from = end
  }
}

const newline = 0x0a

function readAt(file: number, position: number, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    read(file, Buffer.allocUnsafe(length), 0, length, position, (error, count, buffer) =>
      error ? reject(error) : resolve(buffer.subarray(0, count)),
    )
  })
}
