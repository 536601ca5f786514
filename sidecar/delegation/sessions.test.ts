import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type pg from 'pg'
import { Agents, type AgentsOptions, orchestratorToken } from '../../test/agents.ts'
import { anyEvent } from '../../test/audit-trail.ts'
import { ManualClock } from '../../test/manual-clock.ts'
import { reconfigure } from '../../test/reconfigure.ts'
import { Shop } from '../../test/shop.ts'
import { findClient } from '../../tools/clients.ts'

const whole = ['default/orchestrator', 'default/planner', 'default/sql-worker']

describe('sessions of delegations', function () {
  this.timeout(120_000)
  let shop: Shop
  let agents: Agents

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
  })
  after(() => shop[Symbol.asyncDispose]())
  afterEach(() => agents[Symbol.asyncDispose]())

  const change = (options: Omit<AgentsOptions, 'address'>): Promise<void> =>
    reconfigure(agents.guard, Agents.manifests(shop, options))
  /** The error that ends a session. */
  const ending = (client: pg.Client): Promise<string> =>
    new Promise((resolve) =>
      client.on('error', (error: Error & { code?: string }) => {
        if (error.code !== undefined) resolve(`${error.code} ${error.message}`)
      }),
    )
  const refused = async (client: pg.Client, sql: string, reason: RegExp): Promise<void> => {
    await assert.rejects(client.query(sql), (error: pg.DatabaseError) => {
      assert.equal(error.code, '42501', error.message)
      assert.match(`${error.message} ${error.detail}`, reason)
      return true
    })
  }

  it('have less with every link, and say who stands behind them', async () => {
    agents = await Agents.start(shop)
    const { planner, worker } = await agents.chain(
      { actions: ['sql:select', 'sql:delete'], objects: ['public.*'] },
      { actions: ['sql:select'], objects: ['public.orders'], limits: { rowsPerCommand: 2 } },
    )
    const orchestrator = await agents.connect('agent', orchestratorToken)
    const middle = await agents.connect('agent@planner', planner.token)
    const last = await agents.connect('agent@sql-worker', worker.token)
    await orchestrator.query('CREATE TABLE notes (id integer); DROP TABLE notes')
    await refused(
      middle,
      'CREATE TABLE notes (id integer)',
      /outside the scope that default\/planner was given/,
    )
    await middle.query('DELETE FROM carts WHERE id < 0')
    await refused(
      last,
      'DELETE FROM carts WHERE id < 0',
      /outside the scope that default\/sql-worker was given/,
    )
    await refused(last, 'SELECT name FROM customers', /outside the scope that default\/sql-worker was given/)
    await refused(last, "DO $$ BEGIN EXECUTE 'SELECT 1'; END $$", /can't be proven to stay in the scope/)
    assert.equal((await last.query('SELECT id FROM orders LIMIT 2')).rowCount, 2)
    await assert.rejects(last.query('SELECT id FROM orders'), /limit of 2 rows/)
    await Promise.all([orchestrator.end(), middle.end(), last.end()])
    const { guard } = agents
    await guard.auditLines('session.end', 3)
    const [command] = await guard.audited(1, /^SELECT id FROM orders LIMIT 2$/)
    assert.deepEqual(command?.chain, whole)
    assert.deepEqual(
      (await guard.auditLines('session.start', 3)).map(({ chain, identity, proof }) => [
        identity,
        chain,
        (proof as { kind: string }).kind,
      ]),
      [
        ['default/orchestrator', undefined, 'fixedToken'],
        ['default/planner', whole.slice(0, 2), 'delegation'],
        ['default/sql-worker', whole, 'delegation'],
      ],
    )
    const issued = await guard.auditLines('delegation.issued', 2)
    assert.deepEqual(
      issued.map(({ delegation }) => delegation),
      [planner.id, worker.id],
    )
    const trail = JSON.stringify(await guard.auditLines(anyEvent))
    for (const { token } of [planner, worker])
      for (const part of token.split('.').slice(1))
        assert.ok(!trail.includes(part), 'a token is in the trail')
  })

  it('open with the token as the password of psql', async () => {
    agents = await Agents.start(shop)
    const { worker } = await agents.chain({}, { actions: ['sql:select'] })
    const { host, port } = agents.guard.address
    const { stdout } = await promisify(execFile)(
      await findClient('psql'),
      [
        '-h',
        host,
        '-p',
        String(port),
        '-U',
        'agent@sql-worker',
        '-XAtc',
        'SELECT count(*) FROM orders',
        'shop',
      ],
      { env: { ...process.env, PGPASSWORD: worker.token } },
    )
    assert.equal(stdout, '3\n')
  })

  it('have what the policies of every link leave, also when they change', async () => {
    const rules = {
      orchestrator: '{name: no-carts, match: {objects: [public.carts]}, effect: deny}',
      planner: '{name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}',
    }
    agents = await Agents.start(shop, { rules })
    const { worker } = await agents.chain()
    const client = await agents.connect('agent@sql-worker', worker.token)
    await refused(client, 'SELECT id FROM carts', /carts .*denied/)
    const ssn = async (): Promise<unknown> =>
      (await client.query('SELECT ssn FROM customers ORDER BY id LIMIT 1')).rows[0].ssn
    assert.doesNotMatch(String(await ssn()), /\d/)
    await change({ rules: {} })
    assert.match(String(await ssn()), /\d{3}-\d\d-\d{4}/)
    await client.query('SELECT id FROM carts')
    await change({ rules: { planner: '{name: none, match: {actions: ["sql:select"]}, effect: deny}' } })
    await refused(client, 'SELECT id FROM carts', /denied/)
    await client.end()
  })

  it('use up what those before them may use, and not more than they were given', async () => {
    agents = await Agents.start(shop, { limits: { orchestrator: '{rowsPerHour: 5}' } })
    const { worker } = await agents.chain({}, { limits: { commandsPerMinute: 3 } })
    const client = await agents.connect('agent@sql-worker', worker.token)
    assert.equal((await client.query('SELECT id FROM orders')).rowCount, 3)
    const parent = await agents.connect('agent', orchestratorToken)
    assert.equal((await parent.query('SELECT id FROM orders LIMIT 2')).rowCount, 2)
    await assert.rejects(parent.query('SELECT 1'), /limit of 5 rows per hour is reached/)
    await assert.rejects(client.query('SELECT 1'), /5 rows per hour is reached by default\/orchestrator/)
    const second = await agents.delegate(orchestratorToken, 'sql-worker')
    const other = await agents.connect('agent@sql-worker', second.token)
    await assert.rejects(other.query('SELECT 1'), /5 rows per hour is reached by default\/orchestrator/)
    await change({ limits: {} })
    await client.query('SELECT 1')
    await client.query('SELECT 1')
    await assert.rejects(client.query('SELECT 1'), /3 commands per minute is reached/)
    await Promise.all([client.end(), parent.end(), other.end()])
  })

  const endings: readonly [how: string, end: (planner: { id: string }) => Promise<void>, message: RegExp][] =
    [
      [
        'is revoked',
        async ({ id }) => {
          const { status } = await agents.ask('DELETE', `/v1/delegations/${id}`, orchestratorToken)
          assert.equal(status, 204)
        },
        /^57P01 the delegation orchestrator → planner → sql-worker has ended: revoked by orchestrator$/,
      ],
      [
        'is suspended',
        () => change({ planner: 'delegation: {maxDepth: 1}\n  suspend: true' }),
        /^57P01 the delegation .* has ended: default\/planner is suspended$/,
      ],
      [
        'may not delegate any more',
        () => change({ planner: '' }),
        /^57P01 the delegation .* has ended: default\/planner may have 0 links after it/,
      ],
      [
        'may not delegate to it any more',
        () => change({ planner: 'delegation: {maxDepth: 1, to: [orchestrator]}' }),
        /^57P01 the delegation .* has ended: default\/planner may not delegate to default\/sql-worker/,
      ],
    ]
  for (const [how, end, message] of endings) {
    it(`end at once when the parent ${how}, in the middle of a transaction`, async () => {
      agents = await Agents.start(shop)
      const { planner, worker } = await agents.chain()
      const client = await agents.connect('agent@sql-worker', worker.token)
      const middle = await agents.connect('agent@planner', planner.token)
      const first = await agents.connect('agent', orchestratorToken)
      await client.query('BEGIN; INSERT INTO carts (id) VALUES (4711)')
      const ended = ending(client)
      const middleEnded = how.startsWith('may not') ? Promise.resolve('') : ending(middle)
      await end(planner)
      assert.match(await ended, message)
      await middleEnded
      assert.equal((await first.query('SELECT id FROM carts WHERE id = 4711')).rowCount, 0)
      await assert.rejects(agents.connect('agent@sql-worker', worker.token), {
        code: '28000',
        message: 'the delegation was revoked or has ended',
      })
      // what has ended doesn't come back with the manifest
      await change({})
      await assert.rejects(agents.connect('agent@sql-worker', worker.token), { code: '28000' })
      await first.end()
      const revoked = await agents.guard.auditLines('delegation.revoked')
      assert.ok(revoked.every(({ reason }) => typeof reason === 'string'))
    })
  }

  it('end when what proved the first of the chain is worth nothing any more', async () => {
    const clock = new ManualClock()
    agents = await Agents.start(shop, {}, { clock })
    const { worker } = await agents.chain()
    const client = await agents.connect('agent@sql-worker', worker.token)
    const ended = ending(client)
    writeFileSync(join(agents.guard.directory, 'token'), 'another token')
    clock.pass(10_000)
    assert.match(
      await ended,
      /^57P01 the delegation .* has ended: the token of default\/orchestrator is not valid any more$/,
    )
  })

  it('end with their time, which is never more than the parent has', async () => {
    const clock = new ManualClock()
    agents = await Agents.start(shop, {}, { clock })
    const { planner, worker } = await agents.chain({ for: '5m' })
    await assert.rejects(
      agents.delegate(planner.token, 'sql-worker', { for: '6m' }),
      /6m is longer than the parent has, which is 5 min/,
    )
    await assert.rejects(
      agents.delegate(orchestratorToken, 'planner', { for: '2h' }),
      /2h is longer than the parent has, which is 60 min/,
    )
    const client = await agents.connect('agent@sql-worker', worker.token)
    clock.pass(4 * 60_000)
    await client.query('SELECT 1')
    const ended = ending(client)
    clock.pass(61_000)
    assert.match(await ended, /^57P01 the delegation .* has ended: its time is over$/)
    await assert.rejects(agents.connect('agent@sql-worker', worker.token), { code: '28000' })
  })

  it('live no longer because the clock was set back', async () => {
    const clock = new ManualClock()
    agents = await Agents.start(shop, {}, { clock })
    const { worker } = await agents.chain({ for: '5m' })
    clock.pass(4 * 60_000)
    clock.jump(-86_400_000)
    const client = await agents.connect('agent@sql-worker', worker.token)
    const ended = ending(client)
    clock.pass(61_000)
    await ended
    await assert.rejects(agents.connect('agent@sql-worker', worker.token), { code: '28000' })
  })

  it('are as short as the shortest of all who stand behind them', async () => {
    const clock = new ManualClock()
    agents = await Agents.start(
      shop,
      { orchestrator: 'delegation: {maxDepth: 2}\n  session: {idleTimeout: 2m}' },
      { clock },
    )
    const { worker } = await agents.chain()
    const client = await agents.connect('agent@sql-worker', worker.token)
    const ended = ending(client)
    clock.pass(2 * 60_000)
    assert.equal(await ended, '57P01 the session was idle for 2m')
  })

  it('don’t open with tokens of another sidecar, or of the one before', async () => {
    agents = await Agents.start(shop)
    const before = await agents.chain()
    await agents[Symbol.asyncDispose]()
    agents = await Agents.start(shop)
    await assert.rejects(agents.connect('agent@sql-worker', before.worker.token), {
      code: '28000',
      message: 'the delegation token was issued by another sidecar, or before this one was started',
    })
  })

  it('don’t open for a child that shows the token of a parent', async () => {
    agents = await Agents.start(shop)
    const { planner, worker } = await agents.chain()
    for (const token of [planner.token, orchestratorToken])
      await assert.rejects(agents.connect('agent@sql-worker', token), {
        code: '28000',
        message:
          /^sql-worker presents the token of default\/(planner|orchestrator), which has delegated to it$/,
      })
    const signals = await agents.guard.auditLines('signal', 2)
    assert.deepEqual(
      signals.map(({ kind, severity }) => [kind, severity]),
      [
        ['childActsAsParent', 'high'],
        ['childActsAsParent', 'high'],
      ],
    )
    const client = await agents.connect('agent@sql-worker', worker.token)
    await client.end()
  })

  it('are for the user of the system that the parent names, which is taken for nobody before it', async () => {
    agents = await Agents.start(shop, { authentication: 'loopback: {}' })
    const me = process.getuid?.() ?? 0
    await assert.rejects(
      agents.delegate(undefined, 'sql-worker', { user: me }),
      /user: the parent itself runs as it, so that nothing tells them apart/,
    )
    const others = await agents.delegate(undefined, 'sql-worker', { user: me + 1 })
    await assert.rejects(agents.connect('agent@sql-worker', others.token), {
      code: '28000',
      message: `the delegation is for user ${me + 1} of this system, not for ${me}`,
    })
    // the parent, whose user can't be told on the socket, says that its child is this user
    const planner = await agents.delegate(undefined, 'planner')
    const asked = await agents.askOnSocket(planner.token, { to: 'sql-worker', user: me })
    const own = asked.body as unknown as { token: string }
    await (await agents.connect('agent@sql-worker', own.token)).end()
    const as = (who: string): object => ({
      code: '28000',
      message: `user ${me} of this system runs default/sql-worker, and presents itself as default/${who}, which has delegated to it`,
    })
    await assert.rejects(agents.connect('agent'), as('orchestrator'))
    await assert.rejects(agents.connect('agent@planner', planner.token), as('planner'))
    assert.equal((await agents.ask('GET', '/v1/delegations', undefined)).status, 401)
    assert.equal((await agents.ask('GET', '/v1/delegations', own.token)).status, 200)
    assert.deepEqual(
      (await agents.guard.auditLines('signal', 4)).map(({ kind, severity }) => `${kind} ${severity}`),
      ['tokenMisuse high', ...Array(3).fill('childActsAsParent high')],
    )
  })

  it('need no name after the role, but the role where several are left', async () => {
    agents = await Agents.start(shop)
    const any = await agents.delegate(orchestratorToken, 'planner')
    const one = await agents.delegate(orchestratorToken, 'planner', { roles: ['other'] })
    await assert.rejects(agents.connect('whoever', any.token), /has no role whoever/)
    await (await agents.connect('other', any.token)).end()
    await (await agents.connect('whoever', one.token)).end()
    await assert.rejects(agents.connect('agent', one.token), /role agent is outside the scope/)
    assert.deepEqual(
      (await agents.guard.auditLines('session.start', 2)).map(({ role }) => role),
      ['other', 'other'],
    )
  })

  it('begin at a parent that proves itself by being on this host', async () => {
    agents = await Agents.start(shop, { authentication: 'loopback: {}' })
    const child = await agents.delegate(undefined, 'sql-worker', { actions: ['sql:select'] })
    const client = await agents.connect('agent@sql-worker', child.token)
    await refused(client, 'DELETE FROM carts', /scope that default\/sql-worker was given/)
    const parent = await agents.connect('agent')
    await parent.query('DELETE FROM carts WHERE id < 0')
    await assert.rejects(agents.connect('agent@sql-worker', 'nonsense'), { code: '28000' })
    await Promise.all([client.end(), parent.end()])
  })
})
