/** Expressions and queries inside definitions: defaults, checks, conditions, keys. */
import type { RangeVar } from 'libpg-query'
import { expression } from './expressions.ts'
import type { Findings } from './findings.ts'
import { relationPath } from './object-paths.ts'
import { relationColumns, Scope } from './scope.ts'
import { statement } from './statement.ts'
import { is, type Node, strings, type Tag, tagOf } from './tree.ts'
import { constant, unproven } from './value.ts'

/** Names in a definition are columns of the table it is about; what isn't known there does no harm. */
export function definitionScope(
  findings: Findings,
  body: { relation?: RangeVar | undefined; table?: RangeVar | undefined },
): Scope {
  const scope = new Scope()
  const range = body.relation ?? body.table
  const [schema = '', name = ''] = range ? relationPath(findings, range) : []
  const relation = range && findings.catalogue.relation(schema, name)
  const columns = relation ? relationColumns(findings, relation, () => {}) : []
  for (const alias of [name, 'old', 'new'])
    scope.items.push({
      name: alias,
      schema: undefined,
      columns,
      open: range && !relation ? unproven : constant,
      qualifiedOnly: alias !== name,
    })
  return scope
}

const queries = new Set<Tag>(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'])
const expressions = new Set<Tag>([
  'FuncCall',
  'A_Expr',
  'BoolExpr',
  'ColumnRef',
  'TypeCast',
  'SubLink',
  'CaseExpr',
  'CoalesceExpr',
  'MinMaxExpr',
  'NullTest',
  'A_ArrayExpr',
  'RowExpr',
  'A_Indirection',
  'XmlExpr',
  'JsonFuncExpr',
])

/** A foreign key tells which values its target holds. Without names it is the primary key, which could be any column. */
function foreignKey(findings: Findings, range: RangeVar, names: readonly string[]): void {
  const scope = definitionScope(findings, { relation: range })
  const columns = scope.items[0]?.columns ?? []
  for (const column of columns)
    if (names.length === 0 || names.includes(column.name)) findings.indirect(column.value, 'a foreign key')
}

/** Finds the expressions and queries in a definition, wherever they stand. */
export function scanDefinition(findings: Findings, value: unknown, scope: Scope): void {
  if (typeof value !== 'object' || value === null) return
  if (Array.isArray(value)) {
    for (const item of value) scanDefinition(findings, item, scope)
    return
  }
  const node = value as Node
  if (is(node, 'Constraint') && node.Constraint.pktable)
    foreignKey(findings, node.Constraint.pktable, strings(node.Constraint.pk_attrs))
  const tag = Object.keys(value).length === 1 ? tagOf(node) : undefined
  if (tag && queries.has(tag)) {
    for (const column of statement(findings, node, scope, '')) findings.indirect(column.value, 'a definition')
  } else if (tag && expressions.has(tag)) findings.indirect(expression(findings, node, scope), 'a definition')
  else for (const inner of Object.values(value)) scanDefinition(findings, inner, scope)
}
