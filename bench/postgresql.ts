/** PostgreSQL: direct, pgbouncer (session pooling) and Firebreak (policy with analysis, audit on), without and with recordings or signals, side by side. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import type { Address } from '@firebreak/sidecar'
import pg from 'pg'
import { startPostgres } from '../tools/postgres.ts'
import { bulkRead } from './bulk-read.ts'
import { type Contender, startFirebreak, startPgbouncer } from './contenders.ts'

const modes = ['simple', 'extended', 'prepared'] as const
const clients = [1, 8] as const
const bulkRows = 1_000_000

interface Measured {
  readonly transactionsPerSecond: number
  readonly p50: number
  readonly p99: number
}

export async function benchPostgresql(seconds: number): Promise<void> {
  await using postgres = await startPostgres({
    hba: ['host all all 127.0.0.1/32 trust'],
    settings: { max_connections: 500 },
  })
  console.log('Filling a database with pgbench (scale 10) and a table of a million rows …')
  pgbench(postgres, ['-i', '-s', '10', '-q'])
  await fill(postgres)
  await using pgbouncer = await startPgbouncer(postgres)
  await using firebreak = await startFirebreak(postgres)
  await using recorded = await startFirebreak(postgres, 'recorded')
  await using watched = await startFirebreak(postgres, 'watched')
  const contenders: readonly Contender[] = [
    { name: 'direct', address: postgres },
    pgbouncer,
    firebreak,
    recorded,
    watched,
  ]
  for (const mode of modes) for (const count of clients) await compare(contenders, mode, count, seconds)
  await compareBulk(contenders, 'SELECT id, name, note FROM bulk', 'unmasked')
  await compareBulk(contenders, 'SELECT id, email, note FROM bulk', 'one column masked by Firebreak')
  await memory(firebreak.address, firebreak.processId)
  await memory(recorded.address, recorded.processId)
  const lines = firebreak.auditLines()
  console.log(
    `\naudit: ${lines.commands} command lines, ${lines.gaps} of ${firebreak.commandsSent()} transactions without one`,
  )
}

function pgbench({ host, port }: Address, options: readonly string[], directory?: string): string {
  return execFileSync('pgbench', ['-h', host, '-p', String(port), '-U', 'postgres', ...options, 'postgres'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: directory,
  })
}

async function fill({ host, port }: Address): Promise<void> {
  const client = new pg.Client({ host, port, user: 'postgres', database: 'postgres' })
  await client.connect()
  await client.query(
    `CREATE TABLE bulk AS SELECT n AS id, 'person ' || n AS name, 'person' || n || '@shop.example' AS email, repeat('x', 40) AS note FROM generate_series(1, ${bulkRows}) n`,
  )
  await client.query('VACUUM ANALYZE')
  await client.end()
}

/** One setting, every contender in turn, twice, so that a drift of the machine meets all alike. */
async function compare(
  contenders: readonly Contender[],
  mode: (typeof modes)[number],
  count: number,
  seconds: number,
): Promise<void> {
  const results = new Map<string, Measured[]>()
  // until the programs that are compiled as they run have settled
  for (const contender of contenders) measure(contender, mode, count, seconds)
  for (let turn = 0; turn < 2; turn++) {
    for (const contender of contenders)
      results.set(contender.name, [
        ...(results.get(contender.name) ?? []),
        measure(contender, mode, count, seconds / 2),
      ])
  }
  const best = (name: string): Measured =>
    (results.get(name) ?? []).reduce((a, b) => (b.transactionsPerSecond > a.transactionsPerSecond ? b : a))
  const direct = best('direct')
  const bouncer = best('pgbouncer')
  console.log(`\npgbench -S, ${mode}, ${count} client${count > 1 ? 's' : ''}`)
  const plain = best('firebreak')
  for (const { name } of contenders) {
    const { transactionsPerSecond, p50, p99 } = best(name)
    const added = p50 - direct.p50
    console.log(
      `  ${name.padEnd(10)} ${transactionsPerSecond.toFixed(0).padStart(7)} tps  p50 ${p50.toFixed(3)} ms  p99 ${p99.toFixed(3)} ms  ${ratio(transactionsPerSecond, direct.transactionsPerSecond)} of direct  ${ratio(transactionsPerSecond, bouncer.transactionsPerSecond)} of pgbouncer  added p50 ${added.toFixed(3)} ms (${ratio(added, bouncer.p50 - direct.p50)} of pgbouncer's)${isVariant(name) ? `  ${ratio(transactionsPerSecond, plain.transactionsPerSecond)} of firebreak` : ''}`,
    )
  }
}

