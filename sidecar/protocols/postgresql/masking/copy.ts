/**
 * Rewrites the rows of COPY … TO STDOUT. The server sends every row in a message of its own; a message that is not
 * exactly one row is refused. https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9
 */
import type { FieldMask } from '@firebreak/policy'
import type { StatementAnalysis } from '../analysis/types.ts'
import type { Catalogue } from '../catalogue/types.ts'
import { type CellMask, cellMask } from './cells.ts'

type CopyOptions = NonNullable<StatementAnalysis['copy']>

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
const newline = 0x0a
const backslash = 0x5c

export class CopyMasker {
  readonly #options: CopyOptions
  readonly #masks: readonly (CellMask | undefined)[]
  readonly #null: Buffer
  readonly #delimiter: number
  readonly #quote: number
  readonly #escape: number
  #first = true

  constructor(
    options: CopyOptions,
    analysis: StatementAnalysis,
    masks: readonly (FieldMask | undefined)[],
    key: Uint8Array,
    catalogue: Catalogue,
  ) {
    this.#options = options
    this.#null = Buffer.from(options.null)
    this.#delimiter = options.delimiter.charCodeAt(0)
    this.#quote = options.quote.charCodeAt(0)
    this.#escape = options.escape.charCodeAt(0)
    this.#masks = masks.map((mask, index) => {
      const field = analysis.command.fields[index]
      if (!mask) return undefined
      // COPY doesn't tell types: only a copied column's is known, anything else becomes NULL, which fits every type
      const typeOid = field?.derivation === 'copy' ? columnType(field.sources[0], catalogue) : 0
      if (typeOid === 0) return () => null
      return cellMask(
        mask.strategy,
        { typeOid, typeModifier: -1, binary: options.format === 'binary' },
        key,
        catalogue,
      )
    })
  }

  /** @param row payload of one CopyData. @returns undefined when it is not one row of the expected form. */
  rewrite(row: Buffer): Buffer | undefined {
    if (this.#options.format === 'binary') return this.#binary(row)
    const header = this.#first && this.#options.header
    this.#first = false
    if (header) return row
    if (row.at(-1) !== newline) return undefined
    const end = row.at(-2) === 0x0d ? row.length - 2 : row.length - 1
    const fields = this.#options.format === 'csv' ? this.#splitCsv(row, end) : this.#splitText(row, end)
    if (fields?.length !== this.#masks.length) return undefined
    const parts: Buffer[] = []
    fields.forEach(([start, stop], index) => {
      if (index > 0) parts.push(Buffer.from([this.#delimiter]))
      const mask = this.#masks[index]
      parts.push(mask ? this.#maskField(row.subarray(start, stop), mask) : row.subarray(start, stop))
    })
    return Buffer.concat([...parts, row.subarray(end)])
  }

  #maskField(field: Buffer, mask: CellMask): Buffer {
    if (field.equals(this.#null)) return field
    const csv = this.#options.format === 'csv'
    const value = csv ? this.#unquote(field) : unescapeText(field)
    const masked = mask(value, 0, value.length)
    if (masked === null) return this.#null
    return csv ? this.#quoted(masked) : escapeText(masked, this.#delimiter)
  }

  /** Backslashes hide delimiters. */
  #splitText(row: Buffer, end: number): [number, number][] {
    const fields: [number, number][] = []
    let start = 0
    for (let index = 0; index < end; index++) {
      if (row[index] === backslash) index++
      else if (row[index] === this.#delimiter) {
        fields.push([start, index])
        start = index + 1
      }
    }
    return [...fields, [start, end]]
  }

  /** Quotes hide delimiters; a row may hold line breaks inside them. @returns undefined when a quote stays open. */
  #splitCsv(row: Buffer, end: number): [number, number][] | undefined {
    const fields: [number, number][] = []
    let start = 0
    let quoted = false
    for (let index = 0; index < end; index++) {
      const byte = row[index]
      if (
        quoted &&
        byte === this.#escape &&
        (row[index + 1] === this.#quote || row[index + 1] === this.#escape)
      )
        index++
      else if (byte === this.#quote) quoted = !quoted
      else if (!quoted && byte === this.#delimiter) {
        fields.push([start, index])
        start = index + 1
      }
    }
    return quoted ? undefined : [...fields, [start, end]]
  }

  #unquote(field: Buffer): Buffer {
    if (field[0] !== this.#quote) return field
    const value: number[] = []
    for (let index = 1; index < field.length - 1; index++) {
      const next = field[index + 1]
      if (
        field[index] === this.#escape &&
        (next === this.#quote || next === this.#escape) &&
        index + 1 < field.length - 1
      )
        index++
      value.push(field[index] ?? 0)
    }
    return Buffer.from(value)
  }

  #quoted(value: Buffer): Buffer {
    const bytes: number[] = [this.#quote]
    for (const byte of value) {
      if (byte === this.#quote || byte === this.#escape) bytes.push(this.#escape)
      bytes.push(byte)
    }
    return Buffer.from([...bytes, this.#quote])
  }

  #binary(message: Buffer): Buffer | undefined {
    let position = 0
    if (this.#first) {
      this.#first = false
      if (!message.subarray(0, signature.length).equals(signature) || message.length < 19) return undefined
      position = 19 + message.readInt32BE(15)
    }
    const parts = [message.subarray(0, position)]
    if (position === message.length) return message
    const count = message.readInt16BE(position)
    if (count === -1) return message.length === position + 2 ? message : undefined
    if (count !== this.#masks.length) return undefined
    parts.push(message.subarray(position, position + 2))
    position += 2
    for (const mask of this.#masks) {
      if (position + 4 > message.length) return undefined
      const length = message.readInt32BE(position)
      const stop = position + 4 + Math.max(length, 0)
      if (length < -1 || stop > message.length) return undefined
      const masked = mask && length >= 0 ? mask(message, position + 4, stop) : undefined
      parts.push(...(masked === undefined ? [message.subarray(position, stop)] : encodeBinary(masked)))
      position = stop
    }
    return position === message.length ? Buffer.concat(parts) : undefined
  }
}

function encodeBinary(value: Buffer | null): Buffer[] {
  const length = Buffer.alloc(4)
  length.writeInt32BE(value === null ? -1 : value.length)
  return value === null ? [length] : [length, value]
}

function columnType(
  source: { readonly path: readonly string[]; readonly part: string } | undefined,
  catalogue: Catalogue,
): number {
  const relation = source && catalogue.relation(source.path[0] ?? '', source.path[1] ?? '')
  return relation?.columns.find((column) => column.name === source?.part)?.typeOid ?? 0
}

const escapes: ReadonlyMap<number, number> = new Map([
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
  [0x76, 0x0b],
])

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

function escapeText(value: Buffer, delimiter: number): Buffer {
  const bytes: number[] = []
  for (const byte of value) {
    if (byte === backslash || byte === delimiter) bytes.push(backslash, byte)
    else if (byte === 0x0a) bytes.push(backslash, 0x6e)
    else if (byte === 0x0d) bytes.push(backslash, 0x72)
    else bytes.push(byte)
  }
  return Buffer.from(bytes)
}
