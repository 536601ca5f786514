/** Names in expressions: columns, whole rows, fields, stars. */
import type { A_Indirection } from 'libpg-query'
import { expression, optional } from './expressions.ts'
import type { Findings } from './findings.ts'
import { callNamed } from './functions.ts'
import { columnOf, type RangeItem, type Scope, type ScopeColumn, wholeRow } from './scope.ts'
import { is, type Node, strings } from './tree.ts'
import { constant, derived, unproven, type Value } from './value.ts'

/** `(x).field`, `(x).function`, `x[1]`. */
export function indirection(
  findings: Findings,
  { arg, indirection: steps = [] }: A_Indirection,
  scope: Scope,
): Value {
  const [first] = steps
  const row = arg ? rowOf(arg, scope) : undefined
  if (row && is(first, 'String')) {
    const column = columnOf(row, first.String.sval ?? '')
    if (column)
      return steps.length === 1 ? column : derived(column, subscripts(findings, steps.slice(1), scope))
  }
  const value = optional(findings, arg, scope)
  return derived(value, subscripts(findings, steps, scope, value))
}

function subscripts(
  findings: Findings,
  steps: readonly Node[],
  scope: Scope,
  input: Value = constant,
): Value {
  const values = steps.map((step): Value => {
    if (is(step, 'A_Indices'))
      return derived(
        optional(findings, step.A_Indices.lidx, scope),
        optional(findings, step.A_Indices.uidx, scope),
      )
    // a field of a composite, or a function of that name called in another way
    if (is(step, 'String')) return callNamed(findings, step.String.sval ?? '', input)
    return input
  })
  return derived(...values)
}

/** The entry of FROM that a bare or qualified name stands for as a whole row. */
export function rowOf(node: Node, scope: Scope): RangeItem | undefined {
  const fields = is(node, 'ColumnRef') ? strings(node.ColumnRef.fields) : []
  const [first, second] = fields
  if (first === undefined || fields.length > 2) return undefined
  if (second === '*') return scope.named(first)[0]
  if (second !== undefined) return scope.named(second, first)[0]
  return scope.column(first) === undefined ? scope.named(first)[0] : undefined
}

/**
 * A name in an expression: a column, a whole row, a variable, or a function written as a column.
 *
 * @param quiet a name that is nothing is no error.
 * @returns undefined only when quiet.
 */
export function columnReference(
  findings: Findings,
  fields: readonly string[],
  scope: Scope,
  quiet = false,
  location?: number,
): Value | undefined {
  const value = resolve(findings, fields, scope)
  if (value) {
    for (const source of value.sources) findings.reads.set(`${source.path.join('.')}.${source.part}`, source)
    return value
  }
  if (quiet) return undefined
  const [first] = fields
  if (first !== undefined && scope.hasVariable(first)) return constant
  const shown = fields.join('.')
  findings.fails('42703', `column ${fields.length > 1 ? shown : `"${shown}"`} does not exist`, location)
  return unproven
}

function resolve(findings: Findings, fields: readonly string[], scope: Scope): Value | undefined {
  const [first = '', second, third] = fields.slice(-3)
  if (fields.length === 1) {
    const column = scope.column(first)
    if (column) return column
    const [item] = scope.named(first)
    return item && wholeRow(item)
  }
  if (second !== undefined && third === undefined)
    return qualified(findings, scope.named(first), second) ?? wholeOf(scope.named(second, first))
  return third === undefined ? undefined : qualified(findings, scope.named(second ?? '', first), third)
}

function wholeOf(items: readonly RangeItem[]): Value | undefined {
  const [item] = items
  return item && wholeRow(item)
}

/** `alias.name`: a column, or else a function of that name called with the row. */
function qualified(findings: Findings, items: readonly RangeItem[], name: string): Value | undefined {
  if (items.length === 0) return undefined
  const columns = items.map((item) => columnOf(item, name)).filter((value) => value !== undefined)
  if (columns.length > 0) return columns.length === 1 ? columns[0] : derived(...columns)
  const row = derived(...items.map(wholeRow))
  return derived(row, callNamed(findings, name, row))
}

/** Columns of `*`, `t.*`, `s.t.*` and `(x).*`; undefined for any other expression. */
export function starColumns(findings: Findings, node: Node, scope: Scope): ScopeColumn[] | undefined {
  if (is(node, 'ColumnRef')) {
    const fields = strings(node.ColumnRef.fields)
    if (fields.at(-1) !== '*') return undefined
    const [first, second] = fields
    if (first === '*') return expand(findings, starItems(scope), true)
    const items =
      fields.length === 2
        ? scope.named(first ?? '')
        : scope.named(fields.at(-2) ?? second ?? '', fields.at(-3))
    if (items.length === 0) {
      if (scope.hasVariable(first ?? '')) return unknownShape(findings, constant)
      findings.fails('42P01', `missing FROM-clause entry for table "${fields.at(-2) ?? ''}"`)
      return unknownShape(findings, unproven)
    }
    return expand(findings, items.slice(0, 1), false)
  }
  if (!is(node, 'A_Indirection') || !is(node.A_Indirection.indirection?.at(-1), 'A_Star')) return undefined
  const { arg, indirection: steps = [] } = node.A_Indirection
  const row = arg && steps.length === 1 ? rowOf(arg, scope) : undefined
  if (row) return expand(findings, [row], false)
  return unknownShape(
    findings,
    expression(findings, { A_Indirection: { ...(arg && { arg }), indirection: steps.slice(0, -1) } }, scope),
  )
}

function starItems(scope: Scope): readonly RangeItem[] {
  return scope.items.filter((item) => !item.qualifiedOnly)
}

function expand(findings: Findings, items: readonly RangeItem[], hideMerged: boolean): ScopeColumn[] {
  return items.flatMap((item) => {
    if (item.open) return unknownShape(findings, item.open)
    const columns = hideMerged
      ? item.columns.filter((column) => !item.merged?.has(column.name))
      : item.columns
    for (const column of columns) {
      column.read?.()
      for (const source of column.value.sources)
        findings.reads.set(`${source.path.join('.')}.${source.part}`, source)
    }
    return columns
  })
}

function unknownShape(findings: Findings, value: Value): ScopeColumn[] {
  findings.shapeUnknown = true
  return [{ name: '*', value: derived(value) }]
}
