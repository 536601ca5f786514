/** INSERT, UPDATE, DELETE and MERGE. */

import type { Source } from '@firebreak/policy'
import type {
  DeleteStmt,
  InsertStmt,
  MergeStmt,
  MergeWhenClause,
  OnConflictClause,
  RangeVar,
  ReturningClause,
  UpdateStmt,
} from 'libpg-query'
import type { Relation } from '../catalogue/types.ts'
import type { SqlAction } from './actions.ts'
import { commonTables } from './common-tables.ts'
import { type Event, follow } from './consequences.ts'
import { expression, optional } from './expressions.ts'
import type { Findings } from './findings.ts'
import { addFrom } from './from.ts'
import { runImplicitConversions } from './installed-code.ts'
import { tellOfKeys } from './keys.ts'
import { findRelation } from './names.ts'
import { query, targetList } from './query.ts'
import { isRestriction, type Target } from './restriction.ts'
import { type RangeItem, relatedRelations, relationColumns, Scope, type ScopeColumn } from './scope.ts'
import { is, type Node } from './tree.ts'
import { isTraced, unproven, type Value } from './value.ts'
import { viewColumns } from './views.ts'

export function modify(findings: Findings, node: Node, outer: Scope): ScopeColumn[] {
  const scope = new Scope(outer)
  if (is(node, 'InsertStmt')) return insert(findings, node.InsertStmt, scope)
  if (is(node, 'UpdateStmt')) return update(findings, node.UpdateStmt, scope)
  if (is(node, 'DeleteStmt')) return remove(findings, node.DeleteStmt, scope)
  return is(node, 'MergeStmt') ? merge(findings, node.MergeStmt, scope) : []
}

/** The table that is written, as an entry that conditions and RETURNING can read. */
interface Written {
  readonly relation: Relation | undefined
  readonly item: RangeItem
  readonly target: Target
}

function written(findings: Findings, range: RangeVar | undefined): Written {
  const table = range?.relname ?? ''
  const name = range?.alias?.aliasname ?? table
  const relation = findRelation(findings, range?.schemaname, table, range?.location)
  if (!relation)
    return {
      relation,
      item: { name, schema: undefined, columns: [], open: unproven },
      target: { name, table, columns: new Set() },
    }
  const read = (column: string): void => {
    const touch = findings.touch('sql:select', 'table', [relation.schema, relation.name], [])
    touch.parts?.add(column)
  }
  const columns =
    relation.definition === undefined
      ? relationColumns(findings, relation, read)
      : viewColumns(findings, relation, read)
  return {
    relation,
    item: { name, schema: relation.schema, columns },
    target: { name, table, columns: new Set(columns.map((column) => column.name)) },
  }
}

function write(
  findings: Findings,
  { relation, target }: Written,
  event: Event,
  columns?: readonly string[],
): void {
  const action: SqlAction = `sql:${event}`
  if (!relation) {
    findings.touch(action, 'table', ['?', target.table], columns)
    return
  }
  findings.touch(action, 'table', [relation.schema, relation.name], columns)
  if (event !== 'delete') tellOfKeys(findings, relation, columns)
  if (relation.schema === 'pg_catalog') findings.effect({ kind: 'unknown' })
  for (const other of relatedRelations(findings, relation)) {
    findings.touch(action, 'table', [other.schema, other.name], columns, 'implied')
    if (event !== 'delete') tellOfKeys(findings, other, columns)
  }
  if (relation.rules.length > 0)
    findings.opaque(`rewrite rules of ${relation.schema}.${relation.name} run something else instead`)
  if (relation.definition !== undefined) writeBelow(findings, relation, event, columns)
  follow(findings, relation, event, columns, new Set())
  runImplicitConversions(findings, 'ai')
}

