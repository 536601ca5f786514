/** A statement inside another that is also known by itself: under PREPARE, DECLARE CURSOR and EXPLAIN. */
import { Findings } from './findings.ts'
import { Scope } from './scope.ts'
import { statement } from './statement.ts'
import { toAnalysis } from './to-analysis.ts'
import type { Node } from './tree.ts'
import type { StatementAnalysis } from './types.ts'

export function subStatement(
  outer: Findings,
  node: Node,
  text: string,
  scope: Scope = new Scope(),
): StatementAnalysis {
  const findings = new Findings(outer.context, outer.catalogue, outer.definitionsPending)
  findings.visited = outer.visited
  const columns = statement(findings, node, scope, text)
  outer.consultedConstants ||= findings.consultedConstants
  outer.contextual ||= findings.contextual
  outer.serverError ??= findings.serverError
  return toAnalysis(findings, columns, text)
}
