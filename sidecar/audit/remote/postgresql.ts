/** A table in PostgreSQL. Lines that are there already stay as they are, so each is there once. */
import pg from 'pg'
import type { ReceiverTarget } from '../target.ts'
import { readLine } from './ocsf.ts'
import type { Receiver } from './receiver.ts'

type PostgresqlTarget = Extract<ReceiverTarget, { kind: 'postgresql' }>

/** The role needs INSERT alone, where the table is there already. */
export const tableDefinition = `CREATE TABLE IF NOT EXISTS firebreak_audit (
  source text NOT NULL,
  seq bigint NOT NULL,
  time timestamptz NOT NULL,
  event text NOT NULL,
  identity text,
  resource text,
  session text,
  decision text,
  line text NOT NULL,
  PRIMARY KEY (source, seq)
)`

const insertion = `INSERT INTO firebreak_audit (source, seq, time, event, identity, resource, session, decision, line)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
ON CONFLICT DO NOTHING`

const answerWithin = 15_000

export class PostgresqlReceiver implements Receiver {
  readonly name: string
  readonly #target: PostgresqlTarget
  #client: pg.Client | undefined

  constructor(target: PostgresqlTarget) {
    const { host, pathname } = new URL(target.url)
    this.name = `postgresql://${host}${pathname}`
    this.#target = target
  }

  async send(lines: readonly string[], signal: AbortSignal): Promise<number> {
    const client = this.#client ?? (await this.#connect())
    const abort = (): void => void client.end().catch(() => {})
    signal.addEventListener('abort', abort, { once: true })
    try {
      await client.query(insertion, columnsOf(lines))
      return 0
    } catch (error) {
      this.#forget(client)
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.end().catch(() => {})
  }

  async #connect(): Promise<pg.Client> {
    const { url, password, ca } = this.#target
    const address = new URL(url)
    const client = new pg.Client({
      host: address.hostname.replace(/^\[|\]$/g, ''),
      port: Number(address.port || 5432),
      user: decodeURIComponent(address.username),
      database: decodeURIComponent(address.pathname.slice(1)),
      password,
      ssl: isLocal(address.hostname) && ca === undefined ? false : { ...(ca !== undefined && { ca }) },
      application_name: 'firebreak audit',
      connectionTimeoutMillis: answerWithin,
      query_timeout: answerWithin,
      keepAlive: true,
    })
    client.on('error', () => this.#forget(client))
    await client.connect()
    this.#client = client
    const { rows } = await client.query("SELECT to_regclass('firebreak_audit') IS NULL AS missing")
    if (rows[0]?.missing) await client.query(tableDefinition)
    return client
  }

  /** The next lines come by another connection. */
  #forget(client: pg.Client): void {
    if (this.#client === client) this.#client = undefined
    client.end().catch(() => {})
  }
}

function columnsOf(texts: readonly string[]): unknown[][] {
  const rows = texts.flatMap((text) => {
    const line = readLine(text)
    if (!line) return []
    const { source, seq, time, event, identity, resource, session, decision } = line
    return [[source, seq, time, event, identity, resource, session, decision, text]]
  })
  return Array.from({ length: 9 }, (_, column) => rows.map((row) => row[column] ?? null))
}

function isLocal(host: string): boolean {
  return host === 'localhost' || host === '127.0.0.1' || host === '[::1]'
}
