/** COPY in all its directions. https://www.postgresql.org/docs/current/sql-copy.html */
import type { CopyStmt, DefElem } from 'libpg-query'
import { expression } from './expressions.ts'
import type { Findings } from './findings.ts'
import { relationItem } from './from.ts'
import { modify } from './modify.ts'
import { findRelation } from './names.ts'
import { query } from './query.ts'
import { type RangeItem, Scope, type ScopeColumn } from './scope.ts'
import { is, type Node, strings } from './tree.ts'
import type { StatementAnalysis } from './types.ts'
import { constant, typed } from './value.ts'

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
    findings.copy = copyOptions(findings, 'out', copy.options ?? [])
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
  if (copy.filename === undefined) findings.copy = copyOptions(findings, 'in', copy.options ?? [])
  if (copy.whereClause && copy.relation) {
    const relation = findRelation(findings, copy.relation.schemaname, copy.relation.relname ?? '')
    const scope = new Scope()
    if (relation) scope.items.push(incomingRows(relationItem(findings, relation), names))
    findings.indirect(expression(findings, copy.whereClause, scope), 'WHERE')
  }
}

/** What the client sends is its own; other columns have their defaults, which may be anything. */
function incomingRows(item: RangeItem, sent: readonly string[]): RangeItem {
  const isSent = (name: string): boolean => sent.length === 0 || sent.includes(name)
  return {
    ...item,
    columns: item.columns.map((column) =>
      isSent(column.name) ? { ...column, value: typed(constant, column.value.typeOid) } : column,
    ),
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

/** What COPY knows; how any other option would change the rows can't be told. */
const knownOptions = new Set([
  'format',
  'freeze',
  'delimiter',
  'null',
  'default',
  'header',
  'quote',
  'escape',
  'force_quote',
  'force_not_null',
  'force_null',
  'on_error',
  'reject_limit',
  'encoding',
  'log_verbosity',
  'convert_selectively',
])

function copyOptions(
  findings: Findings,
  direction: 'in' | 'out',
  nodes: readonly Node[],
): NonNullable<StatementAnalysis['copy']> {
  const options = new Map(
    nodes.map((node): [string, DefElem] =>
      is(node, 'DefElem') ? [node.DefElem.defname ?? '', node.DefElem] : ['', {}],
    ),
  )
  for (const name of options.keys())
    if (!knownOptions.has(name)) findings.opaque(`the COPY option ${name} is not known`)
  const text = (name: string): string | undefined => {
    const value = options.get(name)?.arg
    if (value === undefined) return undefined
    if (is(value, 'String')) return value.String.sval ?? ''
    // the server takes numbers, names and lists for text as well
    findings.opaque(`the COPY option ${name} is not given as text`)
    return undefined
  }
  const format = text('format') ?? 'text'
  const csv = format === 'csv'
  const quote = text('quote') ?? '"'
  const header = headerOption(findings, options.get('header'))
  const encoding = text('encoding')
  return {
    direction,
    format: csv ? 'csv' : format === 'binary' ? 'binary' : 'text',
    delimiter: text('delimiter') ?? (csv ? ',' : '\t'),
    null: text('null') ?? (csv ? '' : '\\N'),
    quote,
    escape: text('escape') ?? quote,
    header,
    ...(encoding !== undefined && { encoding }),
  }
}

/** Whether the first row holds names; the server takes some values for off that are not given as text. */
function headerOption(findings: Findings, option: DefElem | undefined): boolean {
  if (!option) return false
  const { arg } = option
  if (arg === undefined) return true
  if (is(arg, 'Boolean')) return arg.Boolean.boolval === true
  if (is(arg, 'Integer')) return (arg.Integer.ival ?? 0) !== 0
  if (is(arg, 'String')) return !['off', 'false'].includes((arg.String.sval ?? '').toLowerCase())
  findings.opaque('the COPY option header is not given as text')
  return false
}
