/** Real clients, unchanged: what they see through the gateway is what they see of the server. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Address } from '@firebreak/sidecar'
import type pg from 'pg'
import postgresJs from 'postgres'
import { findClient, findProgram, jdbcDriver, nodePackages, python } from '../../tools/clients.ts'
import { findBinaries } from '../../tools/postgres.ts'
import { manifests } from '../policies.ts'
import { Guard, Shop } from '../shop.ts'

const run = promisify(execFile)

/** Everything is allowed, and there is a rule that has to be looked at for every command. */
const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: no-wipe, match: {actions: ["sql:delete", "sql:update"], condition: "!command.sql.restricted"}, effect: deny}
`

describe('clients of PostgreSQL', function () {
  this.timeout(600_000)
  let shop: Shop
  let guard: Guard

  before(async () => {
    shop = await Shop.start()
    await shop.create('guardeddb')
    await shop.copy('guardeddb', 'directddb')
    guard = await Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `127.0.0.1:${shop.postgres.port}`,
          database: 'guardeddb',
          rules,
        }),
      },
      shop.postgres.password,
    )
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  /** Runs the same program directly and through the gateway, and compares what it prints. */
  async function same(
    program: string,
    args: (to: Address, database: string) => string[],
    input?: string,
  ): Promise<string> {
    const outputs: string[] = []
    for (const [to, database] of [
      [shop.postgres, 'directddb'],
      [guard.address, 'guardeddb'],
    ] as const) {
      const child = run(program, args(to, database), {
        env: {
          ...process.env,
          PGPASSWORD: shop.postgres.password,
          PGSSLMODE: 'disable',
          PGCONNECT_TIMEOUT: '60',
        },
        maxBuffer: 1 << 28,
      })
      child.child.stdin?.end(input)
      const { stdout, stderr } = await child
      outputs.push(
        `${stdout}\n${stderr}`.replaceAll(database, 'DATABASE').replaceAll(String(to.port), 'PORT'),
      )
    }
    assert.equal(outputs[1], outputs[0])
    return outputs[0] ?? ''
  }

  const psqlArguments = ({ host, port }: Address, database: string): string[] => [
    '-X',
    '-h',
    host,
    '-p',
    String(port),
    '-U',
    'postgres',
    '-d',
    database,
    '-v',
    'ON_ERROR_STOP=0',
  ]

  it('psql: queries, errors, transactions, \\d, \\copy, \\gdesc, prepared statements, cursors', async () => {
    const script = `
SELECT * FROM customers ORDER BY id;
\\d customers
\\d+ directory
\\df public.*
\\dt
\\du
\\l DATABASE
SELECT 1/0;
SELEC;
SELECT * FROM missing;
SELECT id, total FROM orders WHERE id = 1 \\gdesc
BEGIN;
SAVEPOINT a;
INSERT INTO carts (id) VALUES (1);
ROLLBACK TO a;
INSERT INTO carts (id, note) VALUES (900, 'a	b') RETURNING *;
DECLARE c CURSOR FOR SELECT id FROM orders ORDER BY id;
FETCH 2 FROM c;
COMMIT;
\\copy (SELECT id, note FROM carts ORDER BY id) TO STDOUT WITH CSV HEADER
COPY carts (id, note) FROM STDIN;
901\tone
902\ttwo
\\.
PREPARE p (int) AS SELECT $1 + 1;
EXECUTE p (41);
\\set FETCH_COUNT 2
SELECT id FROM carts ORDER BY id;
SELECT $1::int + $2::int \\bind 1 2 \\g
DELETE FROM carts WHERE id >= 900;
DO $$BEGIN RAISE NOTICE 'noticed'; END$$;
`
    const output = await same(
      await findClient('psql'),
      psqlArguments,
      script.replace('\\bind 1 2 \\g', ';').replace('SELECT $1::int + $2::int', 'SELECT 3'),
    )
    assert.match(output, /division by zero/)
    assert.match(output, /NOTICE:.*noticed/)
  })

  it('pg_dump of a schema', async () => {
    const dump = await findClient('pg_dump')
    const olderPackages = await nodePackages(new URL('older-postgresql/', import.meta.url))
    await using older = await Shop.start(findBinaries(olderPackages))
    await older.create('shop')
    await using olderGuard = await Guard.start(
      {
        'firebreak.yaml': manifests({ address: `127.0.0.1:${older.postgres.port}`, database: 'shop', rules }),
      },
      older.postgres.password,
    )
    const dumped = async ({ host, port }: Address): Promise<string> => {
      const options = { env: { ...process.env, PGPASSWORD: older.postgres.password }, maxBuffer: 1 << 28 }
      const { stdout } = await run(
        dump,
        ['-h', host, '-p', String(port), '-U', 'postgres', '--schema=public', 'shop'],
        options,
      )
      // newer releases of pg_dump put a random key into each dump
      return stdout.replace(/^\\(un)?restrict .*$/gm, '')
    }
    const guarded = await dumped(olderGuard.address)
    assert.match(guarded, /COPY public.customers/)
    assert.equal(guarded, await dumped(older.postgres))
  })

  it('pgbench in all three query modes', async () => {
    const pgbench = await findClient('pgbench')
    const options = { env: { ...process.env, PGPASSWORD: shop.postgres.password } }
    const at = ({ host, port }: Address): string[] => ['-h', host, '-p', String(port), '-U', 'postgres']
    await run(pgbench, [...at(guard.address), '-i', '-q', 'guardeddb'], options)
    for (const mode of ['simple', 'extended', 'prepared']) {
      const { stdout } = await run(
        pgbench,
        [...at(guard.address), '-n', '-M', mode, '-c', '4', '-t', '50', 'guardeddb'],
        options,
      )
      assert.match(stdout, /number of transactions actually processed: 200\/200/, mode)
      assert.match(stdout, /number of failed transactions: 0/, mode)
    }
  })

  it('node-postgres: types, arrays, bigints, named statements, errors', async () => {
    const outputs = await both(async (to, database) => {
      const client = await shop.connect(to, database, 'postgres', shop.postgres.password)
      const rows = []
      rows.push(
        (
          await client.query(
            "SELECT 1::int8, 1.5::numeric, now() IS NOT NULL, '{1,2}'::int[], '{\"a\": 1}'::jsonb, '\\xff'::bytea, NULL::text",
          )
        ).rows,
      )
      for (const id of [1, 2, 3])
        rows.push(
          (
            await client.query({
              name: 'named',
              text: 'SELECT name, born FROM customers WHERE id = $1',
              values: [id],
            })
          ).rows,
        )
      rows.push(
        (await client.query({ text: 'SELECT id, salary FROM customers ORDER BY id', rowMode: 'array' })).rows,
      )
      rows.push(
        await client
          .query('SELECT $1::date', ['nonsense'])
          .catch((error: pg.DatabaseError) => [error.code, error.message, error.position]),
      )
      rows.push(
        ((await client.query('SELECT 1 AS a; SELECT 2 AS b')) as unknown as pg.QueryResult[]).map(
          (result) => result.rows,
        ),
      )
      await client.end()
      return rows
    })
    assert.deepEqual(outputs[1], outputs[0])
  })

  it('porsager/postgres: pipelines, transactions, cursors, binary-safe parameters', async () => {
    const outputs = await both(async ({ host, port }, database) => {
      const sql = postgresJs({
        host,
        port,
        database,
        user: 'postgres',
        password: shop.postgres.password,
        max: 2,
      })
      const rows: unknown[] = await Promise.all(
        [1, 2, 3, 4, 5].map((n) => sql`SELECT ${n}::int AS n, ${'text'} AS t`),
      )
      rows.push(
        await sql.begin(async (transaction) => [
          await transaction`SELECT count(*) FROM carts`,
          await transaction`INSERT INTO carts ${transaction({ id: 950, note: 'n' })} RETURNING note`,
        ]),
      )
      for await (const batch of sql`SELECT id FROM customers ORDER BY id`.cursor(2))
        rows.push(batch.map((row) => row.id))
      await sql`DELETE FROM carts WHERE id = ${950}`
      rows.push(
        await sql`SELECT nope`.catch((error: { code: string; message: string }) => [
          error.code,
          error.message,
        ]),
      )
      await sql.end()
      return JSON.parse(JSON.stringify(rows)) as unknown
    })
    assert.deepEqual(outputs[1], outputs[0])
  })

  it('psycopg 3: pipeline mode, server-side cursors, COPY, binary', async () => {
    const script = `
