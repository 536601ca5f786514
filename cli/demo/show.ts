/** Shows what the gateway does, on a real PostgreSQL, in a few seconds. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Address, Standalone } from '@firebreak/sidecar'
import { type Postgres, startPostgres } from '../../tools/postgres.ts'
import { style } from '../output.ts'
import { stopSignal } from '../serving.ts'
import { showRecordings } from './recordings.ts'
import { connect, type Step, showAudit, steps, takeStep } from './steps.ts'

/** @returns the exit code. */
export async function show(port: number | undefined, noWait: boolean): Promise<number> {
  console.log('Starting a real PostgreSQL with a small shop …')
  await using postgres = await startPostgres()
  await fill(postgres)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-demo-'))
  try {
    return await guarded(postgres, directory, port, noWait)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function fill({ host, port, user, password }: Postgres): Promise<void> {
  const admin = await connect({ host, port }, 'postgres', { user, password })
  await admin.query('CREATE DATABASE orders')
  await admin.end()
  const shop = await connect({ host, port }, 'orders', { user, password })
  await shop.query(readFileSync(new URL('orders.sql', import.meta.url), 'utf8'))
  await shop.end()
}

async function guarded(
  postgres: Postgres,
  directory: string,
  port: number | undefined,
  noWait: boolean,
): Promise<number> {
  process.env.ORDERS_DB_PASSWORD = postgres.password
  const example = readFileSync(new URL('../../examples/standalone/firebreak.yaml', import.meta.url), 'utf8')
  writeFileSync(
    join(directory, 'firebreak.yaml'),
    example.replace('127.0.0.1:5433', `${postgres.host}:${postgres.port}`),
  )
  const auditPath = join(directory, 'audit.jsonl')
  const listen =
    port === undefined ? undefined : new Map<string, Address>([['orders-db', { host: '127.0.0.1', port }]])
  let address: Address | undefined
  await using _gateway = await Standalone.start({
    directory,
    audit: [{ kind: 'file', path: auditPath }],
    ...(listen && { listen }),
    onEvent: (event) => {
      if (event.kind === 'listening') address = event.address
    },
  })
  if (!address) throw new Error('the gateway does not listen')
  console.log(`Guarding it on ${address.host}:${address.port}, by the policy in examples/standalone.\n`)
  const failed = await tell(address, join(directory, 'approvals'))
  await showAudit(auditPath)
  await showRecordings(directory)
  if (failed.length > 0) {
    console.log(style('red', `\nNot as it should be: ${failed.map((step) => step.title).join('; ')}`))
    return 1
  }
  if (noWait) return 0
  const stopped = stopSignal()
  console.log(
    `\nTry it yourself (Ctrl-C ends it):\n\n  ${style('bold', `psql -h ${address.host} -p ${address.port} -U reader orders`)}\n`,
  )
  await stopped
  return 0
}

/** @returns the steps that did not go as they should. */
async function tell(address: Address, requests: string): Promise<Step[]> {
  const agent = await connect(address, 'orders', { user: 'reader' })
  const failed: Step[] = []
  for (const step of steps) if (!(await takeStep(agent, step, requests))) failed.push(step)
  await agent.end()
  return failed
}
