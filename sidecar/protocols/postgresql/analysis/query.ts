/** SELECT and everything that stands where a SELECT can: its output columns with their origin. */
import type {
  CommonTableExpr,
  IntoClause,
  SelectStmt,
  Node as TreeNode,
  WindowDef,
  WithClause,
} from 'libpg-query'
import { columnReference, starColumns } from './columns.ts'
import { expression } from './expressions.ts'
import type { Findings } from './findings.ts'
import { addFrom } from './from.ts'
import { runImplicitConversions } from './installed-code.ts'
import { modify } from './modify.ts'
import { type CommonTable, Scope, type ScopeColumn } from './scope.ts'
import { bodyOf, is, type Node, strings, tagOf } from './tree.ts'
import { constant, derived, eitherOf, unproven, type Value } from './value.ts'

/** Analyses a query or a data-modifying statement. @returns its output columns. */
export function query(findings: Findings, node: Node, outer: Scope): ScopeColumn[] {
  const tag = tagOf(node)
  if (tag !== undefined) findings.visited.add(bodyOf(node, tag) as object)
  runImplicitConversions(findings, 'i')
  switch (tag) {
    case 'SelectStmt':
      return select(findings, bodyOf(node, tag), outer)
    case 'InsertStmt':
    case 'UpdateStmt':
    case 'DeleteStmt':
    case 'MergeStmt':
      return modify(findings, node, outer)
    default:
      findings.opaque(`${tag ?? 'nothing'} stands where a query is expected`)
      return []
  }
}

export function select(findings: Findings, statement: SelectStmt, outer: Scope): ScopeColumn[] {
  const scope = new Scope(outer)
  if (statement.withClause) commonTables(findings, statement.withClause, scope)
  const columns = selectBody(findings, statement, scope)
  if (statement.intoClause) storeInto(findings, statement.intoClause, columns)
  return columns
}

function selectBody(findings: Findings, statement: SelectStmt, scope: Scope): ScopeColumn[] {
  let columns: ScopeColumn[]
  if (statement.op !== undefined && statement.op !== 'SETOP_NONE')
    columns = setOperation(findings, statement, scope)
  else if (statement.valuesLists && statement.valuesLists.length > 0)
    columns = valuesLists(findings, statement.valuesLists, scope)
  else columns = plainSelect(findings, statement, scope)
  sortAndLimit(findings, statement, columns, scope)
  return columns
}

function setOperation(findings: Findings, statement: SelectStmt, scope: Scope): ScopeColumn[] {
  const left = statement.larg ? select(findings, statement.larg, scope) : []
  const right = statement.rarg ? select(findings, statement.rarg, scope) : []
  const columns = left.map(
    (column, index): ScopeColumn => ({
      name: column.name,
      value: eitherOf(column.value, right[index]?.value ?? unproven),
    }),
  )
  const compares = statement.op !== 'SETOP_UNION' || !statement.all
  if (compares)
    for (const column of columns)
      findings.indirect(
        column.value,
        statement.op === 'SETOP_UNION' ? 'UNION' : statement.op === 'SETOP_EXCEPT' ? 'EXCEPT' : 'INTERSECT',
      )
  return columns
}

function valuesLists(findings: Findings, lists: readonly Node[], scope: Scope): ScopeColumn[] {
  let columns: Value[] | undefined
  for (const list of lists) {
    const values = (is(list, 'List') ? (list.List.items ?? []) : []).map((node) =>
      expression(findings, node, scope),
    )
    columns =
      columns === undefined
        ? values
        : columns.map((value, index) => eitherOf(value, values[index] ?? unproven))
  }
  return (columns ?? []).map((value, index) => ({ name: `column${index + 1}`, value }))
}

function plainSelect(findings: Findings, statement: SelectStmt, scope: Scope): ScopeColumn[] {
  for (const node of statement.fromClause ?? []) addFrom(findings, node, scope)
  if (statement.whereClause) {
    findings.indirect(expression(findings, statement.whereClause, scope), 'WHERE')
    pin(statement.whereClause, scope)
  }
  const columns = targetList(findings, statement.targetList ?? [], scope)
  for (const node of statement.groupClause ?? []) groupBy(findings, node, columns, scope)
  if (statement.havingClause) findings.indirect(expression(findings, statement.havingClause, scope), 'HAVING')
  for (const node of statement.windowClause ?? [])
    if (is(node, 'WindowDef')) window(findings, node.WindowDef, scope)
  distinct(findings, statement.distinctClause, columns, scope)
  for (const node of statement.lockingClause ?? []) lockRows(findings, node, scope)
  return columns
}

/** Rows that reach the SELECT list have passed WHERE, so what it says of a column holds there. */
function pin(condition: Node, scope: Scope): void {
  if (!is(condition, 'A_Expr') || condition.A_Expr.kind !== 'AEXPR_OP') return
  const { name, lexpr, rexpr } = condition.A_Expr
  const fields = is(lexpr, 'ColumnRef') ? strings(lexpr.ColumnRef.fields) : []
  const text = is(rexpr, 'A_Const') ? rexpr.A_Const.sval?.sval : undefined
  if (strings(name).join() === '=' && fields.length === 1 && text !== undefined)
    scope.pinned.set(fields[0] ?? '', text)
}

