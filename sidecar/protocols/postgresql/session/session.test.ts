import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type pg from 'pg'
import postgresJs from 'postgres'
import { eventuallyWith } from '../../../../test/eventually.ts'
import { manifests, type PolicyOptions } from '../../../../test/policies.ts'
import { errorIn, RawClient } from '../../../../test/raw-client.ts'
import { reconfigure } from '../../../../test/reconfigure.ts'
import { Guard, Shop } from '../../../../test/shop.ts'
import * as encode from '../codec/encode.ts'

const eventually = eventuallyWith(() => '')

/** The agent may do everything but remove objects, and delete without a restriction. */
const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: no-drop, match: {actions: ["sql:drop"]}, effect: deny, message: Ask a person.}
    - {name: no-wipe, match: {actions: ["sql:delete"], condition: "!command.sql.restricted"}, effect: deny}
`

describe('PostgreSQL sessions', function () {
  this.timeout(120_000)
  let shop: Shop
  let guard: Guard
  const start = (options: Partial<PolicyOptions>): Promise<Guard> =>
    Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `127.0.0.1:${shop.postgres.port}`,
          database: 'shop',
          ...options,
        }),
      },
      shop.postgres.password,
    )
  const client = (to: Guard = guard): Promise<pg.Client> => shop.connect(to.address, 'shop')

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    guard = await start({ rules })
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  it('refuses a command in words, and goes on', async () => {
    const agent = await client()
    await assert.rejects(agent.query('DROP TABLE orders'), {
      code: '42501',
      message: 'denied by policy default/guard, rule no-drop',
      detail: 'sql:drop on table public.orders is denied.',
    })
    assert.deepEqual((await agent.query('SELECT 1 AS one')).rows, [{ one: 1 }])
    await agent.end()
  })

  it('aborts a transaction as any error does, and nothing of the command has run', async () => {
    const agent = await client()
    await agent.query('BEGIN')
    await agent.query("INSERT INTO carts (id, note) VALUES (500, 'x')")
    await assert.rejects(agent.query('DROP TABLE orders'), { code: '42501' })
    await assert.rejects(agent.query('SELECT 1'), { code: '25P02' })
    await agent.query('ROLLBACK')
    assert.equal((await agent.query('SELECT count(*) FROM carts WHERE id = 500')).rows[0].count, '0')
    await agent.end()
  })

  it('decides all statements of a message before the first one runs', async () => {
    const agent = await client()
    await assert.rejects(agent.query('INSERT INTO carts (id) VALUES (501); DROP TABLE orders'), {
      code: '42501',
    })
    assert.equal((await agent.query('SELECT count(*) FROM carts WHERE id = 501')).rows[0].count, '0')
    await agent.end()
  })

  it('skips the rest of a pipeline up to its Sync, and answers in order', async () => {
    const { client: raw } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
    using session = raw
    const run = (text: string): Buffer =>
      Buffer.concat([encode.parse('', text), encode.bind('', ''), encode.execute('')])
    session.send(
      run('SELECT 1'),
      run('DELETE FROM carts'),
      run('INSERT INTO carts (id) VALUES (502)'),
      encode.sync,
      run('SELECT 2'),
      encode.sync,
    )
    const first = await session.until('Z')
    assert.equal(first.map((frame) => frame.type).join(''), '12DCEZ')
    assert.equal(errorIn(first)?.get('C'), '42501')
    assert.equal((await session.until('Z')).map((frame) => frame.type).join(''), '12DCZ')
    assert.equal((await shop.admin('shop', 'SELECT count(*) FROM carts WHERE id = 502')).rows[0].count, '0')
  })

  it('takes a statement that failed to be prepared for what it was', async () => {
    const { client: raw } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
    using session = raw
    session.send(encode.parse('p', 'SELECT 1 AS prepared'), encode.sync)
    await session.until('Z')
    // the server keeps the first one; the gateway must not believe in the second
    session.send(encode.parse('p', 'SELECT 2 AS prepared'), encode.sync)
    assert.equal(errorIn(await session.until('Z'))?.get('C'), '42P05')
    session.send(encode.bind('', 'p'), encode.execute(''), encode.sync)
    await session.until('Z')
    const [line, ...more] = await guard.audited(1, / AS prepared$/)
    assert.deepEqual([line?.text, more], ['SELECT 1 AS prepared', []])
  })

  it('decides a prepared statement each time it runs, and audits it with its parameters', async () => {
    const agent = await client()
    for (const id of [1, 2])
      await agent.query({ name: 'one', text: 'SELECT note FROM carts WHERE id = $1', values: [id] })
    const lines = await guard.audited(2, /^SELECT note FROM carts WHERE id = \$1$/)
    assert.deepEqual(
      lines.map((line) => line.parameters),
      [['1'], ['2']],
    )
    assert.deepEqual(lines[0]?.actions, ['sql:select'])
    await agent.end()
  })

  it('copies in and out', async () => {
    const sql = postgresJs({
      host: guard.address.host,
      port: guard.address.port,
      database: 'shop',
      user: 'agent',
      max: 1,
    })
    const rows = Array.from({ length: 5_000 }, (_, n) => `${1_000 + n}\t[]\tnote ${n}\n`)
    await pipeline(Readable.from(rows), await sql`COPY carts (id, items, note) FROM STDIN`.writable())
    let out = ''
    await pipeline(
      await sql`COPY (SELECT id, note FROM carts WHERE id >= 1000 ORDER BY id) TO STDOUT`.readable(),
      new Writable({
        write(chunk, _, done) {
          out += String(chunk)
          done()
        },
      }),
    )
    assert.equal(out.split('\n').length - 1, 5_000)
    assert.ok(out.startsWith('1000\tnote 0\n'))
    await sql`DELETE FROM carts WHERE id >= 1000`
    await sql.end()
  })

  it('passes notifications on', async () => {
    const [listener, speaker] = [await client(), await client()]
    const heard = new Promise<pg.Notification>((resolve) => listener.on('notification', resolve))
    await listener.query('LISTEN news')
    await speaker.query("NOTIFY news, 'hello'")
    assert.equal((await heard).payload, 'hello')
    await Promise.all([listener.end(), speaker.end()])
  })

  it('cancels only what the key is for', async () => {
    const agent = await client()
    const slow = agent.query('SELECT pg_sleep(600)')
    await eventually(async () => {
      const { rowCount } = await shop.admin(
        'shop',
        "SELECT FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(600)'",
      )
      return `${rowCount} run`
    }, /^1 run$/)
    const { processID, secretKey } = agent as unknown as { processID: number; secretKey: number }
    const key = Buffer.alloc(4)
    const send = (secret: number): Promise<void> =>
      new Promise((resolve) => {
        key.writeInt32BE(secret)
        connect(guard.address)
          .on('close', () => resolve())
          .on('error', () => {})
          .resume()
          .end(encode.cancelRequest(processID, key))
      })
    await send(secretKey ^ 1)
    assert.equal(
      await Promise.race([
        slow.catch(() => 'cancelled'),
        new Promise((resolve) => setTimeout(() => resolve('running'), 200)),
      ]),
      'running',
    )
    await send(secretKey)
    await assert.rejects(slow, { code: '57014' })
    await agent.end()
  })

  it('lets a portal go on where it stopped, as one command', async () => {
    const { client: raw } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
    using session = raw
    const execute = encode.execute('')
    execute.writeInt32BE(2, execute.length - 4)
    session.send(
      encode.parse('', 'SELECT id FROM customers ORDER BY id'),
      encode.bind('', ''),
      execute,
      encode.execute(''),
      encode.sync,
    )
    assert.equal((await session.until('Z')).map((frame) => frame.type).join(''), '12DDsDCZ')
    const lines = await guard.audited(1, /^SELECT id FROM customers ORDER BY id$/)
    assert.deepEqual(
      lines.map((line) => line.rows),
      [3],
    )
  })

  it('refuses FunctionCall, replication and names of its own where policy has something to say', async () => {
    const { client: raw } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
    using session = raw
    const call = Buffer.from([0x46, 0, 0, 0, 14, 0, 0, 0x07, 0xd0, 0, 0, 0, 0, 0, 0])
    session.send(call)
    assert.equal(errorIn(await session.until('Z'))?.get('C'), '42501')
    session.send(encode.parse('firebreak_own', 'SELECT 1'), encode.sync)
    assert.equal(errorIn(await session.until('Z'))?.get('C'), '42501')
    await using strict = await start({
      rules: '    - {name: read, match: {actions: ["sql:select"]}, effect: allow}\n',
    })
    const { greeting } = await RawClient.open(strict.address, {
      user: 'agent',
      database: 'shop',
      replication: 'true',
    })
    assert.equal(errorIn(greeting)?.get('C'), '42501')
  })

  it('stops a result at its row limit with an error, in every protocol', async () => {
    await using limited = await start({ limits: '{rowsPerCommand: 100}' })
    const agent = await client(limited)
    for (const values of [undefined, []]) {
      await assert.rejects(
        agent.query({ text: 'SELECT n FROM generate_series(1, 100000) n', ...(values && { values }) }),
        { code: '54000', message: 'the limit of 100 rows per command is reached' },
      )
    }
    assert.equal((await agent.query('SELECT n FROM generate_series(1, 100) n')).rowCount, 100)
    assert.equal((await limited.audited(3))[0]?.rows, 100)
    await agent.end()
  })

  it('stops a result at its limits however large its rows are, and COPY as well', async () => {
    await using limited = await start({ limits: '{rowsPerCommand: 3, bytesPerCommand: 1000000}' })
    const agent = await client(limited)
    const rejection = async (sql: string): Promise<string> => {
      const error = await agent.query(sql).then(
        () => undefined,
        (problem: Error) => problem,
      )
      return String(error?.message)
    }
    const rows = (count: number, length: number): string =>
      `SELECT repeat('x', ${length}) FROM generate_series(1, ${count})`
    assert.match(await rejection(rows(5, 200_000)), /limit of 3 rows/)
    assert.match(await rejection(rows(3, 400_000)), /limit of 1000000 bytes/)
    assert.match(await rejection(rows(1, 20_000_000)), /limit of 1000000 bytes/)
    assert.match(await rejection(`COPY (${rows(4, 10)}) TO STDOUT`), /limit of 3 rows/)
    assert.equal((await agent.query(rows(3, 300_000))).rowCount, 3)
    const lines = await limited.audited(5)
    assert.deepEqual(
      lines.map((line) => line.rows),
      [3, 2, 0, 3, 3],
    )
    await agent.end()
  })

  it('stops at a limit of the hour between two rows, in words', async () => {
    await using limited = await start({ limits: '{bytesPerHour: 1000000}' })
    const agent = await client(limited)
    await assert.rejects(agent.query("SELECT repeat('x', 200000) FROM generate_series(1, 500)"), {
      code: '54000',
      message: /1000000 bytes per hour/,
    })
    await agent.end()
  })

  it('stops a command at its time limit', async () => {
    await using limited = await start({ limits: '{commandDuration: 300ms}' })
    const agent = await client(limited)
    await assert.rejects(agent.query('SELECT pg_sleep(600)'), {
      code: '57014',
      message: /longer than the 0.3 s/,
    })
    await agent.end()
  })

  it('counts commands', async () => {
    await using limited = await start({ limits: '{commandsPerMinute: 3}' })
    const agent = await client(limited)
    for (let n = 0; n < 3; n++) await agent.query('SELECT 1')
    await assert.rejects(agent.query('SELECT 1'), { code: '54000', message: /3 commands per minute/ })
    await agent.end()
  })

  it('applies a changed policy to the next command, and keeps the last good one', async () => {
    await using changing = await start({})
    const agent = await client(changing)
    await agent.query('SELECT id FROM orders')
    const denying = manifests({
      address: `127.0.0.1:${shop.postgres.port}`,
      database: 'shop',
      rules: '    - {name: none, match: {actions: ["sql:select"]}, effect: deny}\n',
    })
    await reconfigure(changing, denying)
    await assert.rejects(agent.query('SELECT id FROM orders'), { code: '42501' })
    writeFileSync(join(changing.directory, 'firebreak.yaml'), denying.replace('effect: deny', 'effect: dany'))
    await new Promise((resolve) => setTimeout(resolve, 400))
    await assert.rejects(agent.query('SELECT id FROM orders'), { code: '42501' })
    await agent.end()
  })

  it('ends the sessions of a suspended identity with a reason', async () => {
    await using changing = await start({})
    const agent = await client(changing)
    const ended = new Promise<Error>((resolve) => agent.on('error', resolve))
    const text = manifests({ address: `127.0.0.1:${shop.postgres.port}`, database: 'shop' })
    writeFileSync(
      join(changing.directory, 'firebreak.yaml'),
      text.replace(
        'kind: AgentIdentity\nmetadata: {name: tester}\nspec:\n',
        'kind: AgentIdentity\nmetadata: {name: tester}\nspec:\n  suspend: true\n',
      ),
    )
    assert.match((await ended).message, /default\/tester is suspended/)
  })

  it('asks for a token where the identity has one, and compares it', async () => {
    process.env.TESTER_TOKEN = 'correct horse'
    await using guarded = await start({ authentication: 'token: {env: {name: TESTER_TOKEN}}' })
    await assert.rejects(shop.connect(guarded.address, 'shop', 'agent', 'wrong'), {
      code: '28000',
      message: 'the token is not valid',
    })
    const agent = await shop.connect(guarded.address, 'shop', 'agent', 'correct horse')
    assert.equal((await agent.query('SELECT 1')).rowCount, 1)
    await agent.end()
  })

  it('ends idle and old sessions', async () => {
    await using short = await start({ session: '{maxDuration: 1h, idleTimeout: 200ms}' })
    // it keeps what it hears, however soon after its greeting that is
    const { client: raw, greeting } = await RawClient.open(short.address, { user: 'agent', database: 'shop' })
    using session = raw
    assert.equal(greeting.at(-1)?.type, 'Z')
    assert.match(errorIn(await session.until('E'))?.get('M') ?? '', /idle for 200ms/)
  })

  it('says what is wrong with the server without a secret', async () => {
    await using wrong = await Guard.start(
      { 'firebreak.yaml': manifests({ address: `127.0.0.1:${shop.postgres.port}`, database: 'shop' }) },
      'not-the-password',
    )
    await assert.rejects(
      client(wrong),
      (error: pg.DatabaseError) =>
        error.code === '28P01' &&
        !JSON.stringify(error).includes('not-the-password') &&
        /credential/.test(error.message),
    )
    await using nowhere = await Guard.start(
      { 'firebreak.yaml': manifests({ address: '127.0.0.1:1', database: 'shop' }) },
      shop.postgres.password,
    )
    await assert.rejects(client(nowhere), { code: '08001', message: /127.0.0.1:1 can't be reached/ })
    process.env.SHOP_PASSWORD = shop.postgres.password
  })

  it('does not run out of memory for a slow reader', async () => {
    const { client: raw } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
    using session = raw
    session.socket.pause()
    session.send(encode.query("SELECT repeat('x', 1000) FROM generate_series(1, 200000)"))
    const before = process.memoryUsage().rss
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    assert.ok(
      process.memoryUsage().rss - before < 60_000_000,
      'the gateway took in what the client does not read',
    )
    session.socket.resume()
    const frames = await session.until('Z')
    assert.equal(frames.filter((frame) => frame.type === 'D').length, 200_000)
  })

  it('sees at once what another session has defined', async () => {
    await shop.copy('shop', 'shared_definitions')
    await using masking = await start({
      database: 'shared_definitions',
      classification: '[{tags: [pii/ssn], columns: [public.customers.ssn]}]',
      rules: `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}
