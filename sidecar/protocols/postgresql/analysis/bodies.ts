/** Code inside statements: bodies of functions, DO blocks. */
import type { CreateFunctionStmt, Node as TreeNode } from 'libpg-query'
import { scanSync } from 'libpg-query'
import type { FunctionInfo } from '../catalogue/types.ts'
import { expression } from './expressions.ts'
import type { Findings } from './findings.ts'
import { parseProcedural, parseText } from './parse.ts'
import { Scope } from './scope.ts'
import { statement } from './statement.ts'
import { is, listItems, type Node, strings } from './tree.ts'
import { derived, type Value } from './value.ts'

/** Analyses the body of a function of the catalogue. @returns everything that it reads. */
export function functionBody(findings: Findings, info: FunctionInfo): Value {
  const shown = `${info.schema}.${info.name}`
  if (findings.bodies.has(info.oid)) return derived()
  const parsed = info.source === undefined ? undefined : parseText(info.source)
  const create = parsed?.ok ? parsed.statements[0]?.stmt : undefined
  if (!is(create, 'CreateFunctionStmt')) {
    findings.opaque(`the function ${shown} is written in ${info.language}, which is not analysed`)
    return derived()
  }
  findings.bodies.add(info.oid)
  const before = new Map(findings.reads)
  findings.reads.clear()
  try {
    const searchPath = ownSearchPath(info.settings) ?? findings.searchPath
    findings.within('direct', searchPath, () =>
      findings.reaching(() =>
        definedBody(findings, create.CreateFunctionStmt, info.source ?? '', `the function ${shown}`),
      ),
    )
    return derived({ sources: [...findings.reads.values()], derivation: 'derived', typeOid: 0 })
  } finally {
    for (const [key, source] of before) findings.reads.set(key, source)
    findings.bodies.delete(info.oid)
  }
}

function ownSearchPath(settings: readonly string[]): string[] | undefined {
  const setting = settings.find((entry) => entry.startsWith('search_path='))
  return setting
    ?.slice('search_path='.length)
    .split(',')
    .map((part) => part.trim().replaceAll('"', ''))
}

/** Analyses what a CREATE FUNCTION defines. @param text the statement itself. */
export function definedBody(
  findings: Findings,
  create: CreateFunctionStmt,
  text: string,
  what: string,
): void {
  findings.insideCode = true
  const options = new Map(
    (create.options ?? []).map((node) =>
      is(node, 'DefElem') ? [node.DefElem.defname ?? '', node.DefElem.arg] : ['', undefined],
    ),
  )
  const language = textOf(options.get('language')) ?? 'sql'
  const scope = new Scope()
  for (const node of create.parameters ?? []) {
    if (!is(node, 'FunctionParameter')) continue
    scope.variables.add(node.FunctionParameter.name ?? '')
    if (node.FunctionParameter.defexpr)
      findings.indirect(expression(findings, node.FunctionParameter.defexpr, new Scope()), 'a default')
  }
  scope.variables.add(create.funcname ? (strings(create.funcname).at(-1) ?? '') : '')
  if (create.sql_body) return sqlBody(findings, create.sql_body, scope)
  const [body, symbol] = listItems(options.get('as')).map(textOf)
  if (language === 'plpgsql') return proceduralCode(findings, text, what)
  if (language !== 'sql' || symbol !== undefined || body === undefined)
    return findings.opaque(`${what} is written in ${language}, which is not analysed`)
  const parsed = parseText(body)
  if (!parsed.ok) return findings.opaque(`the body of ${what} can't be parsed: ${parsed.message}`)
  for (const { stmt } of parsed.statements) if (stmt) statement(findings, stmt, scope, body)
}

function textOf(node: Node | undefined): string | undefined {
  return is(node, 'String') ? (node.String.sval ?? '') : undefined
}

/** BEGIN ATOMIC … END or RETURN. */
function sqlBody(findings: Findings, body: TreeNode, scope: Scope): void {
  for (const node of is(body, 'List')
    ? listItems(body).flatMap((item) => (is(item, 'List') ? listItems(item) : [item]))
    : [body]) {
    if (is(node, 'ReturnStmt')) {
      if (node.ReturnStmt.returnval) expression(findings, node.ReturnStmt.returnval, scope)
    } else statement(findings, node, scope, '')
  }
}

/** PL/pgSQL: every query and expression in it is analysed; commands made at run time can't be. @param text DO or CREATE FUNCTION. */
export function proceduralCode(findings: Findings, text: string, what: string): void {
  findings.insideCode = true
  const tree = parseProcedural(text)
  if (tree === undefined) return findings.opaque(`the body of ${what} can't be analysed`)
  const scope = new Scope()
  visit(tree, (key, value) => {
    if ((key === 'refname' || key === 'fieldname') && typeof value === 'string') scope.variables.add(value)
    if (key === 'name' && typeof value === 'string') scope.variables.add(value)
  })
  visit(tree, (key, value) => {
    if (key === 'PLpgSQL_stmt_dynexecute' || key === 'PLpgSQL_stmt_dynfors' || key === 'dynquery')
      findings.opaque(`${what} runs dynamic SQL`)
    if (key === 'PLpgSQL_expr')
      proceduralQuery(findings, value as { query?: string; parseMode?: number }, scope, what)
  })
}

function visit(value: unknown, see: (key: string, value: unknown) => void): void {
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    see(key, inner)
    visit(inner, see)
  }
}

/** Parse modes of `RawParseMode`: 0 a statement, 2 an expression, from 3 on an assignment. */
function proceduralQuery(
  findings: Findings,
  { query = '', parseMode = 0 }: { query?: string; parseMode?: number },
  scope: Scope,
  what: string,
): void {
  const text = parseMode === 0 ? query : `SELECT ${parseMode === 2 ? query : assignedExpression(query)}`
  const parsed = parseText(text)
  if (!parsed.ok) return findings.opaque(`${what} holds "${query}", which can't be analysed`)
  for (const { stmt } of parsed.statements) {
    if (!stmt) continue
    const columns = statement(findings, stmt, scope, text)
    // a variable can be raised, returned or stored, and is not followed
    for (const column of columns) findings.indirect(column.value, `used by ${what}`)
  }
}

/** What stands behind the first `:=` or `=` of an assignment. */
function assignedExpression(assignment: string): string {
  const colonEquals = 270
  const token = scanSync(assignment).tokens.find(
    ({ tokenType, text }) => tokenType === colonEquals || text === '=',
  )
  return token ? Buffer.from(assignment).subarray(token.end).toString('utf8') : assignment
}
