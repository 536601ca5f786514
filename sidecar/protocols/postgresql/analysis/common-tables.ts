/** WITH: queries that have a name. */
import type { CommonTableExpr, WithClause } from 'libpg-query'
import type { Findings } from './findings.ts'
import { query } from './query.ts'
import { type CommonTable, Scope, type ScopeColumn } from './scope.ts'
import { is, strings } from './tree.ts'
import { derived, unproven, type Value } from './value.ts'

/** Each common table with its columns, a recursive one until nothing new flows into it. */
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
