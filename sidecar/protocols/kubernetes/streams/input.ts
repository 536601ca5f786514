/** What goes to a program's input: as it comes, or line by line as each is decided. */

/** A part of the input, in order. */
export type InputPart =
  /** Goes to the program as it is. */
  | { readonly kind: 'pass'; readonly bytes: Buffer }
  | {
      readonly kind: 'line'
      readonly bytes: Buffer
      /** Without its end. */
      readonly text: string
      /** Whether the text is what it is, to the byte. */
      readonly isText: boolean
    }
  /** Longer than what is kept. */
  | { readonly kind: 'too-long' }

const maximumLine = 64 * 1024

const interrupt = 0x03
const endOfInput = 0x04
const backspaces = new Set([0x08, 0x7f])
const lineFeed = 0x0a
const carriageReturn = 0x0d

export class Lines {
  readonly #tty: boolean
  #held: number[] = []

  constructor(tty: boolean) {
    this.#tty = tty
  }

  *push(bytes: Buffer): Generator<InputPart> {
    for (const byte of bytes) {
      const part = this.#tty ? this.#type(byte) : this.#take(byte)
      if (part) yield part
      if (this.#held.length > maximumLine) {
        this.#held = []
        yield { kind: 'too-long' }
      }
    }
  }

  /** What came after the last line's end is one as well. */
  *end(): Generator<InputPart> {
    if (this.#held.length > 0) yield this.#line([])
  }

  #take(byte: number): InputPart | undefined {
    if (byte === lineFeed) return this.#line([byte])
    this.#held.push(byte)
    return undefined
  }

  /** What a terminal does with a key, as long as nothing of the line has gone to the program. */
  #type(byte: number): InputPart | undefined {
    if (byte === lineFeed || byte === carriageReturn) return this.#line([byte])
    if (byte === interrupt) {
      this.#held = []
      return { kind: 'pass', bytes: Buffer.of(byte) }
    }
    if (byte === endOfInput && this.#held.length === 0) return { kind: 'pass', bytes: Buffer.of(byte) }
    if (backspaces.has(byte) && this.#held.every(isPlain)) {
      this.#held.pop()
      return undefined
    }
    this.#held.push(byte)
    return undefined
  }

  #line(end: readonly number[]): InputPart {
    const line = Buffer.from(this.#held)
    this.#held = []
    const text = line.toString()
    const isText = Buffer.from(text).equals(line)
    return { kind: 'line', bytes: Buffer.from([...line, ...end]), text, isText }
  }
}

/** A key that stands for itself. */
function isPlain(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f
}
