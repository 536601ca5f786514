/** Puts sessions and their commands into the index. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { CommandEntry } from '@firebreak/sidecar/recording/entries.ts'
import type { RecordingHeader } from '@firebreak/sidecar/recording/header.ts'
import type { StoredRecording } from '@firebreak/sidecar/recording/store.ts'
import { rowsPerSession } from './database.ts'

/** Characters of a command's text that can be searched for. */
const maximumText = 64 * 1024
/** Facts that are remembered rather than asked for. */
const maximumKnown = 100_000

/**
 * `ended`, `limit`: all there is. `no end`, `altered`: as far as it goes. `locked`: it is for others to read, and only
 * what its header says is known.
 */
export type SessionState = 'ended' | 'limit' | 'no end' | 'altered' | 'locked'

/** What the index knows a recording by, to see whether it has changed. */
export interface Indexed {
  readonly number: number
  readonly bytes: number
  readonly changedAt: number
  readonly state: SessionState
  /** The public keys of those who can see what masks hid, with spaces in between. */
  readonly unmaskedFor: string
  /** 1: that is in the index. */
  readonly unmasked: 0 | 1
  /** Whose signatures counted when it was indexed. */
  readonly trusted: string
}

export interface IndexedCommand {
  /** Of the session's, from 0 on. */
  readonly number: number
  /** Microseconds since the session's start. */
  readonly time: number
  readonly entry: CommandEntry
  /** All that can be searched for in the answer. */
  readonly response: string
}

