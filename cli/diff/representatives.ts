/**
 * A finite stand-in for everything that could be asked: the objects that are named anywhere, and for each wildcard one
 * object that is named nowhere. It is called `*`, which no exact name is.
 */
import type { GuardrailPolicy, ProtectedResource } from '@firebreak/crds'
import { compileGlob, splitName } from '@firebreak/policy'

export interface ObjectRepresentative {
  readonly kind: string
  readonly path: readonly string[]
  /** A column, where it is about one. */
  readonly part?: string
  /** As a policy would write it: `public.orders`, `function public.f`. */
  readonly name: string
}

/** How names of objects are built: schema and name; what comes after is a part. */
const depth = 2
const usualKind = 'table'

export interface Named {
  readonly policies: readonly GuardrailPolicy[]
  readonly resources: readonly ProtectedResource[]
}

/** @param named on both sides. @param resource whose classification counts. */
export function objectRepresentatives(
  { policies, resources }: Named,
  resource: string,
): readonly ObjectRepresentative[] {
  const patterns = [
    '*.*',
    ...policies.flatMap(({ spec }) => [
      ...(spec.rules ?? []).flatMap(({ match }) => match.objects ?? []),
      ...(spec.elevations ?? []).flatMap(({ objects }) => objects ?? []),
    ]),
    ...resources
      .filter(({ metadata }) => metadata.name === resource)
      .flatMap(({ spec }) => spec.classification ?? [])
      .flatMap(({ columns = [], fields = [] }) => [...columns, ...fields]),
  ].map(splitName)
  const candidates = candidatesByPlace(patterns.map(({ segments }) => segments))
  const found = new Map<string, ObjectRepresentative>()
  const add = (representative: ObjectRepresentative): void => {
    found.set(representative.name, representative)
  }
  for (const { kind = usualKind, segments } of patterns) {
    const full = [...segments, ...Array<string>(Math.max(0, depth - segments.length)).fill('*')]
    // what is about everything is about each of the others, too
    const everything = full.every((segment) => segment === '*')
    const choices = full.map((segment, place) =>
      everything ? [segment] : fitting(segment, candidates[place] ?? []),
    )
    for (const path of product(choices)) for (const object of objectsAt(kind, path)) add(object)
    // a schema by itself
    if (segments.length === 1 && kind !== usualKind) add(representative(kind, segments))
  }
  return [...found.values()]
}

/** Of columns, those of a table that are named nowhere are what is left of the table. */
export function shownName(name: string): string {
  const { kind, segments } = splitName(name)
  if (segments.every((segment) => segment === '*')) return 'everything'
  return kind === undefined && segments.length > depth && segments.at(-1) === '*' ? name.slice(0, -2) : name
}

/** What stands at each place of any name. */
function candidatesByPlace(names: readonly (readonly string[])[]): readonly (readonly string[])[] {
  const longest = Math.max(...names.map((name) => name.length))
  return Array.from({ length: longest }, (_, place) => [
    ...new Set(names.flatMap((name) => (name[place] === undefined ? [] : [name[place]]))),
  ])
}

/** What a segment may stand for: itself, and whatever is named at its place that it matches. */
function fitting(segment: string, candidates: readonly string[]): readonly string[] {
  if (!segment.includes('*')) return [segment]
  return [...new Set([segment, ...candidates.filter(compileGlob(segment))])]
}

function product(choices: readonly (readonly string[])[]): string[][] {
  return choices.reduce<string[][]>(
    (names, choice) => names.flatMap((name) => choice.map((segment) => [...name, segment])),
    [[]],
  )
}

/** A table as a whole and the columns of it that are named nowhere, and the column where the name is one of a column. */
function objectsAt(kind: string, path: readonly string[]): ObjectRepresentative[] {
  if (kind !== usualKind) return [representative(kind, path)]
  const [table, part] = path.length > depth ? [path.slice(0, -1), path.at(-1)] : [path, '*']
  return [
    representative(kind, table),
    representative(kind, table, '*'),
    ...(part === '*' ? [] : [representative(kind, table, part)]),
  ]
}

function representative(kind: string, path: readonly string[], part?: string): ObjectRepresentative {
  const dotted = (part === undefined ? path : [...path, part]).map(quoted).join('.')
  return {
    kind,
    path,
    ...(part !== undefined && { part }),
    name: kind === usualKind ? dotted : `${kind} ${dotted}`,
  }
}

function quoted(segment: string): string {
  return segment.includes('.') ? `"${segment}"` : segment
}
