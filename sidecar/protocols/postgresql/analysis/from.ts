/** Entries of FROM → what their columns are. */
import type {
  Alias,
  JoinExpr,
  JsonTable,
  RangeFunction,
  RangeSubselect,
  RangeTableFunc,
  RangeVar,
} from 'libpg-query'
import { systemRelation } from '../catalogue/builtins.ts'
import type { Relation } from '../catalogue/types.ts'
import { expression } from './expressions.ts'
import type { Findings } from './findings.ts'
import { type CallResult, callFunction } from './functions.ts'
import { runRelationCode } from './installed-code.ts'
import { findRelation } from './names.ts'
import { query } from './query.ts'
import { type RangeItem, relatedRelations, relationColumns, Scope, type ScopeColumn } from './scope.ts'
import { bodyOf, is, listItems, type Node, strings, tagOf } from './tree.ts'
import { constant, derived, eitherOf, typed, unproven, type Value } from './value.ts'
import { viewColumns } from './views.ts'

/** Adds an entry to the scope. */
export function addFrom(findings: Findings, node: Node, scope: Scope): void {
  scope.items.push(...fromEntry(findings, node, scope))
}

function fromEntry(findings: Findings, node: Node, scope: Scope): RangeItem[] {
  const tag = tagOf(node)
  switch (tag) {
    case 'RangeVar':
      return [rangeVar(findings, bodyOf(node, tag), scope)]
    case 'RangeSubselect':
      return [rangeSubselect(findings, bodyOf(node, tag), scope)]
    case 'RangeFunction':
      return [rangeFunction(findings, bodyOf(node, tag), scope)]
    case 'JoinExpr':
      return join(findings, bodyOf(node, tag), scope)
    case 'RangeTableSample': {
      const sample = bodyOf(node, tag)
      for (const argument of [...(sample.args ?? []), ...(sample.repeatable ? [sample.repeatable] : [])])
        findings.indirect(expression(findings, argument, scope), 'TABLESAMPLE')
      return sample.relation ? fromEntry(findings, sample.relation, scope) : []
    }
    case 'RangeTableFunc':
      return [xmlTable(findings, bodyOf(node, tag), scope)]
    case 'JsonTable':
      return [jsonTable(findings, bodyOf(node, tag), scope)]
    default:
      findings.opaque(`FROM holds ${tag ?? 'nothing'}, which is not analysed`)
      return [{ name: undefined, schema: undefined, columns: [], open: unproven }]
  }
}

function rangeVar(findings: Findings, range: RangeVar, scope: Scope): RangeItem {
  const name = range.relname ?? ''
  const common = range.schemaname === undefined ? scope.commonTable(name) : undefined
  if (common) return renamed({ name, schema: undefined, ...common }, range.alias)
  const relation = findRelation(findings, range.schemaname, name, range.location)
  if (!relation) return renamed({ name, schema: undefined, columns: [], open: unproven }, range.alias)
  return renamed(relationItem(findings, relation, range.inh !== false), range.alias)
}

/** Reads a relation: the touch, what stands behind it, and its columns. */
export function relationItem(findings: Findings, relation: Relation, withChildren = true): RangeItem {
  const { schema, name } = relation
  const path = [schema, name]
  const system =
    schema === 'pg_catalog' || schema === 'information_schema' ? systemRelation(schema, name) : undefined
  const kind = relation.kind === 'sequence' ? 'sequence' : 'table'
  const origin = system === 'baseline' && findings.origin === 'direct' ? 'baseline' : findings.origin
  const touch = findings.touch('sql:select', kind, path, [], origin)
  const read = (column: string): void => void touch.parts?.add(column)
  if (system === 'statistics')
    return {
      name,
      schema,
      columns: relation.columns.map((column) => ({
        name: column.name,
        value: unproven,
        read: () => read(column.name),
      })),
    }
  if (system !== undefined)
    return {
      name,
      schema,
      columns: relation.columns.map((column) => ({
        name: column.name,
        value: typed(constant, column.typeOid),
        read: () => read(column.name),
      })),
    }
  runRelationCode(findings, relation, 'look')
  if (withChildren) {
    for (const child of relatedRelations(findings, relation))
      findings.touch('sql:select', 'table', [child.schema, child.name], [], 'implied')
  }
  const columns =
    relation.definition === undefined
      ? relationColumns(findings, relation, read)
      : viewColumns(findings, relation, read)
  return { name, schema, columns }
}