/** An updatable view writes the tables below it. */
function writeBelow(
  findings: Findings,
  view: Relation,
  event: Event,
  columns: readonly string[] | undefined,
): void {
  const tables = new Map<number, Relation>()
  for (const column of viewColumns(findings, view, () => {}))
    for (const { path, part } of column.value.sources) {
      const [schema = '', name = ''] = path
      if (schema === view.schema && name === view.name) continue
      findings.touch(`sql:${event}`, 'table', path, [part], 'implied')
      const below = findings.catalogue.relation(schema, name)
      const written = columns?.includes(column.name) ?? true
      if (below) tables.set(below.oid, below)
      if (below && written && event !== 'delete') tellOfKeys(findings, below, [part])
    }
  // which of the view's columns are which of the table's is not worth telling apart
  for (const table of tables.values()) follow(findings, table, event, undefined, new Set())
}

/** A value that goes into a column: into its own it may, anywhere else it would get away from its mask. */
function store(findings: Findings, { relation, target }: Written, column: string, value: Value): void {
  if (!isTraced(value)) return
  const path = relation ? [relation.schema, relation.name] : ['?', target.table]
  const isOwn = (source: Source): boolean =>
    source.part === column && source.path.join('.') === path.join('.')
  // a computed value may be too long, or break a constraint, depending on what it was computed from
  const escaping =
    value.derivation === 'copy' ? value.sources.filter((source) => !isOwn(source)) : value.sources
  findings.indirect({ ...value, sources: escaping }, `stored in ${path.join('.')}.${column}`)
}

function insert(findings: Findings, statement: InsertStmt, scope: Scope): ScopeColumn[] {
  if (statement.withClause) commonTables(findings, statement.withClause, scope)
  const into = written(findings, statement.relation)
  const names = (statement.cols ?? []).map((node) =>
    is(node, 'ResTarget') ? (node.ResTarget.name ?? '') : '',
  )
  const columns = names.length > 0 ? names : into.item.columns.map((column) => column.name)
  const values = statement.selectStmt ? query(findings, statement.selectStmt, scope) : []
  write(findings, into, 'insert', columns)
  values.forEach((value, index) => {
    store(findings, into, columns[index] ?? '?', value.value)
  })
  if (statement.onConflictClause) onConflict(findings, statement.onConflictClause, into, scope)
  return returning(findings, statement.returningClause, into, scope)
}

function onConflict(
  findings: Findings,
  { action, infer, targetList: targets, whereClause }: OnConflictClause,
  into: Written,
  outer: Scope,
): void {
  const scope = withTarget(outer, into)
  scope.items.push({
    ...into.item,
    name: 'excluded',
    qualifiedOnly: true,
    columns: into.item.columns.map(({ name }) => ({
      name,
      value: { sources: [], derivation: 'derived', typeOid: 0 },
    })),
  })
  for (const node of infer?.indexElems ?? []) {
    const element = is(node, 'IndexElem') ? node.IndexElem : undefined
    if (element?.expr) findings.indirect(expression(findings, element.expr, scope), 'ON CONFLICT')
  }
  if (infer?.whereClause) findings.indirect(expression(findings, infer.whereClause, scope), 'ON CONFLICT')
  if (action !== 'ONCONFLICT_UPDATE') return
  setColumns(findings, targets ?? [], into, scope)
  if (whereClause) findings.indirect(expression(findings, whereClause, scope), 'WHERE')
}

/** The target list of an UPDATE. */
function setColumns(findings: Findings, targets: readonly Node[], into: Written, scope: Scope): void {
  const columns: string[] = []
  for (const node of targets) {
    const target = is(node, 'ResTarget') ? node.ResTarget : undefined
    if (!target) continue
    columns.push(target.name ?? '')
    for (const step of target.indirection ?? [])
      if (is(step, 'A_Indices'))
        findings.indirect(optional(findings, step.A_Indices.uidx, scope), 'a subscript')
    store(findings, into, target.name ?? '', optional(findings, target.val, scope))
  }
  write(findings, into, 'update', columns)
}

