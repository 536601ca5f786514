/** COPY in all its directions. https://www.postgresql.org/docs/current/sql-copy.html */
import type { CopyStmt, DefElem } from 'libpg-query'
import { expression } from './expressions.ts'
import type { Findings } from './findings.ts'
import { relationItem } from './from.ts'
import { modify } from './modify.ts'
import { findRelation } from './names.ts'
import { query } from './query.ts'
import { Scope, type ScopeColumn } from './scope.ts'
import { is, type Node, strings } from './tree.ts'
import type { StatementAnalysis } from './types.ts'

export function copyStatement(findings: Findings, copy: CopyStmt, scope: Scope): readonly ScopeColumn[] {
  if (copy.is_program) findings.touch('sql:program', 'program', [copy.filename ?? ''])
  else if (copy.filename !== undefined)
    findings.touch(copy.is_from ? 'sql:readFile' : 'sql:writeFile', 'file', [copy.filename])
  if (copy.is_from) {
    copyFrom(findings, copy)
    return []
  }
  const columns = copiedColumns(findings, copy, scope)
  if (copy.filename === undefined) {
    findings.copy = copyOptions('out', copy.options ?? [])
    return columns
  }
  for (const column of columns) findings.indirect(column.value, 'written to a file')
  return []
}

function copyFrom(findings: Findings, copy: CopyStmt): void {
  const names = strings(copy.attlist)
  const targets = names.map((name): Node => ({ ResTarget: { name } }))
  modify(
    findings,
    { InsertStmt: { ...(copy.relation && { relation: copy.relation }), cols: targets } },
    new Scope(),
  )
  if (copy.filename === undefined) findings.copy = copyOptions('in', copy.options ?? [])
  if (copy.whereClause && copy.relation) {
    const relation = findRelation(findings, copy.relation.schemaname, copy.relation.relname ?? '')
    const scope = new Scope()
    if (relation) scope.items.push(relationItem(findings, relation))
    expression(findings, copy.whereClause, scope)
  }
}

function copiedColumns(findings: Findings, copy: CopyStmt, scope: Scope): readonly ScopeColumn[] {
  if (copy.query) return query(findings, copy.query, scope)
  const relation =
    copy.relation && findRelation(findings, copy.relation.schemaname, copy.relation.relname ?? '')
  if (!relation) return []
  const item = relationItem(findings, relation, false)
  const names = strings(copy.attlist)
  // generated columns are not part of a plain COPY, which only shows when rows come: the session checks their number
  const wanted = names.length > 0 ? names : item.columns.map((column) => column.name)
  return wanted.flatMap((name) => {
    const column = item.columns.find((candidate) => candidate.name === name)
    column?.read?.()
    return column ? [column] : []
  })
}

function copyOptions(
  direction: 'in' | 'out',
  nodes: readonly Node[],
): NonNullable<StatementAnalysis['copy']> {
  const options = new Map(
    nodes.map((node): [string, DefElem] =>
      is(node, 'DefElem') ? [node.DefElem.defname ?? '', node.DefElem] : ['', {}],
    ),
  )
  const text = (name: string): string | undefined => {
    const value = options.get(name)?.arg
    return is(value, 'String') ? (value.String.sval ?? '') : undefined
  }
  const format = (text('format') ?? 'text').toLowerCase()
  const csv = format === 'csv'
  const quote = text('quote') ?? '"'
  const header = options.get('header')
  return {
    direction,
    format: csv ? 'csv' : format === 'binary' ? 'binary' : 'text',
    delimiter: text('delimiter') ?? (csv ? ',' : '\t'),
    null: text('null') ?? (csv ? '' : '\\N'),
    quote,
    escape: text('escape') ?? quote,
    header: header !== undefined && !isOff(header.arg),
  }
}

function isOff(node: Node | undefined): boolean {
  if (is(node, 'String')) return /^(off|false|0)$/i.test(node.String.sval ?? '')
  return is(node, 'Integer')
    ? (node.Integer.ival ?? 0) === 0
    : is(node, 'Boolean') && node.Boolean.boolval !== true
}
