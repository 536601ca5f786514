/** What PostgreSQL's own functions, relations and settings are to the analysis. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { FunctionInfo } from './types.ts'

/** What calling a builtin function does besides computing. */
export type BuiltinEffect =
  | 'computes'
  | 'runsText'
  | 'setsSetting'
  | 'usesSequence'
  | 'notifies'
  | 'locks'
  | 'sleeps'
  | 'readsFile'
  | 'writesFile'
  | 'usesLargeObject'
  | 'readsActivity'
  | 'administers'
  | 'replicates'

const { refused, ...effects } = readTable('builtin-functions.yaml')
const effectsByName = new Map(
  Object.entries(effects).flatMap(([effect, names]) =>
    [...names].map((name) => [name, effect as BuiltinEffect]),
  ),
)
const relations = readTable('builtin-relations.yaml')
const settings = readTable('builtin-settings.yaml')

function readTable(file: string): Readonly<Record<string, ReadonlySet<string>>> {
  const table = parse(readFileSync(new URL(file, import.meta.url), 'utf8')) as Record<string, string>
  return Object.fromEntries(Object.entries(table).map(([name, words]) => [name, new Set(words.split(/\s+/))]))
}

/** Whether somebody has looked at a builtin and found that nobody needs it. */
export function isRefusedBuiltin(name: string): boolean {
  return refused?.has(name) ?? false
}

/** @returns undefined for a function that nobody has looked at, or that is refused. */
export function builtinEffect(info: FunctionInfo): BuiltinEffect | undefined {
  const known = effectsByName.get(info.name)
  if (known) return known
  // an immutable function's result follows from its arguments alone, so it can't read or change anything
  return info.volatility === 'immutable' ? 'computes' : undefined
}

/**
 * - `baseline`: what drivers, psql and ORMs read of the catalogue.
 * - `statistics`: holds values of any column.
 * - `sensitive`: other sessions, credentials, files; whatever is not known.
 */
export function systemRelation(schema: string, name: string): 'baseline' | 'statistics' | 'sensitive' {
  if (schema === 'information_schema')
    return name.startsWith('_pg_') || relations.sensitiveInformationSchema?.has(name)
      ? 'sensitive'
      : 'baseline'
  if (relations.baseline?.has(name)) return 'baseline'
  return relations.statistics?.has(name) ? 'statistics' : 'sensitive'
}

/**
 * - `harmless`: changes how values look or how long things take.
 * - `meaning`: changes what text means; the session follows it.
 * - `guarded`: everything else.
 * Names with a dot belong to nobody: harmless, but they can hold a value.
 */
export function settingEffect(name: string): 'harmless' | 'meaning' | 'guarded' {
  const lower = name.toLowerCase()
  if (settings.meaning?.has(lower)) return 'meaning'
  return lower.includes('.')
    ? settings.guardedCustom?.has(lower.split('.')[0] ?? '')
      ? 'guarded'
      : 'harmless'
    : settings.harmless?.has(lower)
      ? 'harmless'
      : 'guarded'
}
