/** Calls of functions and operators: what they do, and what their results come from. */
import type { FuncCall } from 'libpg-query'
import { builtinEffect, settingEffect } from '../catalogue/builtins.ts'
import { enlarges } from '../catalogue/totality.ts'
import type { FunctionInfo } from '../catalogue/types.ts'
import { functionBody } from './bodies.ts'
import { window } from './clauses.ts'
import { withoutUnreachable } from './coercion.ts'
import { expression } from './expressions.ts'
import type { Findings } from './findings.ts'
import { findFunctions, isBuiltin, splitName } from './names.ts'
import { parseText } from './parse.ts'
import { query } from './query.ts'
import { Scope } from './scope.ts'
import { setSetting } from './settings.ts'
import { type Call, canFail, countsRows, reachable, resultType } from './totality.ts'
import { is, type Node, strings } from './tree.ts'
import { asRow, constant, derived, isTraced, typed, unproven, type Value } from './value.ts'

export interface CallResult {
  readonly value: Value
  /** All arguments together. */
  readonly arguments: Value
  /** Names of the result's columns in FROM; undefined when they can't be known. */
  readonly columns: readonly string[] | undefined
  /** The result is one value, so that in FROM its column takes the alias' name. */
  readonly scalar: boolean
}

export function callFunction(findings: Findings, call: FuncCall, scope: Scope): CallResult {
  findings.visited.add(call)
  const { schema, name } = splitName(strings(call.funcname))
  const byPosition = !call.args?.some((node) => is(node, 'NamedArgExpr'))
  const nodes = [...(call.args ?? [])]
  const before = findings.enlargements
  const values = nodes.map((node) => expression(findings, node, scope))
  if (call.agg_filter) findings.indirect(expression(findings, call.agg_filter, scope), 'FILTER')
  const sorted = (call.agg_order ?? []).map((node) =>
    is(node, 'SortBy') && node.SortBy.node ? expression(findings, node.SortBy.node, scope) : constant,
  )
  for (const value of sorted) findings.indirect(value, 'ORDER BY in an aggregate')
  if (call.over) window(findings, call.over, scope)
  if (call.agg_distinct) for (const value of values) findings.indirect(value, 'DISTINCT in an aggregate')
  const input = derived(...values, ...sorted)
  const named = findFunctions(findings, schema, name, nodes.length)
  const candidates = named && byPosition ? withoutUnreachable(findings, named, values) : named
  if (candidates === undefined) {
    findings.opaque(`which function ${name} is can't be known`)
    return { value: unproven, arguments: input, columns: undefined, scalar: false }
  }
  if (candidates.length === 0) return withoutCandidates(findings, schema, name, nodes, input)
  const known = nodes.map((node) => pinnedConstant(node, scope) ?? node)
  const callee: Call = { nodes: known, values, input, scope, enlarged: findings.enlargements > before }
  return { ...runCandidates(findings, candidates, callee), arguments: input }
}

/** The constant that a column is held to, as `set_config(name, …) FROM pg_settings WHERE name = 'x'` does. */
function pinnedConstant(node: Node, scope: Scope): Node | undefined {
  const fields = is(node, 'ColumnRef') ? strings(node.ColumnRef.fields) : []
  const text = fields.length === 1 ? scope.pinned.get(fields[0] ?? '') : undefined
  return text === undefined ? undefined : { A_Const: { sval: { sval: text } } }
}

/** `type(x)` is a cast and `column(row)` a field; anything else is no function at all. */
function withoutCandidates(
  findings: Findings,
  schema: string | undefined,
  name: string,
  nodes: readonly Node[],
  input: Value,
): CallResult {
  const shape = { value: input, arguments: input, columns: [name], scalar: true }
  if (nodes.length === 1 && schema === undefined) {
    findings.failable(input, `${name}() can fail on it`)
    return shape
  }
  findings.fails('42883', `function ${schema === undefined ? name : `${schema}.${name}`} does not exist`)
  return { ...shape, value: unproven }
}

function runCandidates(
  findings: Findings,
  candidates: readonly FunctionInfo[],
  call: Call,
): Omit<CallResult, 'arguments'> {
  const reached = reachable(findings, candidates, call)
  const values = candidates.map((info) =>
    isBuiltin(info)
      ? callBuiltin(findings, info, call, reached.includes(info))
      : callUserFunction(findings, info, call.input),
  )
  const [first] = candidates
  const columns = first && resultColumns(findings, first)
  const { typeOid, row } = resultType(findings, reached, call)
  return {
    value: asRow(typed(derived(...values), typeOid), row),
    columns,
    scalar: first !== undefined && columns?.length === 1 && columns[0] === first.name,
  }
}

/** `x.name` and `(x).name`: every function of that name that takes one argument could run. */
export function callNamed(findings: Findings, name: string, input: Value): Value {
  const candidates = findFunctions(findings, undefined, name, 1)
  if (candidates === undefined) {
    findings.opaque(`which function ${name} is can't be known`)
    return unproven
  }
  const call: Call = { nodes: [undefined], values: [input], input, scope: undefined, enlarged: false }
  return candidates.length === 0 ? derived(input) : runCandidates(findings, candidates, call).value
}

