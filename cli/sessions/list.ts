import { parseArgs } from 'node:util'
import type { RecordingHeader } from '@firebreak/sidecar/recording/header.ts'
import type { RecordingStore } from '@firebreak/sidecar/recording/store.ts'
import { clip, printable } from '../approvals/text.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { style } from '../output.ts'
import { clockTime } from '../replay/lines.ts'
import { filterHelp, filterOf, filterOptions, limitOf } from './filters.ts'
import { asIndexedHelp, indexHelp, indexOptions, useIndex } from './index/opened.ts'
import { type Filter, type ListedSession, listSessions } from './index/query.ts'
import { openPlace, trustedSigners } from './place.ts'
import { provenHeader } from './proven-header.ts'
import { canRead, readingFor, readingHelp } from './recording.ts'

const options = { ...indexOptions, ...filterOptions, text: { type: 'string' } } as const

export const list: CliCommand = {
  name: 'list',
  summary: 'list recorded sessions',
  options: Object.keys(options),
  help: `Lists recorded sessions, the newest first. Without a key to read them, only what their headers say of them: no
filter by commands then, and the oldest first.

Usage: firebreak sessions list [FILTER]… [--text TEXT] [--json] [--as-indexed] [--index FILE]
       [--recordings PLACE | --config DIR | --state DIR] [--key FILE]… [--signer KEY]…

${filterHelp}
  --text TEXT       with a command or answer that has these words, as search takes them
${asIndexedHelp}
${indexHelp}
${readingHelp}

Exit code 0. 1: there is none.`,
  async run(words) {
    const { values, positionals } = parseArgs({ args: [...words], allowPositionals: true, options })
    if (positionals.length > 0) throw new UsageError('list takes filters, and no names')
    const [filter, limit] = [filterOf(values, values.text), limitOf(values)]
    const reading = canRead(values) ? readingFor(values) : undefined
    if (!reading && (filter.action ?? filter.decision ?? filter.object ?? filter.text) !== undefined)
      throw new UsageError('--key FILE is needed, to know of commands: without it only headers can be read')
    await using store = await openPlace(values)
    const sessions = reading
      ? await useIndex(values, store, reading, (database) => listSessions(database, filter, limit))
      : await Array.fromAsync(byHeaders(store, filter, limit, trustedSigners(values, values.signer ?? [])))
    if (values.json) for (const session of sessions) console.log(JSON.stringify(asJson(session)))
    else if (sessions.length === 0) console.log('No session is like that.')
    else for (const line of linesOf(sessions)) console.log(line)
    return sessions.length > 0 ? 0 : 1
  },
}

/** What headers say. The commands are not known. */
type ByHeader = Omit<ListedSession, 'number' | 'microseconds' | 'commands' | 'denied' | 'held'>
type Listed = ListedSession | ByHeader

async function* byHeaders(
  store: RecordingStore,
  filter: Filter,
  limit: number,
  trusted: readonly string[] | undefined,
): AsyncGenerator<ByHeader, undefined> {
  let left = limit
  for await (const { id, bytes } of store.list()) {
    if (left === 0) return
    await using source = await store.open(id)
    const header = source ? await provenHeader(source, id, trusted) : undefined
    if (header === undefined) continue
    const session = ofHeader(id, bytes, header)
    if (!fulfils(session, filter)) continue
    left--
    yield session
  }
}

function ofHeader(id: string, bytes: number, header: RecordingHeader | string): ByHeader {
  if (typeof header === 'string')
    return {
      id,
      bytes,
      state: 'altered',
      problem: header,
      startedAt: 0,
      identity: '',
      chain: '',
      resource: '',
      role: '',
    }
  const { startedAt, identity, chain, resource, role } = header
  return {
    ...{ id, bytes, state: 'locked', problem: null, startedAt: Date.parse(startedAt) },
    ...{ identity, chain: chain.join(' → '), resource, role },
  }
}

function fulfils(session: ByHeader, { identity, resource, role, since, until }: Filter): boolean {
  return (
    isLike(session.identity, identity) &&
    isLike(session.resource, resource) &&
    isLike(session.role, role) &&
    session.startedAt >= (since ?? 0) &&
    session.startedAt < (until ?? Number.POSITIVE_INFINITY)
  )
}

/** @param pattern may have `*` and `?`; names without a namespace are of any. */
function isLike(value: string, pattern: string | undefined): boolean {
  if (pattern === undefined) return true
  const expression = pattern.replace(/[^*?]/g, (character) => RegExp.escape(character))
  const whole = new RegExp(`^${expression.replaceAll('*', '.*').replaceAll('?', '.')}$`, 's')
  return whole.test(value) || (!pattern.includes('/') && whole.test(value.slice(value.indexOf('/') + 1)))
}

function asJson({
  startedAt,
  microseconds,
  number: _,
  problem,
  ...session
}: Listed & Partial<ListedSession>): object {
  return {
    ...session,
    ...(problem !== null && { problem }),
    startedAt: new Date(startedAt).toISOString(),
    ...(microseconds !== undefined && { seconds: microseconds / 1_000_000 }),
  }
}

function linesOf(sessions: readonly Listed[]): string[] {
  const rows = sessions.map((session) => {
    const { id, startedAt, chain, resource, role } = session
    const counts =
      'commands' in session
        ? [
            String(session.commands),
            String(session.denied),
            String(session.held),
            clockTime(session.microseconds),
          ]
        : ['?', '?', '?', '?']
    return [new Date(startedAt).toISOString().slice(0, 19), id, chain, resource, role, ...counts].map(
      (cell) => clip(printable(cell), 60),
    )
  })
  const heads = ['STARTED', 'SESSION', 'AGENT', 'SYSTEM', 'ROLE', 'COMMANDS', 'DENIED', 'HELD', 'LASTED']
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')
  return [
    style('bold', `${line(heads)}  STATE`),
    ...sessions.map((session, at) => `${line(rows[at] ?? [])}  ${stateInWords(session)}`),
  ]
}

function stateInWords({ state, problem }: Listed): string {
  if (state === 'ended') return state
  const why = problem === null ? '' : `: ${printable(problem)}`
  return style(state === 'altered' ? 'red' : 'yellow', `${state}${why}`)
}