/** The output columns of a SELECT list or a RETURNING list. */
export function targetList(findings: Findings, targets: readonly Node[], scope: Scope): ScopeColumn[] {
  return targets.flatMap((node): ScopeColumn[] => {
    const target = is(node, 'ResTarget') ? node.ResTarget : undefined
    if (!target?.val) return []
    const star = starColumns(findings, target.val, scope)
    if (star) return star
    return [{ name: target.name ?? outputName(target.val), value: expression(findings, target.val, scope) }]
  })
}

/** The name that PostgreSQL gives a column without an alias (`FigureColname`). */
function outputName(node: Node): string {
  const tag = tagOf(node)
  switch (tag) {
    case 'ColumnRef':
      return strings(bodyOf(node, tag).fields).at(-1) ?? '?column?'
    case 'FuncCall':
      return strings(bodyOf(node, tag).funcname).at(-1) ?? '?column?'
    case 'A_Indirection': {
      const { indirection, arg } = bodyOf(node, tag)
      return strings(indirection).findLast((name) => name !== '') ?? (arg ? outputName(arg) : '?column?')
    }
    case 'TypeCast': {
      const { arg, typeName } = bodyOf(node, tag)
      const inner = arg ? outputName(arg) : '?column?'
      return inner === '?column?' ? (strings(typeName?.names).at(-1) ?? inner) : inner
    }
    case 'CollateClause': {
      const { arg } = bodyOf(node, tag)
      return arg ? outputName(arg) : '?column?'
    }
    case 'CaseExpr':
      return 'case'
    case 'CoalesceExpr':
      return 'coalesce'
    case 'A_ArrayExpr':
      return 'array'
    case 'RowExpr':
      return 'row'
    default:
      return '?column?'
  }
}

/** ORDER BY and LIMIT stand on the whole query, set operations included. */
function sortAndLimit(
  findings: Findings,
  statement: SelectStmt,
  columns: readonly ScopeColumn[],
  scope: Scope,
): void {
  for (const node of statement.sortClause ?? []) {
    const sort = is(node, 'SortBy') ? node.SortBy : undefined
    if (!sort?.node) continue
    findings.indirect(outputOrExpression(findings, sort.node, columns, scope), 'ORDER BY')
    if (sort.useOp && sort.useOp.length > 1) findings.opaque('ORDER BY USING names an operator of a schema')
  }
  for (const [node, clause] of [
    [statement.limitCount, 'LIMIT'],
    [statement.limitOffset, 'OFFSET'],
  ] as const) {
    if (!node) continue
    findings.indirect(expression(findings, node, scope), clause)
    if (clause === 'LIMIT' && is(node, 'A_Const') && node.A_Const.ival) {
      findings.consultedConstants = true
      findings.limit =
        findings.limit === undefined
          ? (node.A_Const.ival.ival ?? 0)
          : Math.max(findings.limit, node.A_Const.ival.ival ?? 0)
    }
  }
}

/** ORDER BY takes an output column's number or name first, then anything. */
function outputOrExpression(
  findings: Findings,
  node: Node,
  columns: readonly ScopeColumn[],
  scope: Scope,
): Value {
  const value = outputByNumberOrName(findings, node, columns)
  return value ?? expression(findings, node, scope)
}

function outputByNumberOrName(
  findings: Findings,
  node: Node,
  columns: readonly ScopeColumn[],
): Value | undefined {
  if (is(node, 'A_Const') && node.A_Const.ival) {
    findings.consultedConstants = true
    return columns[(node.A_Const.ival.ival ?? 0) - 1]?.value ?? unproven
  }
  const fields = is(node, 'ColumnRef') ? strings(node.ColumnRef.fields) : []
  if (fields.length !== 1) return undefined
  const named = columns.filter((column) => column.name === fields[0])
  return named.length === 0 ? undefined : derived(...named.map((column) => column.value))
}

/** GROUP BY takes an input column's name before an output column's: both count. */
function groupBy(findings: Findings, node: Node, columns: readonly ScopeColumn[], scope: Scope): void {
  if (is(node, 'GroupingSet')) {
    for (const item of node.GroupingSet.content ?? []) groupBy(findings, item, columns, scope)
    return
  }
  const byOutput = outputByNumberOrName(findings, node, columns)
  if (is(node, 'A_Const') && byOutput) return findings.indirect(byOutput, 'GROUP BY')
  const fields = is(node, 'ColumnRef') ? strings(node.ColumnRef.fields) : []
  const byInput =
    fields.length === 1
      ? columnReference(findings, fields, scope, byOutput !== undefined)
      : expression(findings, node, scope)
  findings.indirect(derived(byOutput ?? constant, byInput ?? constant), 'GROUP BY')
}

