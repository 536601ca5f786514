/** The query of a request, as Go and the API server read it. */
import type { Result } from '../../../session.ts'
import type { RequestHead } from '../../http/request.ts'
import { malformed, type Refused } from './refusal.ts'

export type Parameters = ReadonlyMap<string, readonly string[]>

/** Of all others the API server takes the first, and something in between may take the last. */
const repeatable = new Set(['command', 'ports', 'dryRun'])

/** These mean something in lower or upper case only; in another, they mean something to whom isn't the API server. */
const known = new Map(
  [
    'watch',
    'dryRun',
    'fieldSelector',
    'labelSelector',
    'fieldManager',
    'fieldValidation',
    'force',
    'includeObject',
    'propagationPolicy',
    'orphanDependents',
    'gracePeriodSeconds',
    'command',
    'container',
    'stdin',
    'stdout',
    'stderr',
    'tty',
    'ports',
    'resourceVersion',
    'resourceVersionMatch',
    'allowWatchBookmarks',
    'sendInitialEvents',
    'timeoutSeconds',
    'limit',
    'continue',
    'pretty',
  ].map((name) => [name.toLowerCase(), name]),
)

export function readParameters({ query, parameters }: RequestHead): Result<Parameters, Refused> {
  // Go leaves such a pair out
  if (query.includes(';')) return malformed('the query has a semicolon')
  const values = new Map<string, string[]>()
  for (const { name, value } of parameters) {
    const spelling = known.get(name.toLowerCase())
    if (spelling !== undefined && spelling !== name)
      return malformed(`there is no parameter ${name.slice(0, 32)}; it is spelled ${spelling}`)
    values.set(name, [...(values.get(name) ?? []), value])
  }
  for (const [name, given] of values)
    if (given.length > 1 && !repeatable.has(name))
      return malformed(`the parameter ${name.slice(0, 32)} comes twice`)
  return { ok: true, value: values }
}

/** Only `false` and `0` are not, https://github.com/kubernetes/apimachinery/blob/v0.34.4/pkg/runtime/conversion.go#L83 */
export function isSet(parameters: Parameters, name: string): boolean {
  const [value] = parameters.get(name) ?? []
  return value !== undefined && value !== '0' && value.toLowerCase() !== 'false'
}

/** @returns whether a change is only tried. */
export function readDryRun(values: readonly string[] | undefined): Result<boolean, Refused> {
  if (values === undefined || values.length === 0) return { ok: true, value: false }
  if (values.every((value) => value === 'All')) return { ok: true, value: true }
  return malformed('dryRun can only be All')
}

const selectorKey = /^!?([A-Za-z0-9][A-Za-z0-9._/-]*)(?:$|\s*(?:=|!=|<|>|\s(?:in|notin)\b))/

/** What selectors look at. @returns undefined where it can't be told. */
export function keysOfSelector(selector: string): readonly string[] | undefined {
  const keys: string[] = []
  // the values of `in (a,b)` are no requirements
  for (const requirement of selector.replace(/\([^()]*\)/g, '').split(',')) {
    const trimmed = requirement.trim()
    if (trimmed === '') continue
    const [, key] = selectorKey.exec(trimmed) ?? []
    if (key === undefined) return undefined
    keys.push(key)
  }
  return keys
}
