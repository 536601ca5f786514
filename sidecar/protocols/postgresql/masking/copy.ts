/**
 * Rewrites the rows of COPY … TO STDOUT. The server sends every row in a message of its own; a message that is not
 * exactly one row is refused.
 */
import type { DetectorKind, FieldMask } from '@firebreak/policy'
import { isSafeEncoding } from '../analysis/settings.ts'
import type { StatementAnalysis } from '../analysis/types.ts'
import type { Catalogue } from '../catalogue/types.ts'
import { type CellMask, cellMask } from './cells.ts'
import { type CopyForm, type CopyOptions, copyForm, formProblem } from './copy-form.ts'
import { inspectionMask } from './inspect.ts'

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
/** Signature and flags, before the length of the extension. */
const signatureLength = 15
const newline = 0x0a

/** What happens to one column. */
interface CopyColumn {
  readonly mask: CellMask
  readonly isMasked: boolean
}

export class CopyMasker {
  readonly #header: boolean
  readonly #columns: readonly (CopyColumn | undefined)[]
  /** Undefined for binary rows. */
  readonly #form: CopyForm | undefined
  #first = true

  /** @param options for which {@link copyProblem} has found none. @param masks aligned with the columns. */
  constructor(
    options: CopyOptions,
    analysis: StatementAnalysis,
    masks: readonly (FieldMask | undefined)[],
    detectors: readonly DetectorKind[],
    key: Uint8Array,
    catalogue: Catalogue,
  ) {
    const binary = options.format === 'binary'
    this.#header = options.header
    this.#form = binary ? undefined : copyForm(options)
    this.#columns = masks.map((mask, index): CopyColumn | undefined => {
      const typeOid = columnType(analysis, index, catalogue)
      if (!mask) {
        const inspect =
          detectors.length > 0
            ? inspectionMask(detectors, typeOid ?? unknownType, binary, catalogue)
            : undefined
        return inspect && { mask: inspect, isMasked: false }
      }
      // COPY doesn't tell types: only a copied column's is known, anything else becomes NULL, which fits every type
      const type = typeOid === undefined ? undefined : { typeOid, typeModifier: -1, binary }
      return { mask: type ? cellMask(mask.strategy, type, key, catalogue) : () => null, isMasked: true }
    })
  }

  /** @param row payload of one CopyData. @returns undefined when it is not one row of the expected form. */
  rewrite(row: Buffer): Buffer | undefined {
    if (!this.#form) return this.#binary(row)
    const isHeader = this.#first && this.#header
    this.#first = false
    return isHeader ? row : this.#written(row, this.#form)
  }

  #written(row: Buffer, form: CopyForm): Buffer | undefined {
    const end = row.length - 1
    if (row[end] !== newline) return undefined
    const fields = form.split(row, end)
    if (fields?.length !== this.#columns.length) return undefined
    const parts: Buffer[] = []
    fields.forEach(([start, stop], index) => {
      if (index > 0) parts.push(row.subarray(start - 1, start))
      const column = this.#columns[index]
      const field = row.subarray(start, stop)
      parts.push(column ? changedField(form, field, column) : field)
    })
    return Buffer.concat([...parts, row.subarray(end)])
  }

  #binary(message: Buffer): Buffer | undefined {
    let position = 0
    if (this.#first) {
      this.#first = false
      if (
        message.length < signatureLength + 4 ||
        !message.subarray(0, signature.length).equals(signature) ||
        message.readInt32BE(signatureLength) !== 0
      )
        return undefined
      position = signatureLength + 4
    }
    if (position === message.length) return message
    if (position + 2 > message.length) return undefined
    const count = message.readInt16BE(position)
    if (count === -1) return message.length === position + 2 ? message : undefined
    if (count !== this.#columns.length) return undefined
    position += 2
    const parts = [message.subarray(0, position)]
    for (const column of this.#columns) {
      if (position + 4 > message.length) return undefined
      const length = message.readInt32BE(position)
      const stop = position + 4 + Math.max(length, 0)
      if (length < -1 || stop > message.length) return undefined
      if (column && length >= 0) parts.push(...encodeBinary(column.mask(message, position + 4, stop)))
      else parts.push(message.subarray(position, stop))
      position = stop
    }
    return position === message.length ? Buffer.concat(parts) : undefined
  }
}

/**
 * @param inspects whether columns without a mask are inspected.
 * @returns why rows can't be masked or inspected with certainty.
 */
export function copyProblem(
  options: CopyOptions,
  analysis: StatementAnalysis,
  masks: readonly (FieldMask | undefined)[],
  inspects: boolean,
  catalogue: Catalogue,
): string | undefined {
  if (options.encoding !== undefined && !isSafeEncoding(options.encoding))
    return `in the encoding ${options.encoding} delimiters can be part of characters`
  const unknown = masks.some((mask, index) => !mask && columnType(analysis, index, catalogue) === undefined)
  if (inspects && options.format === 'binary' && unknown)
    return 'binary COPY does not tell the types of computed columns, so that they cannot be inspected'
  return formProblem(options)
}

function changedField(form: CopyForm, field: Buffer, { mask, isMasked }: CopyColumn): Buffer {
  const value = form.decode(field)
  if (value === undefined) return field
  const masked = mask(value, 0, value.length)
  // what was only looked at stays as it was written
  return !isMasked && masked?.equals(value) ? field : form.encode(masked)
}

function encodeBinary(value: Buffer | null): Buffer[] {
  const length = Buffer.alloc(4)
  length.writeInt32BE(value === null ? -1 : value.length)
  return value === null ? [length] : [length, value]
}

/** `unknown`: inspected as text, which every value of a text format is. */
const unknownType = 705

/** @returns undefined where it can't be told: COPY describes nothing, and computed values have no column. */
function columnType(analysis: StatementAnalysis, index: number, catalogue: Catalogue): number | undefined {
  const field = analysis.shapeUnknown ? undefined : analysis.command.fields[index]
  if (field?.derivation !== 'copy') return undefined
  const types = new Set(
    field.sources.map(
      ({ path, part }) =>
        catalogue.relation(path[0] ?? '', path[1] ?? '')?.columns.find((column) => column.name === part)
          ?.typeOid,
    ),
  )
  const [type] = types
  return types.size === 1 && type !== 0 ? type : undefined
}
