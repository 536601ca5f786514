/** The index of recordings: a file of whoever reads them, for listing and full-text search. It can be made again at any time. */
import { createHash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** An index of another version is made anew. */
const version = 3

/** Rows of commands are numbered session by session, so that newer sessions come later and each has its range. */
export const rowsPerSession = 2 ** 28

/** Deleted text is overwritten: what retention deletes is not to be found in a free page. */
const schema = `
CREATE TABLE sessions (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  bytes INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  state TEXT NOT NULL,
  problem TEXT,
  started_at INTEGER NOT NULL DEFAULT 0,
  microseconds INTEGER NOT NULL DEFAULT 0,
  identity TEXT NOT NULL DEFAULT '',
  chain TEXT NOT NULL DEFAULT '',
  resource TEXT NOT NULL DEFAULT '',
  role TEXT NOT NULL DEFAULT '',
  commands INTEGER NOT NULL DEFAULT 0,
  denied INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0,
  unmasked_for TEXT NOT NULL DEFAULT '',
  unmasked INTEGER NOT NULL DEFAULT 0,
  trusted TEXT NOT NULL
);
CREATE INDEX sessions_by_start ON sessions (started_at);
CREATE TABLE facts (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (kind, value));
CREATE TABLE commands (
  row INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  reference TEXT NOT NULL,
  decision TEXT NOT NULL,
  text TEXT NOT NULL,
  response TEXT NOT NULL,
  labels TEXT NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5(text, response, labels, content = 'commands', content_rowid = 'row');
INSERT INTO words (words, rank) VALUES ('secure-delete', 1);
PRAGMA user_version = ${version};
`

/** Where the index of a place is, of all that this user can read. */
export function defaultIndexPath(place: string): string {
  const state = process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state')
  const name = createHash('sha256').update(place).digest('hex').slice(0, 16)
  return join(state, 'firebreak', 'sessions', `${name}.sqlite`)
}

/** @throws Error in words, when others could read it. */
export function openIndex(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  // SQLite gives the files that it puts beside this one the same mode
  closeSync(openSync(path, 'a', 0o600))
  if ((statSync(path).mode & 0o077) !== 0)
    throw new Error(`${path}: other users may read it; chmod 600 ${path}`)
  const database = new DatabaseSync(path, { timeout: 10_000 })
  try {
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;
      PRAGMA cache_size = -65536; PRAGMA temp_store = FILE;`)
    const found = database.prepare('PRAGMA user_version').get()?.user_version
    if (found === version) return database
    if (found !== 0) {
      database.close()
      removeIndex(path)
      return openIndex(path)
    }
    inTransaction(database, () => database.exec(schema))
    return database
  } catch (error) {
    if (database.isOpen) database.close()
    throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

export function removeIndex(path: string): void {
  for (const ending of ['', '-wal', '-shm']) rmSync(path + ending, { force: true })
}

function inTransaction(database: DatabaseSync, work: () => void): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    work()
    database.exec('COMMIT')
  } catch (error) {
    database.exec('ROLLBACK')
    throw error
  }
}
