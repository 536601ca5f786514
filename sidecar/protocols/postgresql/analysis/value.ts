/** Where a value comes from. */
import type { Source } from '@firebreak/policy'

export interface Value {
  readonly sources: readonly Source[]
  readonly derivation: 'copy' | 'derived' | 'unproven'
  /** Type of a copied column; 0 when it is not known. */
  readonly typeOid: number
}

/** A value that comes from nothing in the database: constants, parameters, the clock. */
export const constant: Value = { sources: [], derivation: 'derived', typeOid: 0 }

export const unproven: Value = { sources: [], derivation: 'unproven', typeOid: 0 }

/** Something computed from values. */
export function derived(...values: readonly Value[]): Value {
  if (values.some((value) => value.derivation === 'unproven')) return { ...unproven, sources: union(values) }
  const sources = union(values)
  return sources.length === 0 ? constant : { sources, derivation: 'derived', typeOid: 0 }
}

/** One of several values, as the branches of a UNION. Still a copy if every one is, or comes from nothing. */
export function eitherOf(a: Value, b: Value): Value {
  if (a.derivation === 'unproven' || b.derivation === 'unproven') return derived(a, b)
  const copies = [a, b].every((value) => value.derivation === 'copy' || value.sources.length === 0)
  const sources = union([a, b])
  return copies && sources.length > 0
    ? { sources, derivation: 'copy', typeOid: a.typeOid === b.typeOid ? a.typeOid : 0 }
    : derived(a, b)
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
