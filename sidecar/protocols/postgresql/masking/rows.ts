/** Rewrites DataRow messages. */
import type { DetectorKind, FieldMask } from '@firebreak/policy'
import type { Output } from '../../output.ts'
import type { Catalogue } from '../catalogue/types.ts'
import type { ResultColumn } from '../codec/server-messages.ts'
import { type CellMask, cellMask } from './cells.ts'
import { inspectionMask } from './inspect.ts'

interface MaskedColumn {
  readonly mask: CellMask
  /** NULL is a value like any other: whether a computed value is NULL may tell what it was computed from. */
  readonly masksNull: boolean
}

export class RowMasker {
  readonly #columns: readonly (MaskedColumn | undefined)[]

  /** @param masks aligned with the columns. @param copies which columns are unchanged values of a source. */
  constructor(
    columns: readonly ResultColumn[],
    masks: readonly (FieldMask | undefined)[],
    copies: readonly boolean[],
    key: Uint8Array,
    detectors: readonly DetectorKind[],
    catalogue: Catalogue,
  ) {
    this.#columns = columns.map((column, index): MaskedColumn | undefined => {
      const mask = masks[index]
      const type = { typeOid: column.typeOid, typeModifier: column.typeModifier, binary: column.format === 1 }
      if (mask) return { mask: cellMask(mask.strategy, type, key, catalogue), masksNull: !copies[index] }
      const inspect =
        detectors.length > 0 ? inspectionMask(detectors, type.typeOid, type.binary, catalogue) : undefined
      return inspect && { mask: inspect, masksNull: false }
    })
  }

  /** @returns false when the row is not what was described; nothing of it may pass then. */
  rewrite(buffer: Buffer, start: number, end: number, output: Output): boolean {
    const columns = this.#columns
    if (end - start < 7 || buffer.readUInt16BE(start + 5) !== columns.length) return false
    const frameStart = output.length
    output.copy(buffer, start, start + 7)
    let position = start + 7
    let unchanged = position
    for (let index = 0; index < columns.length; index++) {
      if (position + 4 > end) return false
      const length =
        ((buffer[position] ?? 0) << 24) |
        ((buffer[position + 1] ?? 0) << 16) |
        ((buffer[position + 2] ?? 0) << 8) |
        (buffer[position + 3] ?? 0)
      const valueStart = position + 4
      const valueEnd = length < 0 ? valueStart : valueStart + length
      if (valueEnd > end || length < -1) return false
      const column = columns[index]
      if (column && (length >= 0 || column.masksNull)) {
        output.copy(buffer, unchanged, position)
        const masked = column.mask(buffer, valueStart, valueEnd)
        output.int32(masked === null ? -1 : masked.length)
        if (masked !== null) output.copy(masked, 0, masked.length)
        unchanged = valueEnd
      }
      position = valueEnd
    }
    output.copy(buffer, unchanged, position)
    output.setInt32(output.length - frameStart - 1, frameStart + 1)
    return position === end
  }
}