/** Firebreak with something more to do. */
function isVariant(name: string): boolean {
  return name === 'recorded' || name === 'watched'
}

function ratio(a: number, b: number): string {
  return (a / b).toFixed(2)
}

function measure(contender: Contender, mode: string, count: number, seconds: number): Measured {
  const directory = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim()
  try {
    const output = pgbench(
      contender.address,
      [
        '-S',
        '-n',
        '-M',
        mode,
        '-c',
        String(count),
        '-j',
        '1',
        '-T',
        String(Math.max(1, Math.round(seconds))),
        '-l',
        '--sampling-rate=1',
      ],
      directory,
    )
    const transactions = Number(/transactions actually processed: (\d+)/.exec(output)?.[1])
    contender.sent?.(transactions)
    const latencies = readdirSync(directory)
      .flatMap((name) => readFileSync(`${directory}/${name}`, 'utf8').split('\n'))
      .filter((line) => line !== '')
      .map((line) => Number(line.split(' ')[2]) / 1_000)
      .sort((a, b) => a - b)
    const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? Number.NaN
    return { transactionsPerSecond: Number(/tps = ([0-9.]+)/.exec(output)?.[1]), p50: at(0.5), p99: at(0.99) }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function compareBulk(contenders: readonly Contender[], sql: string, what: string): Promise<void> {
  console.log(`\n${bulkRows} rows, ${what}`)
  const best = new Map<string, number>()
  for (let turn = 0; turn < 3; turn++) {
    for (const { name, address, sent } of contenders) {
      const { rows, milliseconds } = await bulkRead(address, sql)
      sent?.(1)
      if (rows !== bulkRows) throw new Error(`${name} sent ${rows} rows`)
      best.set(name, Math.min(best.get(name) ?? Number.POSITIVE_INFINITY, milliseconds))
    }
  }
  for (const [name, milliseconds] of best) {
    console.log(
      `  ${name.padEnd(10)} ${milliseconds.toFixed(0).padStart(6)} ms  ${ratio(best.get('direct') ?? 0, milliseconds)} of direct  ${ratio(best.get('pgbouncer') ?? 0, milliseconds)} of pgbouncer${isVariant(name) ? `  ${ratio(best.get('firebreak') ?? 0, milliseconds)} of firebreak` : ''}`,
    )
  }
}

/** Resident memory with 200 connections that have all run something. */
async function memory({ host, port }: Address, processId: number): Promise<void> {
  const connections = await Promise.all(
    Array.from({ length: 200 }, async () => {
      const client = new pg.Client({ host, port, user: 'postgres', database: 'postgres' })
      await client.connect()
      return client
    }),
  )
  for (let turn = 0; turn < 3; turn++) {
    for (let round = 0; round < 20; round++)
      await Promise.all(
        connections.map((client) =>
          client.query('SELECT abalance FROM pgbench_accounts WHERE aid = $1', [round]),
        ),
      )
    const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${processId}/status`, 'utf8'))?.[1]
    console.log(
      `${turn === 0 ? '\n' : ''}200 connections, after ${(turn + 1) * 4000} commands: ${(Number(resident) / 1024).toFixed(0)} MB resident`,
    )
  }
  await Promise.all(connections.map((client) => client.end()))
}
