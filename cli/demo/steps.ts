/** What the agent of the demo tries, and how it is shown. */
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { type Address, decideRequest, listRequests } from '@firebreak/sidecar'
import pg from 'pg'
import { style } from '../output.ts'

export interface Step {
  readonly title: string
  readonly sql: string
  /** A person approves it, with this reason. */
  readonly approval?: string
  /** Whether what came of it is what the guard is for. */
  readonly holds: (result: StepResult) => boolean
}

interface StepResult {
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly error?: string
}

const denied = ({ error }: StepResult): boolean => error?.startsWith('denied') ?? false

export const steps: readonly Step[] = [
  {
    title: 'The agent reads customers: personal data is masked on the way',
    sql: 'SELECT name, email, ssn, card FROM customers ORDER BY id',
    holds: ({ rows }) =>
      rows.length === 3 &&
      rows.every((row) => row.email === '********' && String(row.ssn).startsWith('*******')),
  },
  {
    title: 'By another name it stays masked',
    sql: 'SELECT upper(c.s) AS harmless FROM (SELECT ssn AS s FROM customers) c',
    holds: ({ rows }) => rows.length === 3 && rows.every((row) => row.harmless === '********'),
  },
  {
    title: 'It can not be guessed by asking either',
    sql: "SELECT count(*) FROM customers WHERE ssn LIKE '411%'",
    holds: denied,
  },
  {
    title: 'The agent deletes everybody',
    sql: 'DELETE FROM customers',
    holds: ({ error }) => error !== undefined,
  },
  {
    title: 'It hides the delete in a query',
    sql: 'WITH x AS MATERIALIZED (DELETE FROM orders RETURNING *) SELECT count(*) FROM x',
    holds: denied,
  },
  {
    title: 'It makes the command up at run time',
    sql: "DO $$BEGIN EXECUTE 'dr' || 'op table orders'; END$$",
    holds: denied,
  },
  {
    title: 'Work goes on',
    sql: 'UPDATE carts SET items = items || \'["stapler"]\' WHERE id = 1 RETURNING items',
    holds: ({ rows }) => rows.length === 1,
  },
  {
    title: 'It empties the carts, all of them: that waits until a person has agreed',
    sql: 'DELETE FROM carts',
    approval: 'spring cleaning',
    holds: ({ error }) => error === undefined,
  },
]

export async function connect(
  { host, port }: Address,
  database: string,
  who: { readonly user: string; readonly password?: string },
): Promise<pg.Client> {
  const client = new pg.Client({ host, port, database, ...who })
  client.on('error', () => {})
  client.on('notice', ({ message }) => console.log(`  ${style('yellow', `NOTICE: ${message}`)}`))
  await client.connect()
  return client
}

/** @returns whether it went as it should. */
export async function takeStep(agent: pg.Client, step: Step, requests: string): Promise<boolean> {
  console.log(style('bold', step.title))
  console.log(`  ${style('cyan', step.sql)}`)
  const answered = new AbortController()
  const approved =
    step.approval === undefined ? undefined : approveNext(requests, step.approval, answered.signal)
  const result = await attempt(agent, step.sql).finally(() => answered.abort())
  await approved
  const holds = step.holds(result)
  console.log(holds ? '' : style('red', '  ^ this is not what should have happened\n'))
  return holds
}

/** What the person does who is asked. @param requests the directory of the approval requests. @param answered nobody waits any more. */
async function approveNext(requests: string, reason: string, answered: AbortSignal): Promise<void> {
  while (!answered.aborted) {
    await delay(20)
    const [request] = (await listRequests(requests)).filter(({ status }) => status?.state === 'Pending')
    if (!request) continue
    // the agent waits: long enough to be seen
    await delay(1_500)
    const { name } = request.metadata
    console.log(`  ${style('green', `$ firebreak approve ${name} --reason '${reason}'`)}`)
    await decideRequest(requests, name, { decision: 'Approved', reason })
    return
  }
}

async function attempt(agent: pg.Client, sql: string): Promise<StepResult> {
  try {
    const { rows, fields, command, rowCount } = await agent.query<Record<string, unknown>>(sql)
    if (fields.length === 0) console.log(`    ${command} ${rowCount}`)
    for (const row of rows) console.log(`    ${Object.values(row).map(show).join('  ')}`.trimEnd())
    return { rows }
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    console.log(`  ${style('red', `ERROR: ${error.message}`)}`)
    if (error.detail) console.log(`  ${style('dim', error.detail)}`)
    if (error.hint) console.log(`  ${style('dim', error.hint)}`)
    return { rows: [], error: error.message }
  }
}

function show(value: unknown): string {
  return (typeof value === 'object' ? JSON.stringify(value) : String(value)).padEnd(16)
}

interface AuditLine {
  readonly event: string
  readonly decision?: string
  readonly identity?: string
  readonly actions?: readonly string[]
  readonly rows?: number
  readonly masked?: readonly string[]
  readonly rule?: string
  readonly approval?: string
}

/** The trail is written in the background; it has everything once the last command is in it. */
export async function showAudit(path: string): Promise<void> {
  let lines: AuditLine[] = []
  for (let turn = 0; turn < 1_500; turn++) {
    const text = await readFile(path, 'utf8')
    lines = text
      .split('\n')
      // the last one may be half there
      .slice(0, -1)
      .map((line) => JSON.parse(line) as AuditLine)
    if (lines.filter((line) => line.event === 'command').length >= steps.length) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  console.log(style('bold', 'The audit trail has a line for every command:'))
  for (const { decision = '', identity, actions = [], rows, masked, rule, approval } of lines.filter(
    (line) => line.event === 'command',
  )) {
    const colour = decision === 'allow' ? 'green' : decision === 'hold' ? 'yellow' : 'red'
    const after = `${masked ? `, masked ${masked.join(', ')}` : ''}${approval ? `, approved as ${approval}` : ''}`
    const outcome =
      decision === 'deny' ? `rule ${rule ?? '-'}` : `${rows} ${rows === 1 ? 'row' : 'rows'}${after}`
    console.log(
      `  ${style(colour, decision.padEnd(6))} ${identity}  ${actions
        .filter((action) => action !== 'sql:session')
        .join(' ')
        .padEnd(24)} ${outcome}`,
    )
  }
}
