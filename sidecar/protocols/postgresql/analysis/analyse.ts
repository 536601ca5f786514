/** A text as it came from a client → what each of its statements does. */
import { DraftCatalogue } from './draft.ts'
import { Findings } from './findings.ts'
import { refusedUnread } from './guard.ts'
import { parseText } from './parse.ts'
import { Scope } from './scope.ts'
import { statement } from './statement.ts'
import { toAnalysis } from './to-analysis.ts'
import type { SessionContext, StatementAnalysis, TextAnalysis } from './types.ts'

export function analyseText(text: Buffer, context: SessionContext): TextAnalysis {
  const unread = refusedUnread(text, context)
  const shown = text.toString('utf8')
  if (unread !== undefined) return [opaqueStatement(context, shown, unread)]
  const parsed = parseText(shown)
  if (!parsed.ok) {
    // what PostgreSQL's own parser refuses, the server refuses in the same words
    const { message, position } = parsed
    const asServer = position === undefined ? undefined : { code: '42601', message, position: position + 1 }
    return [opaqueStatement(context, shown, message, asServer)]
  }
  const several = parsed.statements.length > 1
  const draft = several ? new DraftCatalogue(context.catalogue) : undefined
  const prepared = new Map<string, StatementAnalysis | undefined>()
  const cursors = new Map<string, StatementAnalysis | undefined>()
  const inText: SessionContext = several
    ? {
        ...context,
        statement: (name) => (prepared.has(name) ? prepared.get(name) : context.statement(name)),
        cursor: (name) => (cursors.has(name) ? cursors.get(name) : context.cursor(name)),
      }
    : context
  let searchPath = context.searchPath
  let mayRevert = context.searchPathMayRevert
  return parsed.statements.map(({ stmt, stmt_location: start = 0, stmt_len: length }) => {
    const own = several
      ? text
          .subarray(start, length === undefined ? undefined : start + length)
          .toString('utf8')
          .trim()
      : shown
    if (!stmt) return opaqueStatement(context, own, 'the statement is empty')
    const findings = new Findings(
      inText,
      draft ?? context.catalogue,
      context.definitionsPending || (draft?.uncertain ?? false),
    )
    findings.searchPath = searchPath
    const analysis = placed(analyseStatement(findings, stmt, own), text)
    for (const effect of analysis.effects) {
      if (effect.kind === 'prepare') prepared.set(effect.name, effect.statement)
      if (effect.kind === 'declareCursor') cursors.set(effect.name, effect.statement)
      if (effect.kind === 'searchPath') {
        searchPath = effect.schemas && searchedSchemas(effect.schemas, context)
        mayRevert = true
      }
      const ends = effect.kind === 'transaction' && endsTransaction.has(effect.step)
      if (effect.kind === 'unknown' || (ends && mayRevert)) searchPath = undefined
      if (effect.kind === 'unknown' || ends) draft?.transactionMayEnd()
    }
    return analysis
  })
}

/** Nodes that run something: each of them must have been looked at. */
const running: ReadonlySet<string> = new Set([
  'FuncCall',
  'SubLink',
  'A_Expr',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'JsonFuncExpr',
])

/** A second look by form alone: whatever the analysis forgot to go into, now or in a later grammar, is found here. */
function hasUnvisited(value: unknown, visited: WeakSet<object>): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(
    ([key, inner]) =>
      (running.has(key) && typeof inner === 'object' && !visited.has(inner as object)) ||
      hasUnvisited(inner, visited),
  )
}

/** Steps that undo SET LOCAL, or SET as well. */
const endsTransaction: ReadonlySet<string> = new Set(['commit', 'rollback', 'rollbackTo'])

/** The parser counts bytes from 0, clients characters from 1. */
function placed(analysis: StatementAnalysis, text: Buffer): StatementAnalysis {
  const { serverError } = analysis
  if (serverError?.position === undefined) return analysis
  const position = text.subarray(0, serverError.position).toString('utf8').length + 1
  return { ...analysis, serverError: { ...serverError, position } }
}

function analyseStatement(
  findings: Findings,
  node: NonNullable<Parameters<typeof statement>[1]>,
  text: string,
): StatementAnalysis {
  try {
    const columns = statement(findings, node, new Scope(), text)
    if (hasUnvisited(node, findings.visited))
      findings.opaque('a part of the statement stands where it is not analysed')
    return toAnalysis(findings, columns, text)
  } catch (error) {
    // deep trees exhaust the stack; whatever else is thrown must not let a statement through either
    const reason =
      error instanceof RangeError
        ? 'the statement is nested too deeply'
        : `the analysis failed: ${error instanceof Error ? error.message : String(error)}`
    return opaqueStatement(findings.context, text, reason)
  }
}

/**
 * The schemas that are searched by the rest of a text, after a SET in it. Only the server knows what another role may look
 * into, and which number its temporary schema has.
 *
 * @returns undefined when it can't be known.
 */
function searchedSchemas(schemas: readonly string[], context: SessionContext): readonly string[] | undefined {
  const { catalogue, currentUser } = context
  const resolved = resolveSearchPath(schemas, context)
  const knowable =
    currentUser === catalogue.reader && !resolved.some((schema) => schema.startsWith('pg_temp_'))
  return knowable
    ? resolved.filter((schema) => schema === 'pg_temp' || catalogue.hasSchema(schema))
    : undefined
}

/** `"$user"` stands for the current user's schema. */
export function resolveSearchPath(
  schemas: readonly string[],
  context: Pick<SessionContext, 'currentUser'>,
): readonly string[] {
  return schemas.map((schema) => (schema === '$user' ? context.currentUser : schema))
}

/** A statement of which nothing is known. */
export function opaqueStatement(
  context: SessionContext,
  text: string,
  reason: string,
  serverError?: StatementAnalysis['serverError'],
): StatementAnalysis {
  const findings = new Findings(context, context.catalogue, context.definitionsPending)
  findings.opaque(reason)
  findings.restricted = false
  findings.shapeUnknown = true
  findings.consultedConstants = true
  findings.effect({ kind: 'unknown' })
  findings.effect({ kind: 'definition', temporary: false })
  const analysis = toAnalysis(
    findings,
    [{ name: '*', value: { sources: [], derivation: 'unproven', typeOid: 0 } }],
    text,
  )
  return serverError ? { ...analysis, serverError } : analysis
}
