/** Asks the index. What is about single commands is answered by its full-text part, whose words stand for facts as well. */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { UsageError } from '../../command.ts'
import { rowsPerSession } from './database.ts'
import { labelOf, type SessionState } from './writer.ts'

/** What sessions or commands are looked for; patterns may have `*` and `?`. */
export interface Filter {
  readonly identity?: string | undefined
  readonly resource?: string | undefined
  readonly role?: string | undefined
  /** Of the session's start, in milliseconds since 1970. */
  readonly since?: number | undefined
  readonly until?: number | undefined
  readonly action?: string | undefined
  readonly decision?: string | undefined
  readonly object?: string | undefined
  readonly text?: string | undefined
}

export interface ListedSession {
  readonly number: number
  readonly id: string
  readonly state: SessionState
  readonly problem: string | null
  readonly startedAt: number
  readonly microseconds: number
  readonly identity: string
  readonly chain: string
  readonly resource: string
  readonly role: string
  readonly commands: number
  readonly denied: number
  readonly held: number
  readonly bytes: number
}

export interface FoundCommand {
  readonly session: ListedSession
  /** Of the session's, from 0 on. */
  readonly number: number
  /** Microseconds since the session's start. */
  readonly time: number
  readonly reference: string
  readonly decision: string
  /** With {@link foundMarks} around what was found, and only the part around it. */
  readonly text: string
  readonly response: string
}

/** Around what was found. */
export const foundMarks = ['\u0002', '\u0003'] as const

/** Values that a pattern may stand for. */
const maximumValues = 1000

const ofCommands = ['action', 'decision', 'object'] as const
const ofSessions = ['identity', 'resource', 'role'] as const

const sessionColumns = `number, id, state, problem, started_at AS startedAt, microseconds, identity, chain, resource,
  role, commands, denied, held, bytes`

/** The newest first. */
export function listSessions(database: DatabaseSync, filter: Filter, limit: number): ListedSession[] {
  const aboutCommands = filter.text !== undefined || ofCommands.some((kind) => filter[kind] !== undefined)
  if (!aboutCommands) return sessionsBy(database, filter, limit)
  const match = matchOf(database, filter)
  if (match === undefined) return []
  const next = database.prepare(
    'SELECT rowid AS row FROM words WHERE words MATCH ? AND rowid < ? AND rowid >= ? ORDER BY rowid DESC LIMIT 1',
  )
  const found: ListedSession[] = []
  const { first, end } = rangeOf(database, filter)
  for (let before = end; found.length < limit; ) {
    const row = next.get(match, before, first)?.row as number | undefined
    if (row === undefined) break
    const number = Math.floor(row / rowsPerSession)
    before = number * rowsPerSession
    const session = sessionOf(database, number)
    if (session && isWithin(session, filter)) found.push(session)
  }
  return found.sort((one, other) => other.startedAt - one.startedAt)
}

/** The newest first. */
export function searchCommands(database: DatabaseSync, filter: Filter, limit: number): FoundCommand[] {
  const match = matchOf(database, filter)
  if (match === undefined) return []
  const { first, end } = rangeOf(database, filter)
  const [open, close] = foundMarks
  const rows = database
    .prepare(
      `SELECT rowid AS row, snippet(words, 0, ?, ?, '…', 40) AS text, snippet(words, 1, ?, ?, '…', 24) AS response
       FROM words WHERE words MATCH ? AND rowid < ? AND rowid >= ? ORDER BY rowid DESC`,
    )
    .iterate(open, close, open, close, match, end, first)
  const command = database.prepare('SELECT time, reference, decision FROM commands WHERE row = ?')
  const found: FoundCommand[] = []
  for (const { row, text, response } of rows as Iterable<{ row: number; text: string; response: string }>) {
    const number = Math.floor(row / rowsPerSession)
    const known = found.at(-1)?.session
    const session = known?.number === number ? known : sessionOf(database, number)
    if (!session || !isWithin(session, filter)) continue
    const rest = command.get(row) as unknown as Pick<FoundCommand, 'time' | 'reference' | 'decision'>
    found.push({ session, number: row % rowsPerSession, text, response, ...rest })
    if (found.length === limit) break
  }
  return found
}