`,
    })
    const [definer, reader] = [
      await shop.connect(masking.address, 'shared_definitions'),
      await shop.connect(masking.address, 'shared_definitions'),
    ]
    const names = async (): Promise<unknown[]> =>
      (await reader.query('SELECT name FROM directory ORDER BY id')).rows.map(
        (row: { name: string }) => row.name,
      )
    for (let turn = 0; turn < 10; turn++) {
      await definer.query(
        'CREATE OR REPLACE VIEW directory AS SELECT id, name, email AS contact FROM customers',
      )
      assert.deepEqual(await names(), ['Ada Okafor', 'Ben Castillo', 'Chen Wei'])
      await definer.query(
        'BEGIN; CREATE OR REPLACE VIEW directory AS SELECT id, ssn AS name, email AS contact FROM customers',
      )
      await definer.query('COMMIT')
      assert.deepEqual(await names(), ['********', '********', '********'])
    }
    await Promise.all([definer.end(), reader.end()])
  })

  it('answers nonsense with an error and closes, whatever the bytes', async () => {
    for (const bytes of [
      '51000000ff',
      '5100000003',
      '00000000',
      '7a00000004',
      '420000000841414141',
      '50000000087000ff',
      '4400000006530041',
      '45000000040000',
    ]) {
      const { client: raw } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
      using session = raw
      session.send(Buffer.from(bytes, 'hex'), Buffer.alloc(300))
      const frames = await session.until('Z')
      assert.equal(errorIn(frames)?.get('C'), '08P01', bytes)
      assert.ok(session.closed)
    }
    assert.equal((await (await client()).query('SELECT 1')).rowCount, 1)
  })

  it('writes exactly one line for every command', async () => {
    await using counted = await start({ rules })
    const agent = await client(counted)
    for (let n = 0; n < 50; n++) await agent.query(`SELECT ${n}`)
    for (let n = 0; n < 50; n++) await agent.query('SELECT $1::int', [n])
    await agent.query('SELECT 1; SELECT 2')
    await assert.rejects(agent.query('DROP TABLE orders'))
    await assert.rejects(agent.query('SELECT 1/0'))
    await agent.end()
    const lines = await counted.audited(104)
    assert.equal(lines.length, 104)
    assert.deepEqual(new Set(lines.map((line) => line.reference)).size, 104)
    assert.deepEqual(lines.at(-1)?.error, { code: '22012', message: 'division by zero' })
    assert.ok(
      lines.some((line) => line.text === 'SELECT 37'),
      'the text is the one that was sent',
    )
  })
})
