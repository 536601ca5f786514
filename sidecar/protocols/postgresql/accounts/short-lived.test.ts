import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { GatewayProcess } from '../../../../test/gateway-process.ts'
import { manifests } from '../../../../test/policies.ts'
import { Guard, Shop } from '../../../../test/shop.ts'

const makerPassword = "maker's \\ password"

describe('accounts of sessions', function () {
  this.timeout(120_000)
  let shop: Shop
  let guard: Guard

  const start = (role: string): Promise<Guard> =>
    Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `127.0.0.1:${shop.postgres.port}`,
          database: 'shop',
          role,
        }),
      },
      makerPassword,
    )
  const roles = async (): Promise<readonly string[]> => {
    const { rows } = await shop.admin(
      'shop',
      "SELECT rolname FROM pg_roles WHERE rolname LIKE 'firebreak%' ORDER BY 1",
    )
    return rows.map((row: { rolname: string }) => row.rolname)
  }
  const eventually = async (check: () => Promise<boolean>): Promise<void> => {
    const until = performance.now() + 60_000
    while (!(await check())) {
      assert.ok(performance.now() < until, `it did not come to that: ${check}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  const gone = (): Promise<void> => eventually(async () => (await roles()).length === 0)
  const client = (to = guard): Promise<pg.Client> => shop.connect(to.address, 'shop')

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    await shop.admin(
      'shop',
      `CREATE ROLE reader; GRANT SELECT ON customers TO reader; GRANT CREATE ON SCHEMA public TO reader;
       CREATE ROLE writer; GRANT SELECT, INSERT ON carts TO writer;
       CREATE ROLE maker LOGIN CREATEROLE PASSWORD E'maker''s \\\\ password';
       GRANT reader, writer TO maker WITH ADMIN OPTION, INHERIT TRUE`,
    )
    guard = await start(
      'username: maker, credential: {env: {password: SHOP_PASSWORD}}, shortLived: {memberOf: [reader, writer], validFor: 10m}',
    )
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  it('bear the reference of their session, and have the rights of their roles', async () => {
    const agent = await client()
    const { rows } = await agent.query('SELECT session_user AS name')
    const [{ session } = {}] = await guard.auditLines('session.start')
    assert.equal(rows[0].name, `firebreak_${String(session).toLowerCase()}`)
    assert.deepEqual(await roles(), [rows[0].name])
    assert.equal((await agent.query('SELECT id FROM customers')).rowCount, 3)
    await agent.query("INSERT INTO carts (id, note) VALUES (900, 'x')")
    await assert.rejects(agent.query('SELECT * FROM orders'), { code: '42501' })
    await agent.end()
    await gone()
    const lines = await guard.auditLines(({ event }) => /^account\./.test(String(event)), 2)
    assert.deepEqual(
      lines.map(({ event }) => event),
      ['account.made', 'account.dropped'],
    )
  })

  it('have passwords that stand nowhere, and let in once and for a while only', async () => {
    const agent = await client()
    const { rows } = await shop.admin(
      'shop',
      "SELECT rolpassword, rolvaliduntil - now() AS left, rolconnlimit, rolsuper, rolcreaterole, rolcreatedb FROM pg_authid WHERE rolname LIKE 'firebreak%'",
    )
    assert.match(rows[0].rolpassword, /^SCRAM-SHA-256\$4096:/)
    assert.ok(rows[0].left.minutes === 9 || rows[0].left.minutes === 10)
    const { rolconnlimit, rolsuper, rolcreaterole, rolcreatedb } = rows[0]
    assert.deepEqual([rolconnlimit, rolsuper, rolcreaterole, rolcreatedb], [1, false, false, false])
    await agent.end()
    await gone()
  })

  it('leave what they made to their first role, and nothing else', async () => {
    const agent = await client()
    await agent.query('CREATE TABLE made_by_agent (id integer); CREATE TEMP TABLE passing (id integer)')
    await agent.query('GRANT SELECT ON made_by_agent TO public')
    await agent.end()
    await gone()
    const { rows } = await shop.admin(
      'shop',
      "SELECT relowner::regrole::text AS owner FROM pg_class WHERE relname = 'made_by_agent'",
    )
    assert.deepEqual(rows, [{ owner: 'reader' }])
    await shop.admin('shop', 'DROP TABLE made_by_agent')
  })

  it('are dropped when the client is cut off in the middle of a command', async () => {
    const agent = await client()
    const running = agent.query('SELECT pg_sleep(60)').catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 200))
    ;(agent as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
    await running
    await gone()
  })

  it('are made and dropped for many sessions at once', async () => {
    const agents = await Promise.all(Array.from({ length: 12 }, () => client()))
    assert.equal((await roles()).length, 12)
    await Promise.all(agents.map((agent) => agent.end()))
    await gone()
  })

  it('are swept when a gateway was killed, but not those in use or of a living gateway', async () => {
    const [dead, living] = ['0'.repeat(26), '1'.repeat(26)]
    await shop.admin(
      'shop',
      `SET ROLE maker;
       CREATE ROLE firebreak_${dead} VALID UNTIL '2001-01-01' IN ROLE reader;
       CREATE ROLE firebreak_${living} VALID UNTIL '2999-01-01' IN ROLE reader;
       CREATE ROLE firebreak_person VALID UNTIL '2001-01-01' IN ROLE reader`,
    )
    await using fresh = await start(
      `username: maker, credential: {env: {password: SHOP_PASSWORD}}, shortLived: {memberOf: [reader]}`,
    )
    await eventually(async () => !(await roles()).includes(`firebreak_${dead}`))
    await shop.admin(
      'shop',
      `SET ROLE maker; CREATE ROLE firebreak_${dead} VALID UNTIL '2001-01-01' IN ROLE reader`,
    )
    const agent = await client(fresh)
    const rest = await roles()
    await agent.end()
    assert.ok(!rest.includes(`firebreak_${dead}`))
    assert.ok(rest.includes(`firebreak_${living}`))
    assert.ok(rest.includes('firebreak_person'))
    await shop.admin('shop', `DROP ROLE firebreak_${living}; DROP ROLE firebreak_person`)
    await gone()
  })

  it('are dropped after a gateway was killed and started again', async () => {
    const role = `username: maker, credential: {env: {password: SHOP_PASSWORD}}, shortLived: {memberOf: [reader], validFor: 1h}`
    const text = manifests({ address: `127.0.0.1:${shop.postgres.port}`, database: 'shop', role })
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-accounts-'))
    try {
      writeFileSync(join(directory, 'firebreak.yaml'), text)
      await using killed = await GatewayProcess.start(directory)
      const agent = await shop.connect(killed.address, 'shop')
      await agent.query('CREATE TABLE half_done (id integer)')
      await killed.end('SIGKILL')
      const [left, ...more] = await roles()
      assert.deepEqual(more, [])
      // none in use is swept, and this one's session may still end
      await eventually(async () => {
        const { rowCount } = await shop.admin(
          'shop',
          `SELECT FROM pg_stat_activity WHERE usename = '${left}'`,
        )
        return rowCount === 0
      })
      await shop.admin('shop', `ALTER ROLE ${left} VALID UNTIL '2001-01-01'`)
      await using next = await GatewayProcess.start(directory)
      await gone()
      await next.end()
      await shop.admin('shop', 'DROP TABLE half_done')
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  it('are dropped before a gateway that is asked to stop is gone', async () => {
    const role = `username: maker, credential: {env: {password: SHOP_PASSWORD}}, shortLived: {memberOf: [reader]}`
    const stopping = await start(role)
    const agents = await Promise.all([client(stopping), client(stopping), client(stopping)])
    assert.equal((await roles()).length, agents.length)
    await stopping[Symbol.asyncDispose]()
    assert.deepEqual(await roles(), [])
  })

  it('are not made without the right to do away with them', async () => {
    await shop.admin('shop', 'REVOKE INHERIT OPTION FOR reader FROM maker')
    await assert.rejects(client(), {
      code: '08001',
      message: /no account could be made for the session: it has not the rights of reader/,
    })
    await shop.admin('shop', 'GRANT reader TO maker WITH INHERIT TRUE')
    await shop.admin('shop', 'ALTER ROLE maker NOCREATEROLE')
    await assert.rejects(client(), { code: '08001', message: /permission denied to create role/ })
    await shop.admin('shop', 'ALTER ROLE maker CREATEROLE')
    await gone()
  })

  it('are locked and reported when they cannot be dropped', async () => {
    const agent = await client()
    await agent.query('CREATE TABLE kept (id integer)')
    await shop.admin('shop', 'REVOKE reader FROM maker CASCADE')
    await agent.end()
    await guard.auditLines('account.left')
    const { rows } = await shop.admin(
      'shop',
      "SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname LIKE 'firebreak%'",
    )
    assert.deepEqual(rows, [{ rolcanlogin: false, rolpassword: null }])
    const [name] = await roles()
    await shop.admin('shop', `DROP OWNED BY ${name}; DROP ROLE ${name}`)
    await shop.admin('shop', 'GRANT reader TO maker WITH ADMIN OPTION, INHERIT TRUE')
  })
})
