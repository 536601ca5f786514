/** A local file that keeps audit lines while their sink does not take any. */
import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, read } from 'node:fs'
import { openForLines, writeTo } from './sink.ts'

const pieceLength = 1024 * 1024

export class Spool {
  readonly #path: string
  /** Open for appending while it has something in it. */
  #file: number | undefined
  #length = 0
  /** Up to where the sink has it. */
  #replayed = 0

  /** What an earlier process left is still to be replayed. */
  constructor(path: string) {
    this.#path = path
    if (existsSync(path)) this.#open()
  }

  get empty(): boolean {
    return this.#replayed === this.#length
  }

  /** @throws the system's error; part of the bytes may stand in the file then. */
  async append(bytes: Buffer): Promise<void> {
    const file = this.#file ?? this.#open()
    const { size } = fstatSync(file)
    try {
      for (let from = 0; from < bytes.length; ) from += await writeTo(file, bytes, from)
      this.#length = size + bytes.length
    } catch (error) {
      ftruncateSync(file, size)
      throw error
    }
  }

  /** The next lines for the sink. */
  async next(): Promise<Buffer> {
    const file = openSync(this.#path, 'r')
    try {
      const length = Math.min(pieceLength, this.#length - this.#replayed)
      return await readAt(file, this.#replayed, length)
    } finally {
      closeSync(file)
    }
  }

  /** So many bytes of it have reached the sink. */
  replayed(bytes: number): void {
    this.#replayed += bytes
    if (!this.empty || this.#file === undefined) return
    ftruncateSync(this.#file, 0)
    this.#length = 0
    this.#replayed = 0
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  #open(): number {
    const file = openForLines(this.#path)
    this.#file = file
    this.#length = fstatSync(file).size
    return file
  }
}

function readAt(file: number, position: number, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    read(file, Buffer.allocUnsafe(length), 0, length, position, (error, count, buffer) =>
      error ? reject(error) : resolve(buffer.subarray(0, count)),
    )
  })
}
