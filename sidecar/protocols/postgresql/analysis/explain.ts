/** EXPLAIN: what a plan tells, and what runs for it. */
import type { ExplainStmt } from 'libpg-query'
import type { Findings } from './findings.ts'
import type { Scope, ScopeColumn } from './scope.ts'
import { subStatement } from './sub-statement.ts'
import { is, type Node } from './tree.ts'
import type { StatementAnalysis } from './types.ts'
import { constant, type Value } from './value.ts'

/** EXPLAIN shows estimates made from statistics; with ANALYZE the statement runs. */
export function explain(
  findings: Findings,
  { query, options = [] }: ExplainStmt,
  scope: Scope,
  text: string,
): readonly ScopeColumn[] {
  if (!query) return []
  const analyzes = options.some(
    (node) =>
      is(node, 'DefElem') && node.DefElem.defname?.toLowerCase() === 'analyze' && !isOff(node.DefElem.arg),
  )
  const inner = subStatement(findings, query, text, scope)
  const { copy: _rowsThatAreNotSent, ...plan } = { ...inner, shapeUnknown: false }
  findings.adopt(
    analyzes
      ? plan
      : { ...plan, effects: [], command: { ...inner.command, touches: inner.command.touches.map(asRead) } },
  )
  findings.contextual ||= inner.contextual
  findings.kind = 'explain'
  findings.indirect(readBy(inner), 'EXPLAIN')
  return [{ name: 'QUERY PLAN', value: constant }]
}

/** Widths, memory, and the choice of a plan follow from the values of all columns that are read. */
function readBy({ command }: StatementAnalysis): Value {
  const sources = command.touches.flatMap(({ object: { kind, path, parts = [] } }) =>
    kind === 'table' ? parts.map((part) => ({ path, part })) : [],
  )
  return { sources, derivation: 'derived', typeOid: 0 }
}

function isOff(node: Node | undefined): boolean {
  if (is(node, 'String')) return /^(off|false|no|0)$/i.test(node.String.sval ?? '')
  if (is(node, 'Integer')) return (node.Integer.ival ?? 0) === 0
  return is(node, 'Boolean') && node.Boolean.boolval !== true
}

function asRead(
  touch: StatementAnalysis['command']['touches'][number],
): StatementAnalysis['command']['touches'][number] {
  return ['sql:insert', 'sql:update', 'sql:delete'].includes(touch.action)
    ? { ...touch, action: 'sql:select' }
    : touch
}
