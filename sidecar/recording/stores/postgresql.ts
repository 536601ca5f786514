/** Recordings as rows of a database: a row per block. */
import pg from 'pg'
import {
  isRecordingName,
  type RecordingSink,
  type RecordingSource,
  type RecordingStore,
  type StoredRecording,
} from '../store.ts'
import type { RecordingTarget } from '../target.ts'

/**
 * Blocks are compressed and encrypted: the database need not try to make them smaller. How large a recording is and when it was last
 * written to is what its blocks say, whose time the database sets: who may only write has no other time to give.
 */
const tableDefinitions = `CREATE TABLE IF NOT EXISTS firebreak_recordings (
  id text COLLATE "C" PRIMARY KEY,
  hold text,
  deletion text
);
CREATE TABLE IF NOT EXISTS firebreak_recording_blocks (
  recording text NOT NULL REFERENCES firebreak_recordings ON DELETE CASCADE,
  position bigint NOT NULL,
  block bytea STORAGE EXTERNAL NOT NULL,
  written_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (recording, position)
)`

/** Of tables in which a recording's writer said when it was. What is there counts from now on; the rights to say so go as well. */
const tableUpgrade = `ALTER TABLE firebreak_recording_blocks ADD COLUMN IF NOT EXISTS written_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE firebreak_recordings DROP COLUMN IF EXISTS bytes, DROP COLUMN IF EXISTS changed_at`

const stateOfTables = `SELECT to_regclass('firebreak_recording_blocks') IS NULL AS missing, EXISTS (
  SELECT FROM pg_attribute
  WHERE attrelid = to_regclass('firebreak_recordings') AND attname = 'changed_at' AND NOT attisdropped
) AS outdated`

/** A recording is there with its first block. */
const begin = `WITH begun AS (INSERT INTO firebreak_recordings (id) VALUES ($1) RETURNING id)
INSERT INTO firebreak_recording_blocks (recording, position, block) SELECT id, 0, $2::bytea FROM begun`

/** The same block again, after an answer that was lost, changes nothing. */
const append = `WITH found AS (SELECT id FROM firebreak_recordings WHERE id = $1), added AS (
  INSERT INTO firebreak_recording_blocks (recording, position, block) SELECT id, $2::bigint, $3::bytea FROM found
  ON CONFLICT (recording, position) DO NOTHING
)
SELECT id FROM found`

const recordingsWith = `SELECT id, hold, deletion, bytes, changed_at FROM firebreak_recordings, LATERAL (
  SELECT max(position + octet_length(block)) AS bytes, max(written_at) AS changed_at
  FROM firebreak_recording_blocks WHERE recording = id
) AS blocks WHERE bytes IS NOT NULL AND `

const blocksWith = `SELECT position, block FROM firebreak_recording_blocks
WHERE recording = $1 AND position < $3 AND position >= coalesce(
  (SELECT max(position) FROM firebreak_recording_blocks WHERE recording = $1 AND position <= $2), 0)
ORDER BY position`

/** In milliseconds. */
const answerWithin = 10_000
/** Recordings that are listed at once. */
const page = 1_000

type PostgresqlTarget = Extract<RecordingTarget, { kind: 'postgresql' }>

interface Row {
  readonly id: string
  readonly bytes: string
  readonly changed_at: Date
  readonly hold: string | null
  readonly deletion: string | null
}

export class PostgresqlStore implements RecordingStore {
  readonly place: string
  #pool: pg.Pool

  /** Makes the tables where they are not there, or not as they are now. @throws Error in words. */
  static async open(target: PostgresqlTarget): Promise<PostgresqlStore> {
    const store = new PostgresqlStore(target)
    try {
      const { rows } = await store.query(stateOfTables)
      if (rows[0]?.missing) await store.query(tableDefinitions)
      else if (rows[0]?.outdated) await store.query(tableUpgrade)
      return store
    } catch (error) {
      await store[Symbol.asyncDispose]()
      throw error
    }
  }

  private constructor(target: PostgresqlTarget) {
    const { host, pathname } = new URL(target.url)
    this.place = `postgresql://${host}${pathname}`
    this.#pool = poolFor(target)
  }

  renew(target: PostgresqlTarget): void {
    const before = this.#pool
    this.#pool = poolFor(target)
    void before.end().catch(() => {})
  }

