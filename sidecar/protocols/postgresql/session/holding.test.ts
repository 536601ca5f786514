/** Commands held in live sessions, between real clients and a real PostgreSQL. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ApprovalRequest } from '@firebreak/crds'
import type pg from 'pg'
import { ManualClock } from '../../../../test/manual-clock.ts'
import { manifests } from '../../../../test/policies.ts'
import { errorIn, RawClient } from '../../../../test/raw-client.ts'
import { reconfigure } from '../../../../test/reconfigure.ts'
import { Guard, Shop } from '../../../../test/shop.ts'
import { findClient } from '../../../../tools/clients.ts'
import { decideRequest, listRequests } from '../../../approvals/desk.ts'
import { isFinished } from '../../../approvals/store.ts'
import * as encode from '../codec/encode.ts'

/** Drops and wide deletes need a person, and schemas may not be touched at all. */
const rules = (more = ''): string => `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: ask, match: {actions: ["sql:drop", "sql:delete", "sql:call", "sql:functionCall"], objects: ["public.*", "function *"]}, effect: requireApproval${more}}
    - {name: ask-copy, match: {actions: ["sql:insert"], objects: [public.people]}, effect: requireApproval}
    - {name: no-truncate, match: {actions: ["sql:truncate"]}, effect: deny}
`

