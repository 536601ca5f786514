/** What stands around a SELECT list: GROUP BY, DISTINCT, windows, ORDER BY, LIMIT and locks. */
import type { SelectStmt, Node as TreeNode, WindowDef } from 'libpg-query'
import { columnReference } from './columns.ts'
import { expression } from './expressions.ts'
import type { Findings } from './findings.ts'
import type { Scope, ScopeColumn } from './scope.ts'
import { is, type Node, strings, tagOf } from './tree.ts'
import { constant, derived, unproven, type Value } from './value.ts'

/** ORDER BY and LIMIT stand on the whole query, set operations included. */
export function sortAndLimit(
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
export function groupBy(findings: Findings, node: Node, columns: readonly ScopeColumn[], scope: Scope): void {
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

export function distinct(
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

export function lockRows(findings: Findings, node: Node, scope: Scope): void {
  const relations = is(node, 'LockingClause') ? (node.LockingClause.lockedRels ?? []) : []
  const names = relations.map((relation) =>
    is(relation, 'RangeVar') ? relation.RangeVar.relname : undefined,
  )
  for (const item of scope.items) {
    if (item.schema === undefined || (names.length > 0 && !names.includes(item.name))) continue
    findings.touch('sql:lock', 'table', [item.schema, item.name ?? ''], [])
  }
}
