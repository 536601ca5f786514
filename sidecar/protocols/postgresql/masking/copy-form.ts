/**
 * How COPY … TO STDOUT writes rows as text or CSV.
 * https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9
 */
import type { StatementAnalysis } from '../analysis/types.ts'

export type CopyOptions = NonNullable<StatementAnalysis['copy']>

/** The bytes of one field of a row. */
export type Span = readonly [start: number, end: number]

/** The form of a row without its line end. */
export interface CopyForm {
  readonly delimiter: number
  /** @returns undefined when the row is not one of this form. */
  split(row: Buffer, end: number): readonly Span[] | undefined
  /** @returns undefined for NULL, where no value is written like it. */
  decode(field: Buffer): Buffer | undefined
  encode(value: Buffer | null): Buffer
}

const backslash = 0x5c

export function copyForm(options: CopyOptions): CopyForm {
  return options.format === 'csv' ? new CsvForm(options) : new TextForm(options)
}

/** @returns why rows of this form can't be taken apart with certainty. */
export function formProblem(options: CopyOptions): string | undefined {
  const { format, delimiter, null: marker } = options
  if (format === 'binary') return undefined
  for (const option of format === 'csv' ? [delimiter, options.quote, options.escape] : [delimiter])
    if (option.length !== 1 || option.charCodeAt(0) > 0x7f)
      return 'COPY marks its fields by something that is not one ASCII character'
  // it would hide the delimiter that follows
  return format === 'text' && endsInEscape(marker) ? 'the NULL marker of COPY ends in a backslash' : undefined
}

function endsInEscape(text: string): boolean {
  let count = 0
  while (count < text.length && text.charAt(text.length - 1 - count) === '\\') count++
  return count % 2 === 1
}

/** Fields between delimiters; backslashes hide delimiters and control characters. */
class TextForm implements CopyForm {
  readonly delimiter: number
  readonly #null: Buffer
  /** A value that is the NULL marker by chance is written like NULL, unless the marker is something that no value is written as. */
  readonly #showsNull: boolean

  constructor(options: CopyOptions) {
    this.delimiter = options.delimiter.charCodeAt(0)
    this.#null = Buffer.from(options.null)
    this.#showsNull =
      this.#null[0] === backslash && this.#null[1] !== backslash && !escapes.has(this.#null[1] ?? backslash)
  }

  split(row: Buffer, end: number): readonly Span[] {
    const fields: Span[] = []
    let start = 0
    for (let index = 0; index < end; index++) {
      if (row[index] === backslash) index++
      else if (row[index] === this.delimiter) {
        fields.push([start, index])
        start = index + 1
      }
    }
    fields.push([start, end])
    return fields
  }

  decode(field: Buffer): Buffer | undefined {
    return this.#showsNull && field.equals(this.#null) ? undefined : unescapeText(field)
  }

  encode(value: Buffer | null): Buffer {
    if (value === null) return this.#null
    if (!this.#needsEscapes(value)) return value
    const bytes: number[] = []
    for (const byte of value) {
      const letter = letters.get(byte)
      if (letter !== undefined) bytes.push(backslash, letter)
      else if (byte === backslash || byte === this.delimiter) bytes.push(backslash, byte)
      else bytes.push(byte)
    }
    return Buffer.from(bytes)
  }

  #needsEscapes(value: Buffer): boolean {
    for (let index = 0; index < value.length; index++) {
      const byte = value[index] ?? 0
      if (byte < 0x0e || byte === backslash || byte === this.delimiter) return true
    }
    return false
  }
}

const letters: ReadonlyMap<number, number> = new Map([
  [0x08, 0x62],
  [0x0c, 0x66],
  [0x0a, 0x6e],
  [0x0d, 0x72],
  [0x09, 0x74],
  [0x0b, 0x76],
])

const escapes: ReadonlyMap<number, number> = new Map([...letters].map(([byte, letter]) => [letter, byte]))

function unescapeText(field: Buffer): Buffer {
  if (!field.includes(backslash)) return field
  const bytes: number[] = []
  for (let index = 0; index < field.length; index++) {
    const byte = field[index] ?? 0
    if (byte !== backslash) bytes.push(byte)
    else {
      const next = field[++index] ?? backslash
      bytes.push(escapes.get(next) ?? next)
    }
  }
  return Buffer.from(bytes)
}

/** Fields between delimiters; quotes hide delimiters and line ends. A value that is the NULL marker by chance is quoted. */
class CsvForm implements CopyForm {
  readonly delimiter: number
  readonly #null: Buffer
  readonly #quote: number
  readonly #escape: number

  constructor(options: CopyOptions) {
    this.delimiter = options.delimiter.charCodeAt(0)
    this.#null = Buffer.from(options.null)
    this.#quote = options.quote.charCodeAt(0)
    this.#escape = options.escape.charCodeAt(0)
  }

  split(row: Buffer, end: number): readonly Span[] | undefined {
    const fields: Span[] = []
    let start = 0
    let quoted = false
    for (let index = 0; index < end; index++) {
      const byte = row[index]
      if (quoted && this.#isEscaped(row, index)) index++
      else if (byte === this.#quote) quoted = !quoted
      else if (!quoted && byte === this.delimiter) {
        fields.push([start, index])
        start = index + 1
      }
    }
    fields.push([start, end])
    return quoted ? undefined : fields
  }

  decode(field: Buffer): Buffer | undefined {
    if (field.equals(this.#null)) return undefined
    if (field[0] !== this.#quote) return field
    const value: number[] = []
    for (let index = 1; index < field.length - 1; index++) {
      if (index + 1 < field.length - 1 && this.#isEscaped(field, index)) index++
      value.push(field[index] ?? 0)
    }
    return Buffer.from(value)
  }

  /** Always quoted: whether a value needed its quotes would tell something of it. */
  encode(value: Buffer | null): Buffer {
    if (value === null) return this.#null
    const bytes: number[] = [this.#quote]
    for (const byte of value) {
      if (byte === this.#quote || byte === this.#escape) bytes.push(this.#escape)
      bytes.push(byte)
    }
    bytes.push(this.#quote)
    return Buffer.from(bytes)
  }

  #isEscaped(bytes: Buffer, index: number): boolean {
    const next = bytes[index + 1]
    return bytes[index] === this.#escape && (next === this.#quote || next === this.#escape)
  }
}