function update(findings: Findings, statement: UpdateStmt, scope: Scope): ScopeColumn[] {
  if (statement.withClause) commonTables(findings, statement.withClause, scope)
  const into = written(findings, statement.relation)
  scope.items.push(into.item)
  for (const node of statement.fromClause ?? []) addFrom(findings, node, scope)
  setColumns(findings, statement.targetList ?? [], into, scope)
  where(findings, statement.whereClause, into, scope)
  return returning(findings, statement.returningClause, into, scope)
}

function remove(findings: Findings, statement: DeleteStmt, scope: Scope): ScopeColumn[] {
  if (statement.withClause) commonTables(findings, statement.withClause, scope)
  const from = written(findings, statement.relation)
  scope.items.push(from.item)
  for (const node of statement.usingClause ?? []) addFrom(findings, node, scope)
  write(findings, from, 'delete')
  where(findings, statement.whereClause, from, scope)
  return returning(findings, statement.returningClause, from, scope)
}

function where(findings: Findings, condition: Node | undefined, { target }: Written, scope: Scope): void {
  if (!isRestriction(findings, condition, target)) findings.restricted = false
  if (condition) findings.indirect(expression(findings, condition, scope), 'WHERE')
}

function merge(findings: Findings, statement: MergeStmt, scope: Scope): ScopeColumn[] {
  if (statement.withClause) commonTables(findings, statement.withClause, scope)
  const into = written(findings, statement.relation)
  scope.items.push(into.item)
  if (statement.sourceRelation) addFrom(findings, statement.sourceRelation, scope)
  if (statement.joinCondition)
    findings.indirect(expression(findings, statement.joinCondition, scope), 'MERGE ON')
  const joined = isRestriction(findings, statement.joinCondition, into.target)
  for (const node of statement.mergeWhenClauses ?? [])
    if (is(node, 'MergeWhenClause')) mergeAction(findings, node.MergeWhenClause, into, scope, joined)
  return returning(findings, statement.returningClause, into, scope)
}

function mergeAction(
  findings: Findings,
  clause: MergeWhenClause,
  into: Written,
  scope: Scope,
  joined: boolean,
): void {
  if (clause.condition) findings.indirect(expression(findings, clause.condition, scope), 'WHEN')
  const changesMatched = clause.commandType === 'CMD_UPDATE' || clause.commandType === 'CMD_DELETE'
  const matchesAll = clause.matchKind === 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE' || !joined
  if (changesMatched && matchesAll && !isRestriction(findings, clause.condition, into.target))
    findings.restricted = false
  switch (clause.commandType) {
    case 'CMD_UPDATE':
      return setColumns(findings, clause.targetList ?? [], into, scope)
    case 'CMD_DELETE':
      return write(findings, into, 'delete')
    case 'CMD_INSERT': {
      const columns = (clause.targetList ?? []).map((node) =>
        is(node, 'ResTarget') ? (node.ResTarget.name ?? '') : '',
      )
      write(
        findings,
        into,
        'insert',
        columns.length > 0 ? columns : into.item.columns.map((column) => column.name),
      )
      clause.values?.forEach((node, index) => {
        store(
          findings,
          into,
          columns[index] ?? into.item.columns[index]?.name ?? '?',
          expression(findings, node, scope),
        )
      })
    }
  }
}

/** RETURNING, with `old` and `new` of PostgreSQL 18 by these or other names. */
function returning(
  findings: Findings,
  clause: ReturningClause | undefined,
  into: Written,
  outer: Scope,
): ScopeColumn[] {
  if (!clause?.exprs) return []
  const scope = withTarget(outer, into)
  const options = (clause.options ?? []).map((node) =>
    is(node, 'ReturningOption') ? node.ReturningOption.value : undefined,
  )
  for (const name of [...options, 'old', 'new'])
    if (name !== undefined) scope.items.push({ ...into.item, name, qualifiedOnly: true })
  return targetList(findings, clause.exprs, scope)
}

function withTarget(outer: Scope, into: Written): Scope {
  if (outer.items.includes(into.item)) return new Scope(outer).adoptItems(outer.items)
  const scope = new Scope(outer)
  scope.items.push(into.item)
  return scope
}