describe('held commands in PostgreSQL sessions', function () {
  this.timeout(180_000)
  let shop: Shop
  let guard: Guard

  const start = (more = '', database = 'shop'): Promise<Guard> =>
    Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `127.0.0.1:${shop.postgres.port}`,
          database,
          rules: rules(more),
        }),
      },
      shop.postgres.password,
    )

  before(async () => {
    shop = await Shop.start()
    await shop.create('template')
  })
  after(() => shop[Symbol.asyncDispose]())
  beforeEach(async () => {
    await shop.admin('postgres', 'DROP DATABASE IF EXISTS shop WITH (FORCE)')
    await shop.copy('template', 'shop')
    guard = await start()
  })
  afterEach(() => guard[Symbol.asyncDispose]())

  const directory = (): string => join(guard.directory, 'approvals')
  const open = async (): Promise<readonly ApprovalRequest[]> =>
    (await listRequests(directory()).catch(() => [])).filter((request) => !isFinished(request))

  /** The requests that wait, once there are so many. */
  async function waiting(count = 1): Promise<readonly ApprovalRequest[]> {
    for (let turn = 0; turn < 2_000; turn++) {
      const requests = await open()
      if (requests.length === count) return requests
      await delay(count > 10 ? 250 : 10)
    }
    return assert.fail(`there never were ${count} requests`)
  }

  /** The one that nobody has decided yet. */
  async function theRequest(): Promise<ApprovalRequest> {
    for (let turn = 0; turn < 3_000; turn++) {
      const pending = (await open()).filter(({ status }) => status?.state === 'Pending')
      const [request] = pending
      if (request && pending.length === 1) return request
      await delay(10)
    }
    return assert.fail('there never was a request')
  }

  async function decide(
    request: ApprovalRequest,
    decision: 'Approved' | 'Denied',
    reason?: string,
  ): Promise<void> {
    const result = await decideRequest(directory(), request.metadata.name, { decision, reason })
    assert.equal(result.kind, 'decided', JSON.stringify(result))
  }

  const exists = async (table: string): Promise<boolean> =>
    (await shop.admin('shop', `SELECT to_regclass('${table}') IS NOT NULL AS e`)).rows[0].e

  const rowsIn = async (table: string): Promise<number> =>
    Number((await shop.admin('shop', `SELECT count(*) FROM ${table}`)).rows[0].count)

  const client = (to: Guard = guard): Promise<pg.Client> => shop.connect(to.address, 'shop')

  async function stateOf(name: string): Promise<string | undefined> {
    for (let turn = 0; turn < 2_000; turn++) {
      const request = (await listRequests(directory())).find(({ metadata }) => metadata.name === name)
      if (request && isFinished(request)) return request.status?.state
      await delay(10)
    }
    return undefined
  }

  it('wait in a live psql, which is told so, and run once when they are approved', async () => {
    const psql = await findClient('psql')
    const { host, port } = guard.address
    const child = spawn(psql, [
      '-X',
      '-h',
      host,
      '-p',
      String(port),
      '-U',
      'agent',
      'shop',
      '-c',
      'DROP TABLE carts',
    ])
    const closed = once(child, 'close')
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text))
    const request = await theRequest()
    await delay(20_000)
    assert.ok(await exists('carts'))
    assert.equal(child.exitCode, null)
    assert.equal(request.spec.command?.text, 'DROP TABLE carts')
    assert.deepEqual(request.spec.command.actions, ['sql:drop'])
    assert.deepEqual(request.spec.command.context, ['database shop', 'user postgres', 'search_path public'])
    await decide(request, 'Approved', 'CHG-1')
    await closed
    assert.match(
      output,
      /^NOTICE: {2}held for approval as approvalrequest\/tester-\w{5} \(approvers: any approver, expires in 15m\)\nDROP TABLE\n$/,
    )
    assert.ok(!(await exists('carts')))
    const lines = await guard.audited(1, /DROP/)
    assert.equal(lines.length, 1)
    assert.equal(lines[0]?.decision, 'hold')
    assert.equal(lines[0]?.approval, request.metadata.name)
    assert.equal(lines[0]?.error, undefined)
    const events = await guard.auditLines(({ request: name }) => name === request.metadata.name, 3)
    assert.deepEqual(
      events.map(({ event }) => event),
      ['approval.requested', 'approval.decided', 'approval.used'],
    )
    assert.equal(events[0]?.reference, lines[0]?.reference)
  })

  it('are refused with the reason when they are denied, and the session goes on', async () => {
    const agent = await client()
    const refused = assert.rejects(agent.query('DROP TABLE carts'), (error: pg.DatabaseError) => {
      assert.equal(error.code, '42501')
      assert.match(error.message, /^approvalrequest\/tester-\w{5} was denied by \w+: not today$/)
      assert.equal(
        error.detail,
        'Held for approval by policy default/guard, rule ask: sql:drop on table public.carts needs approval.',
      )
      return true
    })
    await decide(await theRequest(), 'Denied', 'not today')
    await refused
    assert.deepEqual((await agent.query('SELECT 1 AS one')).rows, [{ one: 1 }])
    assert.ok(await exists('carts'))
    await agent.end()
  })

  it('expire', async () => {
    await using short = await start(', approval: {expiresAfter: 1s}')
    const agent = await client(short)
    await assert.rejects(agent.query('DROP TABLE carts'), /expired before it was decided/)
    assert.ok(await exists('carts'))
    await agent.end()
  })

  it('are canceled by the client as any command, and withdrawn', async () => {
    const psql = await findClient('psql')
    const { host, port } = guard.address
    const child = spawn(psql, [
      '-X',
      '-h',
      host,
      '-p',
      String(port),
      '-U',
      'agent',
      'shop',
      '-c',
      'DROP TABLE carts',
      '-c',
      'SELECT 42',
    ])
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text))
    const request = await theRequest()
    child.kill('SIGINT')
    await once(child, 'close')
    assert.match(output, /ERROR: {2}canceled while it was held for approval/)
    assert.equal(await stateOf(request.metadata.name), 'Withdrawn')
    const [line] = await guard.audited(1, /DROP/)
    assert.deepEqual(line?.error, { code: '57014', message: 'canceled while it was held for approval' })
    assert.ok(await exists('carts'))
  })

  for (const [how, leave] of [
    ['disconnects', (raw: RawClient) => raw.socket.destroy()],
    ['says goodbye', (raw: RawClient) => raw.send(encode.terminate)],
  ] as const)
    it(`are withdrawn when the client ${how}`, async () => {
      const { client: raw } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
      raw.send(encode.query('DROP TABLE carts'))
      const request = await theRequest()
      leave(raw)
      assert.equal(await stateOf(request.metadata.name), 'Withdrawn')
      const [line] = await guard.audited(1, /DROP/)
      assert.equal(line?.approval, request.metadata.name)
      assert.equal((line?.error as { code: string } | undefined)?.code, '08006')
      assert.ok(await exists('carts'))
      raw[Symbol.dispose]()
    })

  it('are withdrawn when their session ends', async () => {
    const agent = await client()
    const ended = assert.rejects(agent.query('DROP TABLE carts'), /suspended/)
    const request = await theRequest()
    const path = join(guard.directory, 'firebreak.yaml')
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(
        'spec:\n  authentication',
        'spec:\n  suspend: true\n  authentication',
      ),
    )
    await ended
    assert.equal(await stateOf(request.metadata.name), 'Withdrawn')
  })

  it('of a message are asked about together, before any of it runs', async () => {
    const agent = await client()
    const running = agent.query(
      'INSERT INTO orders (id, total) VALUES (900, 1); DELETE FROM carts; DROP TABLE staff',
    )
    const request = await theRequest()
    assert.deepEqual(request.spec.command?.actions, ['sql:insert', 'sql:delete', 'sql:drop'])
    assert.equal(await rowsIn('orders'), 3)
    await decide(request, 'Approved')
    await running
    assert.equal(await rowsIn('carts'), 0)
    assert.equal(await rowsIn('orders'), 4)
    const lines = await guard.audited(3, /^(INSERT INTO orders|DELETE FROM carts|DROP TABLE staff)/)
    assert.deepEqual(
      lines.map(({ decision, approval }) => [decision, approval]),
      [
        ['allow', undefined],
        ['hold', request.metadata.name],
        ['hold', request.metadata.name],
      ],
    )
    await assert.rejects(agent.query('DELETE FROM carts; TRUNCATE orders'), /rule no-truncate/)
    assert.equal((await open()).length, 0)
    await agent.end()
  })

  it('are asked about with their parameters, each time they run', async () => {
    const agent = await client()
    const remove = (id: number): Promise<pg.QueryResult> =>
      agent.query({ name: 'remove', text: 'DELETE FROM carts WHERE id = $1', values: [id] })
    const first = remove(1)
    const one = await theRequest()
    assert.deepEqual(one.spec.command?.parameters, ["'1'"])
    assert.match(one.spec.command?.estimatedEffect ?? '', /^~\d+ rows?$/)
    await decide(one, 'Approved')
    assert.equal((await first).rowCount, 1)
    const second = assert.rejects(remove(2), /was denied/)
    const two = await theRequest()
    assert.notEqual(two.metadata.name, one.metadata.name)
    assert.notEqual(two.spec.command?.digest, one.spec.command?.digest)
    assert.equal(await rowsIn('carts'), 2)
    await decide(two, 'Denied', 'no')
    await second
    assert.equal(await rowsIn('carts'), 2)
    const lines = await guard.audited(2, /DELETE FROM carts/)
    assert.deepEqual(
      lines.map(({ parameters, approval }) => [parameters, approval]),
      [
        [['1'], one.metadata.name],
        [['2'], two.metadata.name],
      ],
    )
    await agent.end()
  })

  it('are refused when nobody could see their values whole', async () => {
    const agent = await client()
    await assert.rejects(
      agent.query('DELETE FROM carts WHERE note = $1', ['x'.repeat(20_000)]),
      /nobody could see the command whole to approve it: one of its parameters is longer than 4096 characters/,
    )
    await agent.query("SET client_encoding = 'LATIN1'")
    const deleting = agent.query('DELETE FROM carts WHERE note = $1', [Buffer.from([0x66, 0xfc, 0x72])])
    const { spec } = await theRequest()
    assert.deepEqual(spec.command?.parameters, ['\\x66fc72'])
    assert.ok(spec.command?.context?.includes('client_encoding LATIN1'))
    await decide(await theRequest(), 'Approved')
    await deleting
    await agent.end()
  })

  it('are approved for the text that was prepared, whatever its name is given to later', async () => {
    await using failing = await start(', approval: {whileWaiting: fail}')
    const own = guard
    guard = failing
    try {
      const agent = await client(failing)
      /** Comes again once it is approved. */
      const approved = async (sql: string): Promise<ApprovalRequest> => {
        await assert.rejects(agent.query(sql), /^error: pending approval as/)
        const request = await theRequest()
        await decide(request, 'Approved')
        return request
      }
      const prepare = async (sql: string): Promise<void> => {
        await approved(sql)
        await agent.query(sql)
      }
      await prepare('PREPARE p AS DELETE FROM carts WHERE id = 1')
      const request = await approved('EXECUTE p')
      assert.ok(
        request.spec.command?.context?.includes(
          'prepared statement "p": PREPARE p AS DELETE FROM carts WHERE id = 1',
        ),
      )
      await agent.query('DEALLOCATE p')
      await prepare('PREPARE p AS DELETE FROM carts WHERE id > 0')
      await assert.rejects(agent.query('EXECUTE p'), /pending approval as/)
      assert.equal(await rowsIn('carts'), 3)
      const [, other] = await waiting(2)
      assert.ok(other)
      await decide(other, 'Denied', 'too wide')
      await agent.query('DEALLOCATE p')
      await prepare('PREPARE p AS DELETE FROM carts WHERE id = 1')
      assert.equal((await agent.query('EXECUTE p')).rowCount, 1)
      await assert.rejects(agent.query('EXECUTE p'), /pending approval as/)
      await agent.end()
    } finally {
      guard = own
    }
  })

  it('keep their place in a pipeline: what follows waits, what fails before them asks nobody', async () => {
    const { client: raw } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
    using session = raw
    const run = (text: string): Buffer =>
      Buffer.concat([encode.parse('', text), encode.bind('', ''), encode.execute('')])
    session.send(
      run('SELECT 1'),
      run('DELETE FROM carts WHERE id = 1'),
      run('SELECT count(*) FROM carts'),
      encode.sync,
    )
    session.send(run('SELECT 1/0'), run('DELETE FROM carts'), encode.sync)
    await decide(await theRequest(), 'Approved')
    const first = await session.until('Z')
    assert.equal(first.map(({ type }) => type).join(''), '12DC12NC12DCZ')
    assert.equal(errorIn(await session.until('Z'))?.get('C'), '22012')
    assert.equal((await open()).length, 0)
    assert.equal(await rowsIn('carts'), 2)
  })

  it('are shown with the rows they would touch, asked where nothing can happen', async () => {
    await shop.admin(
      'shop',
      "INSERT INTO carts SELECT n, 1, '[]', 'many' FROM generate_series(100, 1099) n; ANALYZE carts",
    )
    await shop.admin(
      'shop',
      "CREATE FUNCTION loud() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE WARNING 'ran'; RETURN 1; END $$",
    )
    const agent = await client()
    const effectOf = async (sql: string): Promise<string | undefined> => {
      const running = assert.rejects(agent.query(sql))
      const request = await theRequest()
      await decide(request, 'Denied', 'only asking')
      await running
      return request.spec.command?.estimatedEffect
    }
    assert.match((await effectOf("DELETE FROM carts WHERE note = 'many'")) ?? '', /^~(9\d\d|10\d\d) rows$/)
    assert.equal(await effectOf('DELETE FROM carts WHERE id = loud()'), undefined)
    assert.equal(await effectOf('DROP TABLE carts'), undefined)
    assert.equal(await rowsIn('carts'), 1_003)
    await agent.end()
  })

  it('hold COPY as well', async () => {
    const { client: raw } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
    using session = raw
    session.send(encode.query('COPY people FROM STDIN'))
    await decide(await theRequest(), 'Approved')
    await session.until('G')
    const data = Buffer.from('77\tcopied\n')
    const copyData = Buffer.concat([Buffer.from('d'), Buffer.from([0, 0, 0, data.length + 4]), data])
    session.send(copyData, Buffer.from([0x63, 0, 0, 0, 4]))
    await session.until('Z')
    assert.equal(await rowsIn('ONLY people'), 2)
  })

  it('hold FunctionCall as well', async () => {
    const manifest = readFileSync(join(guard.directory, 'firebreak.yaml'), 'utf8')
    await reconfigure(guard, manifest.replace(/.*no-truncate.*\n/, ''))
    const { client: raw } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
    using session = raw
    const { rows } = await shop.admin('shop', "SELECT 'customer_count'::regproc::oid AS oid")
    const call = Buffer.alloc(15)
    call.write('F', 0)
    call.writeInt32BE(14, 1)
    call.writeUInt32BE(Number(rows[0].oid), 5)
    session.send(call)
    const request = await theRequest()
    assert.equal(request.spec.command?.text, 'FunctionCall public.customer_count')
    await decide(request, 'Approved')
    assert.equal((await session.until('Z')).map(({ type }) => type).join(''), 'NVZ')
  })

  it('are decided again when they are approved', async () => {
    const agent = await client()
    const denied = assert.rejects(
      agent.query('DROP TABLE carts'),
      /denied by policy default\/guard, rule no-truncate/,
    )
    const request = await theRequest()
    const path = join(guard.directory, 'firebreak.yaml')
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(
        'actions: ["sql:truncate"]',
        'actions: ["sql:truncate", "sql:drop"]',
      ),
    )
    await denied
    assert.equal(await stateOf(request.metadata.name), 'Withdrawn')
    await agent.end()
  })

  it('do not run when definitions have changed what they do: people are asked anew', async () => {
    await shop.admin('shop', 'CREATE VIEW kept AS SELECT id FROM carts')
    const agent = await client()
    const denied = assert.rejects(agent.query('DELETE FROM kept WHERE id = 1'), /that is another table/)
    const first = await theRequest()
    await shop.admin('shop', 'CREATE OR REPLACE VIEW kept AS SELECT id FROM customers')
    // what others define is looked for every few seconds
    const reader = await client()
    for (let read = 1; ; read++) {
      await reader.query('SELECT id FROM kept')
      const line = (await guard.audited(read, /^SELECT id FROM kept$/)).at(-1)
      if (JSON.stringify(line?.objects).includes('public.customers')) break
      assert.ok(read < 200, 'the gateway never saw what the view is now')
      await delay(200)
    }
    await reader.end()
    await decide(first, 'Approved')
    const second = await theRequest()
    assert.notEqual(second.metadata.name, first.metadata.name)
    assert.notDeepEqual(second.spec.command?.objects, first.spec.command?.objects)
    await decide(second, 'Denied', 'that is another table')
    await denied
    assert.equal(await rowsIn('customers'), 3)
    await agent.end()
  })

  it('hold back what is sent behind them, however much, and lose none of it', async () => {
    const { client: raw } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
    using session = raw
    const filler = encode.query(`SELECT 1 /* ${'x'.repeat(10_000)} */`)
    session.send(encode.query('DELETE FROM carts WHERE id = 1'))
    const request = await theRequest()
    for (let count = 0; count < 500; count++) session.send(filler)
    await delay(500)
    await decide(request, 'Approved')
    for (let count = 0; count < 501; count++) assert.equal(errorIn(await session.until('Z')), undefined)
    assert.equal(await rowsIn('carts'), 2)
  })

  it('are no idleness', async () => {
    const clock = new ManualClock()
    await using brief = await Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `127.0.0.1:${shop.postgres.port}`,
          database: 'shop',
          rules: rules(),
          session: '{maxDuration: 1h, idleTimeout: 1m}',
        }),
      },
      shop.postgres.password,
      { clock },
    )
    const own = guard
    guard = brief
    try {
      const agent = await client(brief)
      const dropping = agent.query('DROP TABLE carts')
      const request = await theRequest()
      clock.pass(5 * 60_000)
      // once a second the gateway looks at the clock
      await delay(2_500)
      await decide(request, 'Approved')
      await dropping
      assert.ok(!(await exists('carts')))
      agent.on('error', () => {})
      await agent.end()
    } finally {
      guard = own
    }
  })

  it('may be 200 at once, in little memory', async () => {
    const before = process.memoryUsage().rss
    const clients = await Promise.all(Array.from({ length: 50 }, () => client()))
    const raws = await Promise.all(
      Array.from(
        { length: 150 },
        async () => (await RawClient.open(guard.address, { user: 'agent', database: 'shop' })).client,
      ),
    )
    for (const [index, raw] of raws.entries())
      raw.send(encode.query(`DELETE FROM carts WHERE id = ${1_000 + index}`))
    const deleting = clients.map((agent, index) =>
      agent.query(`DELETE FROM carts WHERE id = $1`, [10_000 + index]),
    )
    const requests = await waiting(200)
    const grown = process.memoryUsage().rss - before
    assert.ok(grown < 300 * 1024 * 1024, `${Math.round(grown / 1024 / 1024)} MiB more`)
    for (const { metadata } of requests) {
      const path = join(directory(), `${metadata.name}.yaml`)
      writeFileSync(
        path,
        readFileSync(path, 'utf8').replace('expiresAt:', 'decision: Approved\n  expiresAt:'),
      )
    }
    await Promise.all(deleting)
    for (const raw of raws) {
      assert.equal(errorIn(await raw.until('Z')), undefined)
      raw[Symbol.dispose]()
    }
    assert.equal(new Set((await guard.audited(200, /DELETE/)).map(({ approval }) => approval)).size, 200)
    await Promise.all(clients.map((agent) => agent.end()))
  })
})