export class IndexWriter {
  readonly #database: DatabaseSync
  readonly #known = new Map<string, number>()
  /** Facts of commands that were forgotten: others may have them. */
  readonly #doubtful = new Set<string>()
  readonly #statements: Readonly<Record<keyof typeof statements, StatementSync>>

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#statements = Object.fromEntries(
      Object.entries(statements).map(([name, text]) => [name, database.prepare(text)]),
    ) as Record<keyof typeof statements, StatementSync>
  }

  find(id: string): Indexed | undefined {
    return this.#statements.find.get(id) as Indexed | undefined
  }

  /** All that is written from here to {@link commit} is there at once, or not at all. */
  begin(): void {
    this.#database.exec('BEGIN IMMEDIATE')
  }

  commit(): void {
    this.#database.exec('COMMIT')
  }

  rollback(): void {
    this.#known.clear()
    this.#doubtful.clear()
    this.#database.exec('ROLLBACK')
  }

  /** Begins a session, without what was there of it. @returns its number, which it keeps. */
  session(
    { id, bytes, changedAt }: StoredRecording,
    trusted: string,
    header: RecordingHeader | undefined,
  ): number {
    const before = this.find(id)
    if (before) this.#forgetCommands(before.number)
    const { startedAt, identity = '', chain = [], resource = '', role = '', unmasked } = header ?? {}
    const started = startedAt === undefined ? 0 : Date.parse(startedAt)
    this.#statements.session.run(
      ...[id, bytes, changedAt.getTime(), started, identity, chain.join(' → '), resource, role],
      unmasked?.recipients.join(' ') ?? '',
      trusted,
    )
    return this.find(id)?.number ?? 0
  }

  command(session: number, header: RecordingHeader, { number, time, entry, response }: IndexedCommand): void {
    const { reference, decision, text = '', parameters = [], actions, objects } = entry
    const labels = [
      this.#label('decision', decision),
      this.#label('identity', header.identity),
      this.#label('resource', header.resource),
      this.#label('role', header.role),
      ...new Set(actions.map((action) => this.#label('action', action))),
      ...new Set(objects.map((object) => this.#label('object', object))),
    ].join(' ')
    const searched = [text, ...parameters.filter((value) => value !== null)].join('\n').slice(0, maximumText)
    const row = session * rowsPerSession + number
    this.#statements.command.run(row, time, reference, decision, searched, response, labels)
    this.#statements.words.run(row, searched, response, labels)
  }

  finish(
    session: number,
    state: SessionState,
    problem: string | undefined,
    unmasked: boolean,
    totals: {
      readonly microseconds: number
      readonly commands: number
      readonly denied: number
      readonly held: number
    },
  ): void {
    const { microseconds, commands, denied, held } = totals
    this.#statements.finish.run(
      ...[state, problem ?? null, unmasked ? 1 : 0, microseconds, commands, denied, held, session],
    )
    this.#forgetFacts()
  }

  /** Forgets the sessions whose names are between these, which are not. @returns how many. */
  forget(after: string, before: string): number {
    const gone = this.#statements.between.all(after, before) as unknown as { number: number }[]
    for (const { number } of gone) {
      this.begin()
      this.#forgetCommands(number)
      this.#statements.forget.run(number)
      this.#forgetFacts()
      this.commit()
    }
    return gone.length
  }

  #forgetCommands(session: number): void {
    const [first, end] = [session * rowsPerSession, (session + 1) * rowsPerSession]
    for (const { labels } of this.#statements.labels.iterate(first, end))
      for (const label of String(labels).split(' ')) this.#doubtful.add(label)
    this.#statements.forgetWords.run(first, end)
    this.#statements.forgetCommands.run(first, end)
  }

  /** Names of objects can be of people: those that no command has any more go with the last one. */
  #forgetFacts(): void {
    for (const label of this.#doubtful) {
      if (this.#statements.having.get(`labels : ${label}`)) continue
      this.#statements.forgetFact.run(factOf(label))
      this.#known.clear()
    }
    this.#doubtful.clear()
  }

  /** A word that stands for a fact: commands that have it have the word. */
  #label(kind: string, value: string): string {
    const key = `${kind} ${value}`
    let id = this.#known.get(key)
    if (id === undefined) {
      id = (this.#statements.fact.get(kind, value) as { id: number }).id
      if (this.#known.size >= maximumKnown) this.#known.clear()
      this.#known.set(key, id)
    }
    return labelOf(id)
  }
}

/** @param fact its id. */
export function labelOf(fact: number): string {
  return `f${fact}`
}

function factOf(label: string): number {
  return Number(label.slice(1))
}

const statements = {
  find: `SELECT number, bytes, changed_at AS changedAt, state, unmasked_for AS unmaskedFor, unmasked, trusted
    FROM sessions
    WHERE id = ?`,
  session: `INSERT INTO sessions (id, bytes, changed_at, started_at, identity, chain, resource, role, unmasked_for, trusted,
    state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'no end') ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes,
    changed_at = excluded.changed_at, started_at = excluded.started_at, identity = excluded.identity,
    chain = excluded.chain, resource = excluded.resource, role = excluded.role, unmasked_for = excluded.unmasked_for,
    trusted = excluded.trusted`,
  finish: `UPDATE sessions SET state = ?, problem = ?, unmasked = ?, microseconds = ?, commands = ?, denied = ?, held = ?
    WHERE number = ?`,
  command: 'INSERT OR REPLACE INTO commands VALUES (?, ?, ?, ?, ?, ?, ?)',
  words: 'INSERT INTO words (rowid, text, response, labels) VALUES (?, ?, ?, ?)',
  fact: `INSERT INTO facts (kind, value) VALUES (?, ?) ON CONFLICT (kind, value) DO UPDATE SET kind = excluded.kind
    RETURNING id`,
  labels: 'SELECT DISTINCT labels FROM commands WHERE row >= ? AND row < ?',
  having: 'SELECT 1 FROM words WHERE words MATCH ? LIMIT 1',
  forgetFact: 'DELETE FROM facts WHERE id = ?',
  between: 'SELECT number FROM sessions WHERE id > ? AND id < ?',
  forget: 'DELETE FROM sessions WHERE number = ?',
  forgetWords: `INSERT INTO words (words, rowid, text, response, labels)
    SELECT 'delete', row, text, response, labels FROM commands WHERE row >= ? AND row < ?`,
  forgetCommands: 'DELETE FROM commands WHERE row >= ? AND row < ?',
} as const
