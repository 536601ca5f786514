/** Value detectors on everything that holds text: also inside JSON, arrays and rows, where text would otherwise slip by. */
import { type DetectorKind, maskDetected } from '@firebreak/policy'
import type { Catalogue } from '../catalogue/types.ts'
import { baseType, type CellMask, isTextual } from './cells.ts'

/** How text is found in a value. */
type Holding = 'text' | 'xml' | 'jsonb' | 'array' | 'row' | 'unreadable'

const json = 114
const xml = 142
const jsonb = 3802
const record = 2249
const recordArray = 2287
const textSearchVector = 3614
/** OIDs below are PostgreSQL's own. */
const firstUserOid = 16_384

/**
 * @returns undefined for a type that holds no text, which needs no look. What can hold text but has a binary format
 * that isn't known becomes NULL.
 */
export function inspectionMask(
  detectors: readonly DetectorKind[],
  typeOid: number,
  binary: boolean,
  catalogue: Catalogue,
): CellMask | undefined {
  const holding = holdsText(typeOid, catalogue)
  if (holding === undefined) return undefined
  if (!binary) return inspectText(detectors, holding === 'xml')
  switch (holding) {
    case 'text':
    case 'xml':
      return inspectText(detectors, holding === 'xml')
    case 'jsonb':
      return inspectJsonb(detectors)
    case 'array':
      return inspectArray(detectors, catalogue)
    case 'row':
      return inspectRow(detectors, catalogue)
    case 'unreadable':
      return () => null
  }
}

function holdsText(typeOid: number, catalogue: Catalogue): Holding | undefined {
  const oid = baseType(typeOid, catalogue)
  if (isTextual(oid, catalogue) || oid === json) return 'text'
  if (oid === xml) return 'xml'
  if (oid === jsonb) return 'jsonb'
  if (oid === record) return 'row'
  if (oid === recordArray) return 'array'
  if (oid === textSearchVector) return 'unreadable'
  const info = catalogue.typeByOid(oid)
  // made in this session a moment ago
  if (!info) return oid < firstUserOid ? undefined : 'unreadable'
  if (info.category === 'A')
    return info.element !== 0 && holdsText(info.element, catalogue) ? 'array' : undefined
  if (info.kind === 'composite') return 'row'
  return oid >= firstUserOid && info.kind === 'base' && !/[NDBTIGV]/.test(info.category)
    ? 'unreadable'
    : undefined
}

/** The text and binary formats of text types are the same bytes. */
function inspectText(detectors: readonly DetectorKind[], isXml: boolean): CellMask {
  return (buffer, start, end) => {
    const text = buffer.toString('utf8', start, end)
    const masked = maskDetected(text, detectors)
    if (masked === text) return buffer.subarray(start, end)
    // the names of what was found would be tags there
    return Buffer.from(isXml ? '<masked/>' : masked)
  }
}

/** A version, then the text. */
function inspectJsonb(detectors: readonly DetectorKind[]): CellMask {
  const inspect = inspectText(detectors, false)
  return (buffer, start, end) => {
    const text = inspect(buffer, start + 1, end)
    return text && Buffer.concat([buffer.subarray(start, start + 1), text])
  }
}

const int32 = 4

/** Dimensions, flags, element type, two numbers for each dimension, then the elements. `array_send` in arrayfuncs.c. */
function inspectArray(detectors: readonly DetectorKind[], catalogue: Catalogue): CellMask {
  return (buffer, start, end) => {
    if (end - start < 3 * int32) return null
    const elements = start + 3 * int32 + buffer.readInt32BE(start) * 2 * int32
    const mask = inspectionMask(detectors, buffer.readUInt32BE(start + 2 * int32), true, catalogue)
    return inspectParts(buffer, start, elements, end, () => ({ length: 0, mask }))
  }
}

/** The number of columns; of each its type and value. `record_send` in rowtypes.c. */
function inspectRow(detectors: readonly DetectorKind[], catalogue: Catalogue): CellMask {
  return (buffer, start, end) =>
    inspectParts(buffer, start, start + int32, end, (position) => ({
      length: int32,
      mask: inspectionMask(detectors, buffer.readUInt32BE(position), true, catalogue),
    }))
}

/**
 * @param from where the parts begin: each is a head, the length of its value, and the value.
 * @param headAt how long the head is, and what becomes of the value.
 */
function inspectParts(
  buffer: Buffer,
  start: number,
  from: number,
  end: number,
  headAt: (position: number) => { readonly length: number; readonly mask: CellMask | undefined },
): Buffer | null {
  if (from < start || from > end) return null
  const parts = [buffer.subarray(start, from)]
  let position = from
  while (position < end) {
    if (position + int32 > end) return null
    const head = headAt(position)
    const valueStart = position + head.length + int32
    if (valueStart > end) return null
    const length = buffer.readInt32BE(position + head.length)
    const valueEnd = valueStart + Math.max(length, 0)
    if (valueEnd > end) return null
    const plain = buffer.subarray(valueStart, valueEnd)
    const value = length < 0 ? null : head.mask ? head.mask(plain, 0, plain.length) : plain
    const size = Buffer.alloc(int32)
    size.writeInt32BE(value === null ? -1 : value.length)
    parts.push(buffer.subarray(position, position + head.length), size)
    if (value !== null) parts.push(value)
    position = valueEnd
  }
  return Buffer.concat(parts)
}