import sys, psycopg
c = psycopg.connect(sys.argv[1], autocommit=True)
with c.pipeline():
    rs = [c.execute("SELECT %s::int", [n]) for n in range(20)]
print([r.fetchone() for r in rs])
with c.transaction():
    with c.cursor(name="named") as cur:
        cur.itersize = 2
        cur.execute("SELECT id, name FROM customers ORDER BY id")
        print(list(cur))
with c.cursor(binary=True) as cur:
    print(cur.execute("SELECT 1::int4, 2::int8, 1.5::numeric, 'x'::text, ARRAY[1,2], date '2026-01-02', '{}'::jsonb").fetchall())
    with cur.copy("COPY carts (id, note) FROM STDIN") as copy:
        for n in range(100): copy.write_row((2000 + n, "n%d" % n))
    with cur.copy("COPY (SELECT id, note FROM carts WHERE id >= 2000 ORDER BY id) TO STDOUT (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "text"])
        print(len(list(copy.rows())))
    print(cur.execute("DELETE FROM carts WHERE id >= 2000").rowcount)
    print(cur.executemany("SELECT %s::int", [(1,), (2,)], returning=True))
try:
    c.execute("SELECT * FROM missing")
except psycopg.errors.UndefinedTable as e:
    print(e.sqlstate)
for n in range(12): c.execute("SELECT name FROM customers WHERE id = %s", [n % 3 + 1], prepare=True).fetchone()
print("done")
`
    const output = await same(await python(['psycopg[binary]']), ({ host, port }, database) => [
      '-c',
      script,
      `host=${host} port=${port} user=postgres password=${shop.postgres.password} dbname=${database} sslmode=disable`,
    ])
    assert.match(output, /done/)
  })

  it('JDBC: prepared and binary, batches, fetch size, savepoints, COPY, metadata', async () => {
    const driver = await jdbcDriver()
    const program = fileURLToPath(new URL('Jdbc.java', import.meta.url))
    const java = findProgram('java', 'In Debian it comes with default-jdk-headless.')
    const output = await same(java, ({ host, port }, database) => [
      '-cp',
      driver,
      program,
      `jdbc:postgresql://${host}:${port}/${database}`,
      'postgres',
      shop.postgres.password,
    ])
    assert.match(output, /placed timestamptz/)
  })

  async function both<Result>(
    work: (to: Address, database: string) => Promise<Result>,
  ): Promise<[Result, Result]> {
    return [await work(shop.postgres, 'directddb'), await work(guard.address, 'guardeddb')]
  }
})
