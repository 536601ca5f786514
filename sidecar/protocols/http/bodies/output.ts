/** A buffer that grows while masked text is written into it, handed out once per chunk. */
export class Output {
  #bytes = Buffer.allocUnsafe(256)
  #length = 0

  copy(source: Buffer, start: number, end: number): void {
    const length = end - start
    if (length <= 0) return
    this.#reserve(length)
    source.copy(this.#bytes, this.#length, start, end)
    this.#length += length
  }

  write(bytes: Buffer): void {
    this.copy(bytes, 0, bytes.length)
  }

  /** @param expected so many bytes are likely to come next. @returns what has been written, which is the caller's from now on. */
  take(expected = 256): Buffer {
    const taken = this.#bytes.subarray(0, this.#length)
    this.#bytes = Buffer.allocUnsafe(expected)
    this.#length = 0
    return taken
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + bytes))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}