function rangeSubselect(findings: Findings, range: RangeSubselect, scope: Scope): RangeItem {
  const outer = range.lateral ? scope : lateralFree(scope)
  const columns = range.subquery ? query(findings, range.subquery, outer) : []
  return renamed({ name: undefined, schema: undefined, columns }, range.alias)
}

/** A subquery that is not LATERAL sees the common tables, and what stands around the query, but not its neighbours. */
function lateralFree(neighbours: Scope): Scope {
  let scope = neighbours
  while (scope.joinedTo) scope = scope.joinedTo
  const free = new Scope(scope.parent)
  for (const [name, table] of scope.commonTables) free.commonTables.set(name, table)
  for (const name of scope.variables) free.variables.add(name)
  return free
}

function rangeFunction(findings: Findings, range: RangeFunction, scope: Scope): RangeItem {
  const columns: ScopeColumn[] = []
  let open: Value | undefined
  let functionName: string | undefined
  for (const item of range.functions ?? []) {
    const [call, definitions] = listItems(item)
    if (!call) continue
    const coldefs = definitions && tagOf(definitions) ? listItems(definitions) : (range.coldeflist ?? [])
    const result = tableFunction(findings, call, scope)
    functionName ??= result.name
    findings.indirect(result.arguments, `the rows of ${result.name ?? 'a function'}`)
    const names =
      coldefs.length > 0
        ? coldefs.map((node) => (is(node, 'ColumnDef') ? (node.ColumnDef.colname ?? '') : ''))
        : result.columns
    if (names === undefined) open = derived(open ?? constant, result.value)
    const single = names?.length === 1 && coldefs.length === 0 && result.scalar
    for (const name of names ?? [])
      columns.push({ name: single ? (range.alias?.aliasname ?? name) : name, value: result.value })
  }
  if (range.ordinality) columns.push({ name: 'ordinality', value: constant })
  if (open) findings.shapeUnknown = true
  return renamed({ name: functionName, schema: undefined, columns, ...(open && { open }) }, range.alias)
}

function tableFunction(
  findings: Findings,
  call: Node,
  scope: Scope,
): CallResult & { readonly name: string | undefined } {
  if (is(call, 'FuncCall')) {
    const name = strings(call.FuncCall.funcname).at(-1)
    return { ...callFunction(findings, call.FuncCall, scope), name }
  }
  // SQL value functions and the like stand as expressions
  const value = expression(findings, call, scope)
  return { value, arguments: value, columns: ['value'], scalar: true, name: tagOf(call)?.toLowerCase() }
}

function join(findings: Findings, node: JoinExpr, scope: Scope): RangeItem[] {
  findings.joins++
  const left = node.larg ? fromEntry(findings, node.larg, scope) : []
  // the right side may refer to the left if it is LATERAL
  const rightScope = new Scope(scope)
  rightScope.joinedTo = scope
  rightScope.items.push(...left)
  const right = node.rarg ? fromEntry(findings, node.rarg, rightScope) : []
  const shared = node.isNatural ? commonNames(left, right) : strings(node.usingClause)
  const merged = shared.map((name): ScopeColumn => {
    const value = eitherOf(valueIn(left, name), valueIn(right, name))
    findings.indirect(value, node.isNatural ? 'NATURAL JOIN' : 'JOIN USING')
    return { name, value }
  })
  if (node.isNatural && [...left, ...right].some((item) => item.open))
    findings.opaque('NATURAL JOIN of something whose columns are not known')
  for (const item of [...left, ...right]) for (const name of shared) hide(item, name)
  const items: RangeItem[] =
    merged.length > 0
      ? [{ name: node.join_using_alias?.aliasname, schema: undefined, columns: merged }, ...left, ...right]
      : [...left, ...right]
  if (node.quals) {
    const condition = new Scope(scope)
    condition.items.push(...items)
    findings.indirect(expression(findings, node.quals, condition), 'JOIN ON')
  }
  if (!node.alias) return items
  const columns = items.flatMap((item) => item.columns.filter((column) => !item.merged?.has(column.name)))
  const open = items.find((item) => item.open)?.open
  return [
    renamed({ name: node.alias.aliasname, schema: undefined, columns, ...(open && { open }) }, node.alias),
  ]
}