/** @param reached it may be this one of its name that is called, as far as the types of the arguments tell. */
export function callBuiltin(findings: Findings, info: FunctionInfo, call: Call, reached: boolean): Value {
  const { name } = info
  const { nodes, input } = call
  if (info.returnsSet) findings.failable(input, `the rows of ${name}()`)
  else if (reached && canFail(findings, info, call)) findings.failable(input, `${name}() can fail on it`)
  if (enlarges(name)) findings.enlargements++
  const effect = builtinEffect(info)
  switch (effect) {
    case undefined:
      findings.opaque(`the function ${name} is not known`)
      return unproven
    case 'computes':
      return countsRows(info, call) ? constant : derived(input)
    case 'runsText':
      return runText(findings, name, nodes, input)
    case 'setsSetting':
      setByFunction(findings, nodes)
      findings.indirect(input, `${name}()`)
      return derived(input)
    default:
      findings.touch(builtinActions[effect], 'function', ['pg_catalog', name])
      findings.indirect(input, `${name}()`)
      return holdsAnything.has(effect) ? unproven : derived(input)
  }
}

/** What large objects, files, other sessions' commands and the stream of changes hold can be any column's value. */
const holdsAnything: ReadonlySet<string> = new Set([
  'usesLargeObject',
  'readsFile',
  'readsActivity',
  'replicates',
])

const builtinActions = {
  usesSequence: 'sql:sequence',
  notifies: 'sql:notify',
  locks: 'sql:lock',
  sleeps: 'sql:sleep',
  readsFile: 'sql:readFile',
  writesFile: 'sql:writeFile',
  usesLargeObject: 'sql:largeObject',
  readsActivity: 'sql:activity',
  administers: 'sql:administer',
  replicates: 'sql:replicate',
} as const

/** Functions that take a query as text: a constant one is analysed like any other, the rest can't be. */
function runText(findings: Findings, name: string, nodes: Call['nodes'], input: Value): Value {
  const text =
    name.startsWith('query_to_xml') || name === 'ts_stat' ? constantText(findings, nodes[0]) : undefined
  const parsed = text === undefined ? undefined : parseText(text)
  const [statement, ...more] = parsed?.ok ? parsed.statements : []
  if (!statement?.stmt || more.length > 0) {
    findings.opaque(`${name}() runs text or reads objects that are not known beforehand`)
    return unproven
  }
  return derived(input, ...query(findings, statement.stmt, new Scope()).map((column) => column.value))
}

function setByFunction(findings: Findings, nodes: Call['nodes']): void {
  const [setting, value, local] = nodes
  const name = constantText(findings, setting)
  if (name === undefined) {
    findings.opaque('set_config() changes a setting that is not known beforehand')
    findings.effect({ kind: 'unknown' })
    return
  }
  const text = constantText(findings, value)
  if (text === undefined && settingEffect(name) === 'meaning')
    findings.opaque(`set_config() gives ${name} a value that is not known beforehand`)
  findings.consultedConstants = true
  const isLocal =
    is(local, 'A_Const') && local.A_Const.boolval ? local.A_Const.boolval.boolval === true : true
  setSetting(
    findings,
    name,
    text === undefined ? undefined : [text],
    isLocal ? 'transaction' : 'session',
    true,
  )
}

/** The text of a string constant, also behind a cast; undefined for anything else. */
export function constantText(findings: Findings, node: Node | undefined): string | undefined {
  if (is(node, 'TypeCast')) return constantText(findings, node.TypeCast.arg)
  if (!is(node, 'A_Const') || !node.A_Const.sval) return undefined
  findings.consultedConstants = true
  return node.A_Const.sval.sval ?? ''
}

export function callUserFunction(findings: Findings, info: FunctionInfo, input: Value): Value {
  const shown = `${info.schema}.${info.name}`
  findings.functions.add(shown)
  findings.touch('sql:call', 'function', [info.schema, info.name])
  findings.failable(input, `passed to the function ${shown}`)
  if (info.language === 'internal' || info.language === 'c') {
    // compiled code that promises to depend on nothing but its arguments
    if (info.volatility === 'immutable') return derived(input)
    findings.opaque(`the function ${shown} is compiled code that may do anything`)
    return unproven
  }
  const body = functionBody(findings, info)
  return isTraced(body) ? derived(input, body) : derived(input)
}

/** Output columns of a function in FROM. */
function resultColumns({ catalogue }: Findings, info: FunctionInfo): readonly string[] | undefined {
  if (info.outputNames.length > 0) return info.outputNames
  const type = catalogue.typeByOid(info.returnType)
  if (type?.relation) return catalogue.relationByOid(type.relation)?.columns.map((column) => column.name)
  // RECORD: only a column definition list can tell
  return type?.kind === 'pseudo' && type.name === 'record' ? undefined : [info.name]
}
