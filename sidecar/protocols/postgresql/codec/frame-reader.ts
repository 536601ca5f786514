/**
 * Cuts a byte stream into protocol frames (type byte, length, payload) without copying.
 * https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-MESSAGE-CONCEPTS
 */

export interface FrameRules {
  /** Largest length by type byte, as in the length field; undefined = a type that this side never sends. */
  maximumLength(type: number): number | undefined
  /** Whether an incomplete frame of the type may be handed out in pieces. */
  mayStream(type: number): boolean
}

/**
 * - `frame`: a whole frame stands in `buffer` from `start` to `end`.
 * - `piece`: a part of a large frame that nobody has to see whole; `first` and `last` say which part.
 * - `more`: everything has been read; push the next chunk.
 * - `error`: the bytes are not this protocol; `problem` says why. Nothing more can be read.
 */
export type ReadResult = 'frame' | 'piece' | 'more' | 'error'

const headerLength = 5
/** Largest streamable frame that somebody has to see whole. */
const maximumWhole = 64 * 1024 * 1024

/** Iterates over frames. Its public fields describe the current one, so that a frame costs no allocation. */
export class FrameReader {
  buffer: Buffer = empty
  type = 0
  start = 0
  end = 0
  first = false
  last = false
  problem = ''
  /** Whether frames that may be streamed are. Changes take effect with the next frame. */
  streaming = false

  readonly #rules: FrameRules
  #position = 0
  /** Bytes of a streamed frame still to come. */
  #open = 0
  #waiting: Buffer[] = []
  #waitingLength = 0
  #needed = 0

  constructor(rules: FrameRules) {
    this.#rules = rules
  }

  push(chunk: Buffer): void {
    if (this.#waitingLength > 0) {
      this.#waiting.push(chunk)
      this.#waitingLength += chunk.length
      if (this.#waitingLength < this.#needed) return
      this.buffer = Buffer.concat(this.#waiting, this.#waitingLength)
      this.#waiting = []
      this.#waitingLength = 0
    } else {
      // what was read on while a frame had to wait
      const unread = this.buffer.length - this.#position
      this.buffer = unread > 0 ? Buffer.concat([this.buffer.subarray(this.#position), chunk]) : chunk
    }
    this.#position = 0
  }

  /** Bytes that have been pushed and not been handed out. */
  get unread(): number {
    return this.buffer.length - this.#position
  }

  /** Whether a frame of a type stands among what has not been handed out. */
  hasUnread(type: number): boolean {
    const { buffer } = this
    for (let at = this.#position; at + headerLength <= buffer.length; ) {
      if (buffer[at] === type) return true
      at += 1 + Math.max(4, buffer.readInt32BE(at + 1))
    }
    return false
  }

  next(): ReadResult {
    if (this.problem !== '') return 'error'
    if (this.#waitingLength > 0) return 'more'
    const { buffer } = this
    const position = this.#position
    const available = buffer.length - position
    if (available === 0) return 'more'
    if (this.#open > 0) return this.#piece(position, Math.min(this.#open, available), false)
    if (available < headerLength) return this.#wait(headerLength)
    const type = buffer[position] ?? 0
    const length =
      ((buffer[position + 1] ?? 0) << 24) |
      ((buffer[position + 2] ?? 0) << 16) |
      ((buffer[position + 3] ?? 0) << 8) |
      (buffer[position + 4] ?? 0)
    const maximum = this.#maximumLength(type)
    if (maximum === undefined)
      return this.#fail(`unexpected message type 0x${type.toString(16).padStart(2, '0')}`)
    if (length < 4 || length > maximum)
      return this.#fail(`message ${String.fromCharCode(type)} has an impossible length of ${length}`)
    this.type = type
    const total = length + 1
    if (available >= total) {
      this.start = position
      this.end = this.#position = position + total
      return 'frame'
    }
    if (this.streaming && this.#rules.mayStream(type)) {
      this.#open = total
      return this.#piece(position, available, true)
    }
    return this.#wait(total)
  }

  #maximumLength(type: number): number | undefined {
    const maximum = this.#rules.maximumLength(type)
    return maximum !== undefined && !(this.streaming && this.#rules.mayStream(type))
      ? Math.min(maximum, maximumWhole)
      : maximum
  }

  /** Bytes still to come of a frame whose beginning was handed out: nothing else can be said in between. */
  get rest(): number {
    return this.#open
  }

  /** Makes {@link next} return the current frame again. */
  rewind(): void {
    this.#position = this.start
  }

  #piece(position: number, length: number, first: boolean): ReadResult {
    this.start = position
    this.end = this.#position = position + length
    this.#open -= length
    this.first = first
    this.last = this.#open === 0
    return 'piece'
  }

  #wait(needed: number): ReadResult {
    const rest = this.buffer.subarray(this.#position)
    this.#waiting.push(rest)
    this.#waitingLength = rest.length
    this.#needed = needed
    this.#position = this.buffer.length
    return 'more'
  }

  #fail(problem: string): ReadResult {
    this.problem = problem
    // what came before it is not part of it
    this.start = this.end = this.#position
    return 'error'
  }
}

const empty = Buffer.alloc(0)