function hide(item: RangeItem, name: string): void {
  ;(item as { merged?: Set<string> }).merged ??= new Set()
  item.merged?.add(name)
}

function commonNames(left: readonly RangeItem[], right: readonly RangeItem[]): string[] {
  const names = (items: readonly RangeItem[]): string[] =>
    items.flatMap((item) =>
      item.columns.filter((column) => !item.merged?.has(column.name)).map((column) => column.name),
    )
  const inRight = new Set(names(right))
  return [...new Set(names(left))].filter((name) => inRight.has(name))
}

function valueIn(items: readonly RangeItem[], name: string): Value {
  const scope = new Scope()
  scope.items.push(...items)
  return scope.column(name) ?? unproven
}

function xmlTable(findings: Findings, table: RangeTableFunc, scope: Scope): RangeItem {
  const inputs = [table.docexpr, table.rowexpr, ...(table.namespaces ?? [])]
    .filter((node) => node !== undefined)
    .map((node) =>
      expression(findings, is(node, 'ResTarget') && node.ResTarget.val ? node.ResTarget.val : node, scope),
    )
  const value = derived(...inputs)
  findings.failable(value, 'XMLTABLE')
  const columns = (table.columns ?? []).map((node): ScopeColumn => {
    const column = is(node, 'RangeTableFuncCol') ? node.RangeTableFuncCol : {}
    const extra = [column.colexpr, column.coldefexpr]
      .filter((part) => part !== undefined)
      .map((part) => expression(findings, part, scope))
    return { name: column.colname ?? '', value: derived(value, ...extra) }
  })
  return renamed({ name: 'xmltable', schema: undefined, columns }, table.alias)
}

function jsonTable(findings: Findings, table: JsonTable, scope: Scope): RangeItem {
  const context = table.context_item?.raw_expr
  const inputs = [...(context ? [context] : []), ...(table.passing ?? [])].map((node) =>
    expression(findings, node, scope),
  )
  const value = derived(...inputs)
  findings.failable(value, 'JSON_TABLE')
  const columns: ScopeColumn[] = []
  const collect = (nodes: readonly Node[]): void => {
    for (const node of nodes) {
      if (!is(node, 'JsonTableColumn')) continue
      const column = node.JsonTableColumn
      for (const behavior of [column.on_empty, column.on_error]) {
        if (behavior?.expr) findings.indirect(expression(findings, behavior.expr, scope), 'JSON_TABLE')
      }
      if (column.columns && column.columns.length > 0) collect(column.columns)
      else columns.push({ name: column.name ?? '', value })
    }
  }
  collect(table.columns ?? [])
  return renamed({ name: 'json_table', schema: undefined, columns }, table.alias)
}

/** Gives an entry its alias, and its columns theirs. */
export function renamed(item: RangeItem, alias: Alias | undefined): RangeItem {
  if (!alias) return item
  const names = strings(alias.colnames)
  const columns =
    names.length === 0
      ? item.columns
      : item.columns.map((column, index) => ({ ...column, name: names[index] ?? column.name }))
  return { ...item, name: alias.aliasname, columns }
}
