const none = Buffer.alloc(0)

/** A buffer that grows while what was masked is written into it, handed out once per chunk. */
export class Output {
  #bytes: Buffer
  #length = 0

  /** @param expected bytes that are likely to come. */
  constructor(expected = 0) {
    this.#bytes = expected === 0 ? none : Buffer.allocUnsafe(expected)
  }

  get length(): number {
    return this.#length
  }

  copy(source: Buffer, start: number, end: number): void {
    const length = end - start
    if (length <= 0) return
    this.#reserve(length)
    const bytes = this.#bytes
    // a call into the runtime costs more than a short loop
    if (length < 48)
      for (let index = 0; index < length; index++) bytes[this.#length + index] = source[start + index] ?? 0
    else source.copy(bytes, this.#length, start, end)
    this.#length += length
  }

  write(bytes: Buffer): void {
    this.copy(bytes, 0, bytes.length)
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

  /** @param bytes that are likely to come next, all in all. */
  expect(bytes: number): void {
    if (this.#length === 0 && this.#bytes.length < bytes) this.#bytes = Buffer.allocUnsafe(bytes)
  }

  /** @returns what has been written, which is the caller's from now on. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length)
    this.#bytes = none
    this.#length = 0
    return taken
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(256, this.#bytes.length * 2, this.#length + bytes))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}
