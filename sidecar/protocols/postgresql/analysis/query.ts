/** SELECT and everything that stands where a SELECT can: its output columns with their origin. */
import type { IntoClause, SelectStmt } from 'libpg-query'
import { distinct, groupBy, lockRows, sortAndLimit, window } from './clauses.ts'
import { starColumns } from './columns.ts'
import { commonTables } from './common-tables.ts'
import { expression } from './expressions.ts'
import type { Findings } from './findings.ts'
import { addFrom } from './from.ts'
import { runImplicitConversions } from './installed-code.ts'
import { modify } from './modify.ts'
import { Scope, type ScopeColumn } from './scope.ts'
import { bodyOf, is, type Node, strings, tagOf } from './tree.ts'
import { eitherOf, unproven, type Value } from './value.ts'

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
  if (statement.intoClause) createdTable(findings, statement.intoClause, columns)
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

/** A table that is made and filled by a query, as by SELECT INTO. */
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
