import type { Field } from '@firebreak/policy'
import type { Findings } from './findings.ts'
import type { ScopeColumn } from './scope.ts'
import type { StatementAnalysis } from './types.ts'

/** What was found, as the rest of the gateway sees it. */
export function toAnalysis(
  findings: Findings,
  columns: readonly ScopeColumn[],
  text: string,
): StatementAnalysis {
  const fields = columns.map(
    ({ name, value }): Field => ({ label: name, sources: value.sources, derivation: value.derivation }),
  )
  const known: readonly Field[] = findings.shapeUnknown
    ? [{ label: '*', sources: [...findings.reads.values()], derivation: 'unproven' }]
    : fields
  return {
    command: findings.command(text, columns.length > 0 ? known : []),
    effects: findings.effects,
    returnsRows: columns.length > 0,
    shapeUnknown: findings.shapeUnknown,
    // what does not exist now may exist in a moment
    contextual: findings.contextual || findings.serverError !== undefined,
    consultedConstants: findings.consultedConstants,
    ...(findings.copy && { copy: findings.copy }),
    ...(findings.serverError && { serverError: findings.serverError }),
  }
}
