/**
 * JSON read from bytes as they come, by the grammar of RFC 8259 and nothing beside it: what one reader takes and another
 * doesn't (comments, NaN, single quotes, trailing commas) has no one meaning, and so is refused. Text has to be checked
 * to be UTF-8 before.
 */
import { isScalar } from './scalar.ts'

/** Hears of a document's tokens. Positions are those of the current chunk, unless said otherwise. */
export interface JsonSink {
  open(isObject: boolean, at: number): void
  close(isObject: boolean, at: number): void
  /** @param bytes hold the token from `start` to `end`, quotes and all: the chunk, or another buffer where the token began in an earlier one. @param after where it ends in the chunk. */
  key(bytes: Buffer, start: number, end: number, after: number): void
  string(bytes: Buffer, start: number, end: number, after: number): void
  scalar(bytes: Buffer, start: number, end: number, after: number): void
  /**
   * A string that is too long to be held; from now on its bytes only pass.
   *
   * @param bytes hold its beginning, at least {@link longStringBeginning} bytes.
   * @param after where in the chunk the rest of it begins: `start` itself, where the bytes are the chunk.
   */
  longString(bytes: Buffer, start: number, end: number, after: number): void
  longStringEnd(after: number): void
}

export interface JsonShape {
  /** Whether there may be one value after the other. */
  readonly sequence: boolean
  readonly maximumStringBytes: number
}

const maximumDepth = 512
const maximumKeyBytes = 64 * 1024
/** The longest double needs 24 characters; some write more digits of what they count. */
const maximumScalarBytes = 4 * 1024

/** What is looked at of a string that is too long, however it comes cut. */
export const longStringBeginning = 64

/** What may come next. */
type Expected = 'value' | 'value or ]' | 'key or }' | 'key' | ':' | ', or ]' | ', or }' | 'nothing'
type Token = 'none' | 'key' | 'string' | 'long string' | 'scalar'

/** In a string: nothing special, behind a backslash, or so many hexadecimal digits to go. */
const plain = 0
const escaped = 5

export class JsonReader {
  readonly #sink: JsonSink
  readonly #shape: JsonShape
  readonly #isObject = new Uint8Array(maximumDepth)
  #depth = 0
  #expected: Expected = 'value'
  #values = 0
  #token: Token = 'none'
  #stringState = plain
  #held = Buffer.allocUnsafe(256)
  #heldLength = 0

  constructor(sink: JsonSink, shape: JsonShape) {
    this.#sink = sink
    this.#shape = shape
  }

  /** Where the bytes of the current chunk begin that no token was told of, since theirs goes on. */
  heldFrom = 0

