/** How many rows a command would touch, by the server's own planner, without running any of it. */
import type { StatementAnalysis } from '../analysis/types.ts'
import { ControlConnection } from '../catalogue/control-connection.ts'
import { readable } from './held.ts'
import type { Session } from './session.ts'

const answerWithin = 2_000
/** Each takes a connection for a moment; an approver can do without. */
const maximumAtOnce = 4
const explainable = new Set(['select', 'insert', 'update', 'delete'])
const actions = new Set(['sql:select', 'sql:insert', 'sql:update', 'sql:delete'])

let atOnce = 0

/**
 * Planning runs no command, but it may fold functions that claim not to change anything: only commands that touch
 * nothing but tables are planned.
 *
 * @returns undefined where it can't be had safely.
 */
export function estimateFor(
  session: Session,
  statements: readonly StatementAnalysis[],
  text: Buffer,
  parameters: number,
): (() => Promise<string | undefined>) | undefined {
  const { state, guarded } = session
  const [statement, ...others] = statements
  const { command, contextual } = statement ?? {}
  const plannable =
    command !== undefined &&
    others.length === 0 &&
    !contextual &&
    command.opaque.length === 0 &&
    explainable.has(String(command.facts.sql?.kind)) &&
    command.touches.every(({ action, object }) => actions.has(action) && object.kind === 'table')
  // the planner's session has to read the text as this one does
  const path = state.searchPath
  const alike = state.standardConformingStrings && state.clientEncoding === 'UTF8' && path !== undefined
  if (!plannable || !alike || path.includes('pg_temp') || guarded.ownAccount) return undefined
  return () => plan(session, path, readable(text), parameters > 0)
}

async function plan(
  { target, guarded, database }: Session,
  searchPath: readonly string[],
  text: string,
  hasParameters: boolean,
): Promise<string | undefined> {
  if (atOnce >= maximumAtOnce) return undefined
  atOnce++
  try {
    const deadline = AbortSignal.timeout(answerWithin)
    const credential = await guarded.credential(target)
    if (!credential.ok) return undefined
    const opened = await ControlConnection.open(target, credential.value, database, deadline)
    if (!opened.ok) return undefined
    using connection = opened.value
    deadline.addEventListener('abort', () => connection[Symbol.dispose](), { once: true })
    const path = searchPath.map((schema) => `"${schema.replaceAll('"', '""')}"`).join(', ')
    const options = hasParameters ? 'FORMAT JSON, GENERIC_PLAN' : 'FORMAT JSON'
    const settings = `SET LOCAL statement_timeout = ${answerWithin}; SET LOCAL lock_timeout = ${answerWithin}; SET LOCAL search_path = ${path === '' ? "''" : path}`
    const json = await connection.value(`BEGIN READ ONLY; ${settings}; EXPLAIN (${options}) ${text}`)
    return rowsOf(JSON.parse(json))
  } catch {
    return undefined
  } finally {
    atOnce--
  }
}

/** What changes rows plans none of its own: they are those of the plan below it. */
function rowsOf(plans: unknown): string | undefined {
  const [{ Plan: top }] = plans as [{ Plan: PlanNode }]
  const nodes = top['Node Type'] === 'ModifyTable' ? (top.Plans ?? []) : [top]
  const rows = nodes.reduce((sum, node) => sum + node['Plan Rows'], 0)
  return `~${rows} row${rows === 1 ? '' : 's'}`
}

interface PlanNode {
  readonly 'Node Type': string
  readonly 'Plan Rows': number
  readonly Plans?: readonly PlanNode[]
}
