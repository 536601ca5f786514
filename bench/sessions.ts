/** An index of ten million commands, as `firebreak sessions` uses it: what it takes to list and to search. */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RecordingHeader } from '@firebreak/sidecar/recording/header.ts'
import { openIndex } from '../cli/sessions/index/database.ts'
import { type Filter, listSessions, searchCommands } from '../cli/sessions/index/query.ts'
import { IndexWriter } from '../cli/sessions/index/writer.ts'

const sessions = 100_000
const commandsPerSession = 100
const limit = 50
const start = Date.UTC(2026, 0, 1)
/** Between sessions, in milliseconds. */
const every = 60_000

const tables = Array.from({ length: 200 }, (_, index) => `table public.t${index}`)
const agents = Array.from({ length: 300 }, (_, index) => `agents/worker-${index}` as const)

const queries: Readonly<Record<string, Filter & { readonly search?: true }>> = {
  'list the newest': {},
  'list by identity and time': {
    identity: 'worker-7',
    since: start + 1000 * every,
    until: start + 90_000 * every,
  },
  'list by decision': { decision: 'deny' },
  'list by action, decision and object': { action: 'sql:drop', decision: 'deny', object: 'public.t7' },
  'list by object, none newer than the oldest day': { object: 'public.t7', until: start + 1000 * every },
  'list by a word of every command': { text: 'select' },
  'list by two agents and a word': { identity: 'worker-1?', text: 'customer' },
  'search a word of every command': { text: 'select', search: true },
  'search a word of one command': { text: 'customer5000017', search: true },
  'search in answers': { text: '"person 77"', search: true },
  'search words that are never together': { text: 'drop select', search: true },
  'search a beginning': { text: 'customer50000*', search: true },
  'search with filters': {
    text: 'select',
    identity: 'worker-7',
    object: 'public.t7',
    decision: 'allow',
    search: true,
  },
}

/** @param seconds each query is asked for so long. */
export async function benchSessions(seconds: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-bench-sessions-'))
  try {
    const path = join(directory, 'index.sqlite')
    const database = openIndex(path)
    const began = performance.now()
    fill(new IndexWriter(database))
    const took = (performance.now() - began) / 1000
    const commands = sessions * commandsPerSession
    console.log(
      `${commands} commands of ${sessions} sessions: indexed in ${took.toFixed(0)} s (${Math.round(commands / took)}/s), ${(statSync(path).size / 1e9).toFixed(1)} GB, ${Math.round(process.memoryUsage.rss() / 1e6)} MB resident`,
    )
    for (const [name, { search, ...filter }] of Object.entries(queries)) {
      const times: number[] = []
      let found = 0
      for (const until = performance.now() + seconds * 1000; performance.now() < until; ) {
        const asked = performance.now()
        found = (search ? searchCommands : listSessions)(database, filter, limit).length
        times.push(performance.now() - asked)
      }
      const [first = 0] = times
      const median = times.sort((a, b) => a - b)[times.length >> 1] ?? 0
      console.log(
        `${name.padEnd(48)} ${String(found).padStart(3)} found, first ${first.toFixed(1)} ms, median ${median.toFixed(1)} ms`,
      )
    }
    database.close()
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function fill(writer: IndexWriter): void {
  for (let session = 0; session < sessions; session++) {
    const id = `01${String(session).padStart(24, '0')}`
    const header = headerOf(id, session)
    writer.begin()
    const stored = { id, bytes: 10_000, changedAt: new Date(0) }
    const number = writer.session(stored, 'anybody', header)
    for (let command = 0; command < commandsPerSession; command++)
      addCommand(writer, number, header, session, command)
    writer.finish(number, 'ended', undefined, false, {
      microseconds: 60_000_000,
      commands: commandsPerSession,
      denied: 1,
      held: 0,
    })
    writer.commit()
  }
}

function headerOf(id: string, session: number): RecordingHeader {
  const identity = agents[session % agents.length] ?? 'agents/worker'
  return {
    recording: id,
    startedAt: new Date(start + session * every).toISOString(),
    protocol: 'postgresql',
    identity,
    chain: [identity],
    resource: `agents/system-${session % 10}`,
    role: session % 3 === 0 ? 'writer' : 'reader',
    keepSeconds: 0,
    signer: '',
    recipients: [],
    key: '',
  }
}

/** Every hundredth is denied. */
function addCommand(
  writer: IndexWriter,
  session: number,
  header: RecordingHeader,
  at: number,
  number: number,
): void {
  const table = tables[(at * 7 + number * 13) % tables.length] ?? ''
  const customer = at * commandsPerSession + number
  const isDenied = number === 50
  writer.command(session, header, {
    number,
    time: number * 600_000,
    entry: {
      type: 'command',
      reference: `R${customer}`,
      text: isDenied
        ? `DROP TABLE ${table.slice(6)}`
        : `SELECT id, email, total FROM ${table.slice(6)} WHERE customer = 'customer${customer}' ORDER BY id LIMIT 10`,
      actions: [isDenied ? 'sql:drop' : 'sql:select'],
      objects: [table],
      decision: isDenied ? 'deny' : 'allow',
      revision: '1',
    },
    response: isDenied
      ? 'denied by policy'
      : `id email total\n${customer} ******** ${customer % 977}\nperson ${customer % 1009}`,
  })
}
