/** Where a value comes from. */
import type { Source } from '@firebreak/policy'

export interface Value {
  readonly sources: readonly Source[]
  readonly derivation: 'copy' | 'derived' | 'unproven'
  /** Its type; 0 when it is not known. */
  readonly typeOid: number
  /** It may be a whole row, or hold one: comparing it looks at one column after the other. */
  readonly row?: boolean
}

/** A value that comes from nothing in the database: constants, parameters, the clock. */
export const constant: Value = { sources: [], derivation: 'derived', typeOid: 0 }

export const unproven: Value = { sources: [], derivation: 'unproven', typeOid: 0, row: true }

/** Something computed from values. */
export function derived(...values: readonly Value[]): Value {
  const row = values.some((value) => value.row) && { row: true }
  if (values.some((value) => value.derivation === 'unproven')) return { ...unproven, sources: union(values) }
  const sources = union(values)
  return sources.length === 0 && !row ? constant : { sources, derivation: 'derived', typeOid: 0, ...row }
}

/** The same value, of which the type has become known. */
export function typed(value: Value, typeOid: number): Value {
  return value.typeOid === typeOid ? value : { ...value, typeOid }
}

/** The same value, of which it is known that it is a row, or none. */
export function asRow(value: Value, row: boolean): Value {
  return value.row === row ? value : { ...value, row }
}

/** One of several values, as the branches of a UNION. Still a copy if every one is, or comes from nothing. */
export function eitherOf(a: Value, b: Value): Value {
  const typeOid = a.typeOid === b.typeOid ? a.typeOid : 0
  if (a.derivation === 'unproven' || b.derivation === 'unproven') return derived(a, b)
  const copies = [a, b].every((value) => value.derivation === 'copy' || value.sources.length === 0)
  const either = typed(derived(a, b), typeOid)
  return copies && either.sources.length > 0 ? { ...either, derivation: 'copy' } : either
}

export function isTraced(value: Value): boolean {
  return value.sources.length > 0 || value.derivation === 'unproven'
}

function union(values: readonly Value[]): readonly Source[] {
  const [first, ...rest] = values
  if (first === undefined) return []
  if (rest.every((value) => value.sources.length === 0)) return first.sources
  const sources = new Map<string, Source>()
  for (const value of values) for (const source of value.sources) sources.set(sourceKey(source), source)
  return [...sources.values()]
}

export function sourceKey({ path, part }: Source): string {
  return `${path.join('\0')}\0${part}`
}
