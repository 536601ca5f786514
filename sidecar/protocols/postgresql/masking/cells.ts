/**
 * How one masked value looks, by its type and format. The result is always a valid value of the type, so that clients
 * read it as they would read the true one.
 */
import { createHmac } from 'node:crypto'
import { applyMask, type MaskStrategy } from '@firebreak/policy'
import type { Catalogue } from '../catalogue/types.ts'

/** @returns null for SQL NULL. */
export type CellMask = (buffer: Buffer, start: number, end: number) => Buffer | null

export interface CellType {
  readonly typeOid: number
  /** Of varchar and char: the length plus 4; otherwise -1. */
  readonly typeModifier: number
  readonly binary: boolean
}

/** text, varchar, char, name, "char", unknown */
const textual = new Set([25, 1043, 1042, 19, 18, 705])

export function isTextual(typeOid: number, catalogue: Catalogue): boolean {
  const oid = baseType(typeOid, catalogue)
  return textual.has(oid) || catalogue.typeByOid(oid)?.name === 'citext'
}

export function cellMask(
  strategy: MaskStrategy,
  type: CellType,
  key: Uint8Array,
  catalogue: Catalogue,
): CellMask {
  if (strategy.kind === 'null') return () => null
  const oid = baseType(type.typeOid, catalogue)
  if (isTextual(oid, catalogue)) return textMask(strategy, type, oid, key)
  const hashed = strategy.kind === 'hash' ? hashMask(oid, type.binary, key) : undefined
  if (hashed) return hashed
  const neutral = neutralValue(oid, type.binary, catalogue)
  return () => neutral
}

/** What a domain is made of. */
export function baseType(typeOid: number, catalogue: Catalogue): number {
  let oid = typeOid
  for (let depth = 0; depth < 32; depth++) {
    const info = catalogue.typeByOid(oid)
    if (info?.kind !== 'domain') return oid
    oid = info.base
  }
  return oid
}

function textMask(
  strategy: MaskStrategy,
  { typeModifier }: CellType,
  oid: number,
  key: Uint8Array,
): CellMask {
  const limit = oid === 18 ? 1 : oid === 19 ? 63 : typeModifier > 4 ? typeModifier - 4 : undefined
  const fit = (text: string): string => {
    if (limit === undefined) return text
    return oid === 1042 ? text.slice(0, limit).padEnd(limit) : text.slice(0, limit)
  }
  if (strategy.kind === 'redact') {
    const fixed = Buffer.from(fit(applyMask(strategy, '', key) ?? ''))
    return () => fixed
  }
  const general: CellMask = (buffer, start, end) => {
    const masked = applyMask(strategy, buffer.toString('utf8', start, end), key)
    return masked === undefined ? null : Buffer.from(fit(masked))
  }
  return strategy.kind === 'partial' ? partialMask(strategy.keepLast, general) : general
}

/** The same as `applyMask` on bytes, for the values where a byte is a character, which are nearly all. */
function partialMask(keepLast: number, general: CellMask): CellMask {
  let scratch = Buffer.alloc(256)
  return (buffer, start, end) => {
    for (let index = start; index < end; index++)
      if ((buffer[index] ?? 0) > 0x7f) return general(buffer, start, end)
    const length = end - start
    const hidden = length - Math.min(keepLast, length >> 1)
    if (length > scratch.length) scratch = Buffer.alloc(length * 2)
    // the caller copies what it gets before it asks again
    for (let index = 0; index < hidden; index++) scratch[index] = 0x2a
    for (let index = hidden; index < length; index++) scratch[index] = buffer[start + index] ?? 0
    return scratch.subarray(0, length)
  }
}

/** A keyed hash in the range of the type: equal values stay equal, so that they can be joined. */
function hashMask(oid: number, binary: boolean, key: Uint8Array): CellMask | undefined {
  const digest = (buffer: Buffer, start: number, end: number): Buffer =>
    createHmac('sha256', key).update(buffer.subarray(start, end)).digest()
  const integerBytes = { 21: 2, 23: 4, 20: 8 }[oid]
  if (integerBytes !== undefined) {
    return (buffer, start, end) => {
      // the canonical text, so that both formats of a value hash alike
      const canonical = binary
        ? Buffer.from(String(readInteger(buffer, start, integerBytes)))
        : buffer.subarray(start, end)
      const bytes = digest(canonical, 0, canonical.length).subarray(0, integerBytes)
      bytes.writeUInt8(bytes.readUInt8(0) & 0x7f, 0)
      return binary ? bytes : Buffer.from(String(readInteger(bytes, 0, integerBytes)))
    }
  }
  if (oid !== 2950) return undefined
  return (buffer, start, end) => {
    const canonical = binary
      ? Buffer.from(uuidText(buffer.subarray(start, end)))
      : buffer.subarray(start, end)
    const bytes = digest(canonical, 0, canonical.length).subarray(0, 16)
    return binary ? bytes : Buffer.from(uuidText(bytes))
  }
}

function readInteger(buffer: Buffer, start: number, bytes: number): bigint | number {
  return bytes === 8 ? buffer.readBigInt64BE(start) : buffer.readIntBE(start, bytes)
}

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The value that says nothing: text form, and binary form (a number is that many zero bytes). */
const neutrals: ReadonlyMap<number, readonly [text: string, binary: number | string]> = new Map([
  [16, ['f', 1]], // bool
  [21, ['0', 2]], // int2
  [23, ['0', 4]], // int4
  [20, ['0', 8]], // int8
  [26, ['0', 4]], // oid
  [700, ['0', 4]], // float4
  [701, ['0', 8]], // float8
  [1700, ['0', 8]], // numeric: no digits, weight 0, positive, scale 0
  [790, ['$0.00', 8]], // money
  [1082, ['2000-01-01', 4]], // date
  [1083, ['00:00:00', 8]], // time
  [1266, ['00:00:00+00', 12]], // timetz
  [1114, ['2000-01-01 00:00:00', 8]], // timestamp
  [1184, ['2000-01-01 00:00:00+00', 8]], // timestamptz
  [1186, ['00:00:00', 16]], // interval
  [2950, ['00000000-0000-0000-0000-000000000000', 16]], // uuid
  [829, ['00:00:00:00:00:00', 6]], // macaddr
  [774, ['00:00:00:00:00:00:00:00', 8]], // macaddr8
  [869, ['0.0.0.0', '0220000400000000']], // inet: IPv4, /32, 4 bytes
  [650, ['0.0.0.0/32', '0220010400000000']], // cidr
  [17, ['\\x', '']], // bytea
  [114, ['"********"', '222a2a2a2a2a2a2a2a22']], // json
  [3802, ['"********"', '01222a2a2a2a2a2a2a2a22']], // jsonb: version 1
  [142, ['<masked/>', '3c6d61736b65642f3e']], // xml
])

/** NULL where a type has no value that says nothing: enums, ranges, composites, geometry. */
function neutralValue(oid: number, binary: boolean, catalogue: Catalogue): Buffer | null {
  const neutral = neutrals.get(oid)
  if (neutral) {
    const [text, bytes] = neutral
    if (!binary) return Buffer.from(text)
    return typeof bytes === 'number' ? Buffer.alloc(bytes) : Buffer.from(bytes, 'hex')
  }
  const info = catalogue.typeByOid(oid)
  if (info?.category !== 'A' || info.element === 0) return null
  if (!binary) return Buffer.from('{}')
  // no dimensions, no NULLs, element type
  const empty = Buffer.alloc(12)
  empty.writeUInt32BE(info.element, 8)
  return empty
}
