/** A table in PostgreSQL. Lines that are there already stay as they are, so each is there once. */
import { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
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

/** In milliseconds, as the other. */
const answerWithin = 15_000
/** How long a server may take to say goodbye. */
const leaveWithin = 1_000

/** With its socket, which ends whatever the server does. */
interface Connection {
  readonly client: pg.Client
  readonly socket: Socket
}

export class PostgresqlReceiver implements Receiver {
  readonly name: string
  readonly #target: PostgresqlTarget
  #connection: Connection | undefined

  constructor(target: PostgresqlTarget) {
    const { host, pathname } = new URL(target.url)
    this.name = `postgresql://${host}${pathname}`
    this.#target = target
  }

  async send(lines: readonly string[], signal: AbortSignal): Promise<number> {
    signal.throwIfAborted()
    const connection = this.#connection ?? this.#newConnection()
    const abort = (): void => void connection.socket.destroy()
    signal.addEventListener('abort', abort, { once: true })
    try {
      if (connection !== this.#connection) await this.#open(connection)
      await connection.client.query(insertion, columnsOf(lines))
      return 0
    } catch (error) {
      this.#forget(connection)
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#connection) return
    const { client, socket } = this.#connection
    await Promise.race([client.end().catch(() => {}), pause(leaveWithin, undefined, { ref: false })])
    socket.destroy()
  }

  #newConnection(): Connection {
    const { url, password, ca } = this.#target
    const address = new URL(url)
    const socket = new Socket()
    const client = new pg.Client({
      stream: () => socket,
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
    const connection = { client, socket }
    client.on('error', () => this.#forget(connection))
    return connection
  }

  async #open(connection: Connection): Promise<void> {
    const { client } = connection
    await client.connect()
    this.#connection = connection
    const { rows } = await client.query("SELECT to_regclass('firebreak_audit') IS NULL AS missing")
    if (rows[0]?.missing) await client.query(tableDefinition)
  }

  /** The next lines come by another connection. */
  #forget(connection: Connection): void {
    if (this.#connection === connection) this.#connection = undefined
    connection.client.end().catch(() => {})
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
