/**
 * Reads fields of one message. A read past the end makes the cursor fail for good instead of throwing, and
 * {@link finished} tells whether the message was exactly what was read: every length inside a frame has to agree
 * with the frame, or a message could be smuggled in another.
 */
export class Cursor {
  readonly #buffer: Buffer
  readonly #end: number
  #position: number
  #failed = false

  constructor(buffer: Buffer, start: number, end: number) {
    this.#buffer = buffer
    this.#position = start
    this.#end = end
  }

  get finished(): boolean {
    return !this.#failed && this.#position === this.#end
  }

  get failed(): boolean {
    return this.#failed
  }

  byte(): number {
    return this.#take(1) ? this.#buffer.readUInt8(this.#position - 1) : 0
  }

  int16(): number {
    return this.#take(2) ? this.#buffer.readUInt16BE(this.#position - 2) : 0
  }

  int32(): number {
    return this.#take(4) ? this.#buffer.readInt32BE(this.#position - 4) : 0
  }

  /** Up to and without its terminating NUL. */
  string(): string {
    const terminator = this.#buffer.indexOf(0, this.#position)
    if (this.#failed || terminator < 0 || terminator >= this.#end) {
      this.#failed = true
      return ''
    }
    const text = this.#buffer.toString('utf8', this.#position, terminator)
    this.#position = terminator + 1
    return text
  }

  /** A view, not a copy. */
  bytes(length: number): Buffer {
    return length >= 0 && this.#take(length)
      ? this.#buffer.subarray(this.#position - length, this.#position)
      : empty
  }

  rest(): Buffer {
    return this.bytes(this.#end - this.#position)
  }

  #take(length: number): boolean {
    if (this.#failed || length > this.#end - this.#position) {
      this.#failed = true
      return false
    }
    this.#position += length
    return true
  }
}

const empty = Buffer.alloc(0)