  /** @returns why this is no JSON, in words. */
  read(chunk: Buffer): string | undefined {
    let at = 0
    if (this.#token !== 'none') {
      const next = this.#token === 'scalar' ? this.#scalar(chunk, 0) : this.#string(chunk, 0, 0)
      if (typeof next === 'string') return next
      at = next
    }
    while (at < chunk.length) {
      const next = this.#step(chunk, at)
      if (typeof next === 'string') return next
      at = next
    }
    if (this.#token === 'none' || this.#token === 'long string') this.heldFrom = chunk.length
    return undefined
  }

  /** @returns why the document may not end here, in words. */
  end(): string | undefined {
    if (this.#token === 'scalar') {
      const problem = this.#scalarEnd(this.#held, 0, this.#heldLength, 0)
      if (problem !== undefined) return problem
    }
    if (this.#token !== 'none' || this.#depth > 0) return 'the JSON ends in its middle'
    return this.#values === 0 && !this.#shape.sequence ? 'there is no JSON' : undefined
  }

  /** @returns where to go on, or what is wrong. */
  #step(chunk: Buffer, at: number): number | string {
    const byte = chunk[at] ?? 0
    switch (byte) {
      case 0x20:
      case 0x0a:
      case 0x0d:
      case 0x09:
        return at + 1
      case 0x22:
        return this.#stringStart(chunk, at)
      case 0x2c:
        if (this.#expected === ', or }') this.#expected = 'key'
        else if (this.#expected === ', or ]') this.#expected = 'value'
        else return this.#unexpected(byte)
        return at + 1
      case 0x3a:
        if (this.#expected !== ':') return this.#unexpected(byte)
        this.#expected = 'value'
        return at + 1
      case 0x7b:
      case 0x5b:
        return this.#open(byte === 0x7b, at)
      case 0x7d:
        return this.#expected === ', or }' || this.#expected === 'key or }'
          ? this.#close(true, at)
          : this.#unexpected(byte)
      case 0x5d:
        return this.#expected === ', or ]' || this.#expected === 'value or ]'
          ? this.#close(false, at)
          : this.#unexpected(byte)
      default: {
        if (!this.#takesValue()) return this.#unexpected(byte)
        this.#token = 'scalar'
        return this.#scalar(chunk, at)
      }
    }
  }

  #open(isObject: boolean, at: number): number | string {
    if (!this.#takesValue()) return this.#unexpected(isObject ? 0x7b : 0x5b)
    if (this.#depth === maximumDepth) return 'the JSON is nested too deeply'
    this.#isObject[this.#depth++] = isObject ? 1 : 0
    this.#expected = isObject ? 'key or }' : 'value or ]'
    this.#sink.open(isObject, at)
    return at + 1
  }

  #close(isObject: boolean, at: number): number {
    this.#depth--
    this.#sink.close(isObject, at)
    this.#valueDone()
    return at + 1
  }

  #takesValue(): boolean {
    return this.#expected === 'value' || this.#expected === 'value or ]'
  }

  #valueDone(): void {
    if (this.#depth > 0) this.#expected = this.#isObject[this.#depth - 1] === 1 ? ', or }' : ', or ]'
    else {
      this.#values++
      this.#expected = this.#shape.sequence ? 'value' : 'nothing'
    }
  }

  #stringStart(chunk: Buffer, at: number): number | string {
    if (this.#takesValue()) this.#token = 'string'
    else if (this.#expected === 'key' || this.#expected === 'key or }') this.#token = 'key'
    else return this.#unexpected(0x22)
    return this.#string(chunk, at, at + 1)
  }

  /** @param start of the token in this chunk, 0 for one that began earlier. @param from where to look for its end. */
  #string(chunk: Buffer, start: number, from: number): number | string {
    const end = this.#stringEnd(chunk, from)
    if (typeof end === 'string') return end
    const length = this.#heldLength + (end < 0 ? chunk.length : end) - start
    if (this.#token === 'key' && length > maximumKeyBytes) return 'a key in the JSON is too long'
    if (this.#token === 'string' && length > this.#shape.maximumStringBytes) {
      const after = end < 0 ? chunk.length : end
      if (this.#heldLength > 0) {
        const more = Math.min(after, longStringBeginning)
        this.#append(chunk, 0, more)
        this.#sink.longString(this.#held, 0, this.#heldLength, more)
      } else this.#sink.longString(chunk, start, after, start)
      this.#heldLength = 0
      this.#token = 'long string'
    }
    if (end < 0) {
      if (this.#token !== 'long string') this.#hold(chunk, start)
      return chunk.length
    }
    this.#tokenDone(chunk, start, end)
    return end
  }

  #tokenDone(chunk: Buffer, start: number, end: number): void {
    const token = this.#token
    this.#token = 'none'
    if (token === 'long string') {
      this.#sink.longStringEnd(end)
      this.#valueDone()
      return
    }
    const isWhole = this.#heldLength === 0
    if (!isWhole) this.#append(chunk, 0, end)
    const bytes = isWhole ? chunk : this.#held
    const first = isWhole ? start : 0
    const last = isWhole ? end : this.#heldLength
    this.#heldLength = 0
    if (token === 'key') {
      this.#sink.key(bytes, first, last, end)
      this.#expected = ':'
    } else {
      this.#sink.string(bytes, first, last, end)
      this.#valueDone()
    }
  }

  /** @returns where the string ends, behind its quote; -1 where it goes on in the next chunk; or what is wrong. */
  #stringEnd(chunk: Buffer, from: number): number | string {
    let at = from
    const { length } = chunk
    let state = this.#stringState
    for (; at < length; at++) {
      const byte = chunk[at] ?? 0
      if (state === plain) {
        if (byte > 0x22 && byte !== 0x5c) continue
        if (byte === 0x22) {
          this.#stringState = plain
          return at + 1
        }
        if (byte === 0x5c) state = escaped
        else if (byte < 0x20) return 'a string in the JSON has a control character'
      } else if (state === escaped) {
        if (byte === 0x75) state = 4
        else if (isEscape(byte)) state = plain
        else return 'a string in the JSON has an escape that means nothing'
      } else {
        if (!isHexDigit(byte)) return 'a string in the JSON has an escape that means nothing'
        state--
      }
    }
    this.#stringState = state
    return -1
  }

  #scalar(chunk: Buffer, start: number): number | string {
    let end = start
    while (end < chunk.length && belongsToScalar(chunk[end] ?? 0)) end++
    if (this.#heldLength + end - start > maximumScalarBytes) return 'a number in the JSON is too long'
    if (end === chunk.length) {
      this.#hold(chunk, start)
      return end
    }
    const isWhole = this.#heldLength === 0
    if (!isWhole) this.#append(chunk, 0, end)
    const bytes = isWhole ? chunk : this.#held
    return this.#scalarEnd(bytes, isWhole ? start : 0, isWhole ? end : this.#heldLength, end) ?? end
  }

  #scalarEnd(bytes: Buffer, start: number, end: number, after: number): string | undefined {
    if (!isScalar(bytes, start, end)) return this.#unexpected(bytes[start] ?? 0)
    this.#token = 'none'
    this.#heldLength = 0
    this.#sink.scalar(bytes, start, end, after)
    this.#valueDone()
    return undefined
  }

  #hold(chunk: Buffer, start: number): void {
    this.heldFrom = start
    this.#append(chunk, start, chunk.length)
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const length = this.#heldLength + end - start
    if (length > this.#held.length) {
      const larger = Buffer.allocUnsafe(length * 2)
      this.#held.copy(larger, 0, 0, this.#heldLength)
      this.#held = larger
    }
    chunk.copy(this.#held, this.#heldLength, start, end)
    this.#heldLength = length
  }

  #unexpected(byte: number): string {
    const shown = byte > 0x20 && byte < 0x7f ? `“${String.fromCharCode(byte)}”` : 'another character'
    return `this is no JSON: ${shown} where ${this.#expected} has to come`
  }
}

/** One of "\/bfnrt. */
function isEscape(byte: number): boolean {
  switch (byte) {
    case 0x22:
    case 0x5c:
    case 0x2f:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return true
    default:
      return false
  }
}

function isHexDigit(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66)
}

/** Letters, digits, and the signs of numbers. */
function belongsToScalar(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    byte === 0x2b ||
    byte === 0x2d ||
    byte === 0x2e
  )
}
