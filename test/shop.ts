/** A real PostgreSQL with the shop of the attacks, and gateways in front of it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Address, Standalone, type StandaloneOptions } from '@firebreak/sidecar'
import pg from 'pg'
import { type Postgres, startPostgres } from '../tools/postgres.ts'
import { type AuditLine, auditLinesIn, type Meant } from './audit-trail.ts'

export const attacksDirectory = new URL('../attacks/', import.meta.url)

export type ShopValues = Readonly<Record<string, string>>

const plainValues: ShopValues = Object.fromEntries(
  [1, 2, 3].flatMap((n) => [
    [`email${n}`, `person${n}@shop.example`],
    [`ssn${n}`, `41${n}-22-678${n}`],
    [`salary${n}`, `7${n}000`],
    [`born${n}`, `198${n}-02-03`],
    [`profile${n}`, '{"blood": "A"}'],
  ]),
)

export class Shop implements AsyncDisposable {
  readonly postgres: Postgres

  /** @param binaries of another version than the locked one. */
  static async start(binaries?: string): Promise<Shop> {
    // raw clients don't do SCRAM, and the server is for this test alone
    return new Shop(
      await startPostgres({
        ...(binaries !== undefined && { binaries }),
        hba: ['host direct postgres 127.0.0.1/32 trust'],
      }),
    )
  }

  constructor(postgres: Postgres) {
    this.postgres = postgres
  }

  /** Makes a database with the shop in it. */
  async create(name: string, values: ShopValues = plainValues): Promise<void> {
    await this.admin('postgres', `CREATE DATABASE ${name}`)
    const sql = readFileSync(new URL('shop.sql', attacksDirectory), 'utf8')
    await this.admin(
      name,
      sql.replace(/:([a-z]+[0-9])/g, (_, key: string) => `'${values[key] ?? ''}'`),
    )
  }

  /** Makes a database that is a copy of another. */
  async copy(template: string, name: string): Promise<void> {
    await this.admin('postgres', `CREATE DATABASE ${name} TEMPLATE ${template}`)
  }

  /** Runs SQL directly on the server, around every gateway. */
  async admin(database: string, sql: string): Promise<pg.QueryResult> {
    const client = await this.connect(this.postgres, database, this.postgres.user, this.postgres.password)
    try {
      return await client.query(sql)
    } finally {
      await client.end()
    }
  }

  async connect(
    { host, port }: Address,
    database: string,
    user = 'agent',
    password?: string,
  ): Promise<pg.Client> {
    const client = new pg.Client({ host, port, database, user, ...(password !== undefined && { password }) })
    client.on('error', () => {})
    await client.connect()
    return client
  }

  /** Everything that an attack could have changed, as one text. */
  async fingerprint(database: string): Promise<string> {
    const client = await this.connect(this.postgres, database, this.postgres.user, this.postgres.password)
    try {
      return await fingerprintBy(client)
    } finally {
      await client.end()
    }
  }

  /** Starts a gateway with the manifests of a folder in `attacks/`. */
  async guard(policy: string, database?: string): Promise<Guard> {
    const text = readFileSync(new URL(`${policy}/firebreak.yaml`, attacksDirectory), 'utf8')
    const bound =
      database === undefined
        ? text.replace('  database: shop\n', '')
        : text.replace('database: shop', `database: ${database}`)
    return await Guard.start(
      { 'firebreak.yaml': bound.replace('ADDRESS', `${this.postgres.host}:${this.postgres.port}`) },
      this.postgres.password,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.postgres[Symbol.asyncDispose]()
  }
}

/** A running gateway with a directory of its own. */
export class Guard implements AsyncDisposable {
  readonly directory: string
  readonly address: Address
  readonly standalone: Standalone
  #stopped: Promise<void> | undefined

  /** @param options that differ from a gateway on a free loopback port. */
  static async start(
    files: Readonly<Record<string, string>>,
    password: string,
    options: Partial<Omit<StandaloneOptions, 'listen'>> & { readonly listen?: Address } = {},
  ): Promise<Guard> {
    process.env.SHOP_PASSWORD = password
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-test-'))
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
    const standalone = await Standalone.start({
      directory,
      audit: [{ kind: 'file', path: join(directory, 'audit.jsonl') }],
      onEvent: () => {},
      ...options,
      listen: new Map([['shop', options.listen ?? { host: '127.0.0.1', port: 0 }]]),
    })
    return new Guard(directory, standalone)
  }

  private constructor(directory: string, standalone: Standalone) {
    const [listener] = standalone.listeners
    if (!listener) throw new Error('the gateway does not listen')
    this.directory = directory
    this.address = listener.address
    this.standalone = standalone
  }

  /** The audit lines of commands, once there are at least so many. @param text as that of those that are meant. */
  async audited(least: number, text = /(?:)/): Promise<readonly AuditLine[]> {
    return await this.auditLines((line) => line.event === 'command' && text.test(String(line.text)), least)
  }

  /** The audit lines that are meant, once there are at least so many, and no more of any kind come. */
  async auditLines(meant: Meant, least = 1): Promise<readonly AuditLine[]> {
    return await auditLinesIn(join(this.directory, 'audit.jsonl'), meant, least)
  }

  /** Stops the gateway; what it has written stays until the end. */
  stop(): Promise<void> {
    this.#stopped ??= this.standalone[Symbol.asyncDispose]()
    return this.#stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

async function fingerprintBy(client: pg.Client): Promise<string> {
  const tables = await client.query(
    `SELECT format('SELECT %L AS t, count(*), md5(string_agg(x::text, E''\\n'' ORDER BY x::text)) FROM %s x', c.oid::regclass, c.oid::regclass) AS q
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_temp' ORDER BY 1`,
  )
  const contents = await client.query(
    (tables.rows as { q: string }[]).map((row) => row.q).join(' UNION ALL ') || 'SELECT 1',
  )
  const catalogue = await client.query(
    `SELECT ${[
      'pg_class',
      'pg_proc',
      'pg_rewrite',
      'pg_trigger',
      'pg_type',
      'pg_cast',
      'pg_operator',
      'pg_namespace',
      'pg_attrdef',
      'pg_policy',
      'pg_authid',
      'pg_db_role_setting',
      'pg_auth_members',
      'pg_database',
      'pg_description',
      'pg_publication',
      'pg_extension',
      'pg_largeobject_metadata',
    ]
      .map(
        (table) =>
          `(SELECT count(*) || ':' || coalesce(sum(xmin::text::bigint), 0) FROM ${table}) AS ${table}`,
      )
      .join(', ')}`,
  )
  return JSON.stringify([contents.rows, catalogue.rows], undefined, 1)
}