function distinct(
  findings: Findings,
  clause: readonly TreeNode[] | undefined,
  columns: readonly ScopeColumn[],
  scope: Scope,
): void {
  if (!clause || clause.length === 0) return
  const expressions = clause.filter((node) => tagOf(node) !== undefined)
  if (expressions.length === 0) for (const column of columns) findings.indirect(column.value, 'DISTINCT')
  for (const node of expressions)
    findings.indirect(outputOrExpression(findings, node, columns, scope), 'DISTINCT ON')
}

/** PARTITION BY, ORDER BY and the frame of a window. */
export function window(findings: Findings, definition: WindowDef, scope: Scope): void {
  const { partitionClause = [], orderClause = [], startOffset, endOffset } = definition
  for (const node of [
    ...partitionClause,
    ...orderClause,
    ...(startOffset ? [startOffset] : []),
    ...(endOffset ? [endOffset] : []),
  ]) {
    const inner = is(node, 'SortBy') ? node.SortBy.node : node
    if (inner) findings.indirect(expression(findings, inner, scope), 'a window')
  }
}

function lockRows(findings: Findings, node: Node, scope: Scope): void {
  const relations = is(node, 'LockingClause') ? (node.LockingClause.lockedRels ?? []) : []
  const names = relations.map((relation) =>
    is(relation, 'RangeVar') ? relation.RangeVar.relname : undefined,
  )
  for (const item of scope.items) {
    if (item.schema === undefined || (names.length > 0 && !names.includes(item.name))) continue
    findings.touch('sql:lock', 'table', [item.schema, item.name ?? ''], [])
  }
}

/** WITH: each common table with its columns, a recursive one until nothing new flows into it. */
export function commonTables(findings: Findings, clause: WithClause, scope: Scope): void {
  // under RECURSIVE a table may use one that comes after it, whatever real table has the same name
  if (clause.recursive) {
    for (const node of clause.ctes ?? []) {
      if (is(node, 'CommonTableExpr'))
        scope.commonTables.set(node.CommonTableExpr.ctename ?? '', { columns: [], open: unproven })
    }
  }
  for (const node of clause.ctes ?? []) {
    if (!is(node, 'CommonTableExpr')) continue
    const table = node.CommonTableExpr
    scope.commonTables.set(
      table.ctename ?? '',
      clause.recursive ? recursiveTable(findings, table, scope) : commonTable(findings, table, scope),
    )
  }
}

function commonTable(findings: Findings, table: CommonTableExpr, scope: Scope): CommonTable {
  const outputs = table.ctequery ? query(findings, table.ctequery, scope) : []
  const names = strings(table.aliascolnames)
  const columns: ScopeColumn[] = outputs.map((column, index) => ({
    name: names[index] ?? column.name,
    value: column.value,
  }))
  const { search_clause: search, cycle_clause: cycle } = table
  const everything = derived(...columns.map((column) => column.value))
  if (search) columns.push({ name: search.search_seq_column ?? '', value: everything })
  if (cycle)
    columns.push(
      { name: cycle.cycle_mark_column ?? '', value: everything },
      { name: cycle.cycle_path_column ?? '', value: everything },
    )
  if (cycle) findings.indirect(everything, 'CYCLE')
  return { columns }
}

/** Values only gain sources from turn to turn, so it ends; the bound is for safety. */
function recursiveTable(findings: Findings, table: CommonTableExpr, scope: Scope): CommonTable {
  const body = is(table.ctequery, 'SelectStmt') ? table.ctequery.SelectStmt : undefined
  if (!body?.larg) return commonTable(findings, table, scope)
  const name = table.ctename ?? ''
  const start = new Scope(scope)
  if (body.withClause) commonTables(findings, body.withClause, start)
  let current = commonTable(findings, { ...table, ctequery: { SelectStmt: body.larg } }, start)
  for (let turn = 0; turn < 20; turn++) {
    scope.commonTables.set(name, current)
    const next = commonTable(findings, table, scope)
    const settled =
      next.columns.length === current.columns.length &&
      next.columns.every((column, index) => sameOrigin(column.value, current.columns[index]?.value))
    current = next
    if (settled) return current
  }
  findings.opaque(`the recursive query ${name} can't be followed`)
  return { columns: current.columns.map((column) => ({ ...column, value: unproven })) }
}

function sameOrigin(a: Value, b: Value | undefined): boolean {
  return b !== undefined && a.derivation === b.derivation && a.sources.length === b.sources.length
}

/** SELECT INTO makes a table of what it reads. */
function storeInto(findings: Findings, into: IntoClause, columns: readonly ScopeColumn[]): void {
  createdTable(findings, into, columns)
}

/** A table that is made and filled by a query. */
export function createdTable(findings: Findings, into: IntoClause, columns: readonly ScopeColumn[]): void {
  const relation = into.rel
  const temporary = relation?.relpersistence === 't'
  const schema = relation?.schemaname ?? (temporary ? 'pg_temp' : (findings.searchPath?.[0] ?? '?'))
  findings.touch('sql:create', 'table', [schema, relation?.relname ?? ''])
  findings.effect({ kind: 'definition', temporary })
  const names = strings(into.colNames)
  columns.forEach((column, index) => {
    findings.indirect(column.value, `stored in ${schema}.${relation?.relname}.${names[index] ?? column.name}`)
  })
}
