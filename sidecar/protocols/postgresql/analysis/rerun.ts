/** What is prepared or open in the session, and runs again. */
import type { ExecuteStmt, FetchStmt } from 'libpg-query'
import { DraftCatalogue } from './draft.ts'
import { expression } from './expressions.ts'
import type { Findings } from './findings.ts'
import type { Scope, ScopeColumn } from './scope.ts'
import { session } from './session-touch.ts'
import type { StatementAnalysis } from './types.ts'

/** A prepared statement does again what it was prepared for. */
export function execute(
  findings: Findings,
  { name = '', params = [] }: ExecuteStmt,
  scope: Scope,
): readonly ScopeColumn[] {
  session(findings, 'execute')
  for (const node of params) findings.indirect(expression(findings, node, scope), 'a parameter of EXECUTE')
  findings.contextual = true
  // the server plans it anew if need be, and names may mean something else by then
  const { catalogue } = findings
  if (findings.definitionsPending || (catalogue instanceof DraftCatalogue && catalogue.changed))
    findings.opaque(`what ${name} does may have changed within the same message or transaction`)
  return rerun(
    findings,
    findings.context.statement(name),
    '26000',
    `prepared statement "${name}" does not exist`,
  )
}

export function fetch(findings: Findings, { portalname = '', ismove }: FetchStmt): readonly ScopeColumn[] {
  session(findings, 'fetch')
  findings.contextual = true
  const columns = rerun(
    findings,
    findings.context.cursor(portalname),
    '34000',
    `cursor "${portalname}" does not exist`,
  )
  return ismove ? [] : columns
}

function rerun(
  findings: Findings,
  known: StatementAnalysis | undefined,
  code: string,
  message: string,
): readonly ScopeColumn[] {
  if (!known) {
    findings.fails(code, message)
    return []
  }
  findings.adopt(known)
  return known.command.fields.map(
    (field): ScopeColumn => ({
      name: field.label,
      value: { sources: field.sources, derivation: field.derivation, typeOid: 0 },
    }),
  )
}