function sessionsBy(database: DatabaseSync, filter: Filter, limit: number): ListedSession[] {
  const conditions: string[] = []
  const values: SQLInputValue[] = []
  const where = (condition: string, value: SQLInputValue): void => {
    conditions.push(condition)
    values.push(value)
  }
  for (const kind of ofSessions) {
    const pattern = filter[kind]
    if (pattern !== undefined) where(`${kind} GLOB ?`, patternOf(kind, pattern))
  }
  if (filter.since !== undefined) where('started_at >= ?', filter.since)
  if (filter.until !== undefined) where('started_at < ?', filter.until)
  const condition = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
  return database
    .prepare(`SELECT ${sessionColumns} FROM sessions ${condition} ORDER BY started_at DESC, id DESC LIMIT ?`)
    .all(...values, limit) as unknown as ListedSession[]
}

function sessionOf(database: DatabaseSync, number: number): ListedSession | undefined {
  return database.prepare(`SELECT ${sessionColumns} FROM sessions WHERE number = ?`).get(number) as
    | ListedSession
    | undefined
}

function isWithin({ startedAt }: ListedSession, { since, until }: Filter): boolean {
  return startedAt >= (since ?? 0) && startedAt < (until ?? Number.POSITIVE_INFINITY)
}

/** Rows of the sessions of a time. Some among them may be of another: a session keeps the number it was first given. */
function rangeOf(database: DatabaseSync, { since, until }: Filter): { first: number; end: number } {
  const { first, last } = database
    .prepare(
      'SELECT min(number) AS first, max(number) AS last FROM sessions WHERE started_at >= ? AND started_at < ?',
    )
    .get(since ?? 0, until ?? Number.MAX_SAFE_INTEGER) as { first: number | null; last: number | null }
  return { first: (first ?? 0) * rowsPerSession, end: ((last ?? -1) + 1) * rowsPerSession }
}

/** @returns the query of the full-text part; undefined when nothing can fulfil it. */
function matchOf(database: DatabaseSync, filter: Filter): string | undefined {
  const parts: string[] = []
  for (const kind of [...ofSessions, ...ofCommands]) {
    const pattern = filter[kind]
    if (pattern === undefined) continue
    const patterns = patternsOf(kind, pattern)
    const facts = database
      .prepare(
        `SELECT id FROM facts WHERE kind = ? AND (${patterns.map(() => 'value GLOB ?').join(' OR ')}) LIMIT ?`,
      )
      .all(kind, ...patterns, maximumValues + 1) as { id: number }[]
    if (facts.length === 0) return undefined
    if (facts.length > maximumValues)
      throw new UsageError(`--${kind} ${pattern} stands for more than ${maximumValues} values`)
    parts.push(`labels : (${facts.map(({ id }) => labelOf(id)).join(' OR ')})`)
  }
  if (filter.text !== undefined) parts.push(`{text response} : (${wordsOf(filter.text).join(' AND ')})`)
  return parts.join(' AND ')
}

/** Words, each to be found as it stands: `"two words"` beside each other, `begin*` a beginning. @throws UsageError for none. */
function wordsOf(text: string): string[] {
  const words = [...text.matchAll(/"([^"]*)"?(\*?)|([^\s"]+)/g)].map(([, quoted, star, plain = '']) => {
    const word = quoted ?? plain.replace(/\*$/, '')
    const isBeginning = quoted === undefined ? plain.endsWith('*') : star === '*'
    return { word, isBeginning }
  })
  const searched = words.filter(({ word }) => /[\p{L}\p{N}\p{Co}]/u.test(word))
  if (searched.length === 0) throw new UsageError(`there is no word to look for in ${JSON.stringify(text)}`)
  return searched.map(({ word, isBeginning }) => `"${word.replaceAll('\0', ' ')}"${isBeginning ? '*' : ''}`)
}

/** An object is `table public.orders (id)`: its kind may be left out, and its parts. */
function patternsOf(kind: keyof Filter, pattern: string): string[] {
  const glob = patternOf(kind, pattern)
  return kind === 'object' ? [glob, `${glob} (*`, `* ${glob}`, `* ${glob} (*`] : [glob]
}

/** Names without a namespace are of any. */
function patternOf(kind: keyof Filter, pattern: string): string {
  const isName = kind === 'identity' || kind === 'resource'
  const glob = pattern.replaceAll('[', '[[]')
  return isName && !pattern.includes('/') ? `*/${glob}` : glob
}
