/** A buffer that grows while rows are written into it, handed out once per chunk. */
export class Output {
  #bytes: Buffer
  #length = 0

  constructor(expected: number) {
    this.#bytes = Buffer.allocUnsafe(expected)
  }

  get length(): number {
    return this.#length
  }

  copy(source: Buffer, start: number, end: number): void {
    const length = end - start
    this.#reserve(length)
    const bytes = this.#bytes
    // a call into the runtime costs more than a short loop
    if (length < 48)
      for (let index = 0; index < length; index++) bytes[this.#length + index] = source[start + index] ?? 0
    else source.copy(bytes, this.#length, start, end)
    this.#length += length
  }

  int32(value: number): void {
    this.#reserve(4)
    this.#bytes.writeInt32BE(value, this.#length)
    this.#length += 4
  }

  /** Sets an earlier {@link int32}. */
  setInt32(value: number, position: number): void {
    this.#bytes.writeInt32BE(value, position)
  }

  /** What has been written; the buffer itself, not a copy. */
  take(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + bytes))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}