  async create(id: string): Promise<RecordingSink> {
    if (!isRecordingName(id)) throw new Error(`${id} is no name of a recording`)
    let length = 0
    return {
      append: async (bytes) => {
        const { rowCount } =
          length === 0 ? await this.query(begin, [id, bytes]) : await this.query(append, [id, length, bytes])
        if (rowCount !== 1) throw new Error(`${this.place}: recording ${id} was deleted`)
        length += bytes.length
      },
      // each append is committed
      sync: async () => {},
      close: async () => {},
    }
  }

  async open(id: string): Promise<RecordingSource | undefined> {
    const [row] = await this.#rows('id = $1', [id])
    if (!row) return undefined
    const size = Number(row.bytes)
    return {
      size,
      read: (position, length) => this.#read(id, position, Math.min(position + length, size)),
      async [Symbol.asyncDispose]() {},
    }
  }

  async *list(): AsyncGenerator<StoredRecording, undefined> {
    for (let last = ''; ; ) {
      const rows = await this.#rows(`id > $1 ORDER BY id LIMIT ${page}`, [last])
      for (const { id, bytes, changed_at: changedAt, hold, deletion } of rows)
        yield {
          id,
          bytes: Number(bytes),
          changedAt,
          ...(hold !== null && { hold }),
          ...(deletion !== null && { deletion }),
        }
      const end = rows.at(-1)
      if (!end || rows.length < page) return
      last = end.id
    }
  }

  async hold(id: string, reason: string): Promise<void> {
    await this.#change(id, 'UPDATE firebreak_recordings SET hold = $2 WHERE id = $1', [reason])
  }

  async release(id: string): Promise<void> {
    await this.#change(id, 'UPDATE firebreak_recordings SET hold = NULL WHERE id = $1')
  }

  async askDeletion(id: string, reason: string): Promise<void> {
    await this.#change(id, 'UPDATE firebreak_recordings SET deletion = $2 WHERE id = $1 AND hold IS NULL', [
      reason,
    ])
  }

  async delete(id: string): Promise<void> {
    await this.#change(id, 'DELETE FROM firebreak_recordings WHERE id = $1 AND hold IS NULL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end()
  }

  /** @throws Error in words. */
  async query(text: string, values: readonly unknown[] = []): Promise<pg.QueryResult> {
    try {
      return await this.#pool.query(text, [...values])
    } catch (error) {
      throw new Error(
        `${this.place}: ${error instanceof Error && error.message !== '' ? error.message : String((error as NodeJS.ErrnoException).code)}`,
      )
    }
  }

  async #read(id: string, start: number, end: number): Promise<Buffer> {
    if (end <= start) return Buffer.alloc(0)
    const { rows } = await this.query(blocksWith, [id, start, end])
    const blocks = rows as { position: string; block: Buffer }[]
    const first = Number(blocks[0]?.position ?? 0)
    return Buffer.concat(blocks.map(({ block }) => block)).subarray(start - first, end - first)
  }

  async #rows(condition: string, values: readonly unknown[]): Promise<Row[]> {
    const { rows } = await this.query(recordingsWith + condition, values)
    return rows as Row[]
  }

  /** @throws Error in words, when it is not there, or held. */
  async #change(id: string, text: string, values: readonly unknown[] = []): Promise<void> {
    const { rowCount } = await this.query(text, [id, ...values])
    if (rowCount === 1) return
    const [row] = await this.#rows('id = $1', [id])
    throw new Error(
      row?.hold == null
        ? `${this.place}: there is no recording ${id}`
        : `recording ${id} is held: ${row.hold}`,
    )
  }
}

function poolFor({ url, password, ca }: PostgresqlTarget): pg.Pool {
  const { hostname, port, username, pathname } = new URL(url)
  const local = ['localhost', '127.0.0.1', '[::1]'].includes(hostname)
  const pool = new pg.Pool({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 5432),
    user: decodeURIComponent(username),
    database: decodeURIComponent(pathname.slice(1)),
    password,
    ssl: local && ca === undefined ? false : { ...(ca !== undefined && { ca }) },
    application_name: 'firebreak recordings',
    connectionTimeoutMillis: answerWithin,
    query_timeout: answerWithin,
    keepAlive: true,
    max: 4,
    allowExitOnIdle: true,
  })
  pool.on('error', () => {})
  return pool
}
