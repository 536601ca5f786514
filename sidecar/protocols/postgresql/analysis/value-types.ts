/** Types of values, as far as they decide which function or operator a call reaches. */
import type { TypeInfo } from '../catalogue/types.ts'
import type { Findings } from './findings.ts'
import type { Value } from './value.ts'

/** OIDs of `pg_type.dat`, which never change. */
export const builtinTypes = {
  bool: 16,
  name: 19,
  integer: 23,
  text: 25,
  json: 114,
  unknown: 705,
  varchar: 1043,
  jsonArray: 199,
  record: 2249,
  anyarray: 2277,
  jsonb: 3802,
} as const

/** What a value's type counts as when a function is looked for: domains as what they are made of, names and varchar as text. */
export function effectiveType({ catalogue }: Findings, typeOid: number): TypeInfo | undefined {
  let type = catalogue.typeByOid(typeOid)
  for (let depth = 0; type?.kind === 'domain' && depth < 20; depth++) type = catalogue.typeByOid(type.base)
  return type?.oid === builtinTypes.varchar || type?.oid === builtinTypes.name
    ? catalogue.typeByOid(builtinTypes.text)
    : type
}

export function isArray(type: TypeInfo): boolean {
  return type.category === 'A'
}

/** Whether values of the type are rows, or hold some. */
export function holdsRows(findings: Findings, typeOid: number, depth = 0): boolean {
  const type = effectiveType(findings, typeOid)
  if (!type || depth > 4) return true
  if (type.kind === 'composite' || type.oid === builtinTypes.record) return true
  return isArray(type) && type.element !== 0 && holdsRows(findings, type.element, depth + 1)
}

/** Categories of types of which two constants beside each other make one text. */
const printable = new Set(['S', 'X', 'N', 'B', 'D', 'T'])

/** Whether `||` of the two can only be the one that joins texts. */
export function isText(findings: Findings, ...values: readonly Value[]): boolean {
  const categories = values.map(({ typeOid }) => effectiveType(findings, typeOid)?.category ?? '?')
  if (categories.some((category) => category === '?' || category === 'A' || category === 'P')) return false
  return (
    categories.includes('S') ||
    (categories.includes('X') && categories.every((category) => printable.has(category)))
  )
}

/** The type of one of several values; 0 when it is not known. */
export function commonType(values: readonly Value[]): number {
  const types = new Set(values.map((value) => value.typeOid))
  // a constant in quotes takes the type of the others, and so does NULL
  if (types.size > 1) types.delete(builtinTypes.unknown)
  const [typeOid = 0] = types
  return types.size === 1 ? typeOid : 0
}
