import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type pg from 'pg'
import { anyEvent } from '../../test/audit-trail.ts'
import { until } from '../../test/eventually.ts'
import { audience, clientSecret, IdentityProvider } from '../../test/identity-provider.ts'
import { ManualClock } from '../../test/manual-clock.ts'
import { RawClient } from '../../test/raw-client.ts'
import { reconfigure } from '../../test/reconfigure.ts'
import { Guard, Shop } from '../../test/shop.ts'
import { findClient } from '../../tools/clients.ts'
import { passwordMessage } from '../protocols/postgresql/codec/encode.ts'

interface Parts {
  readonly authentication: string
  readonly identity?: string
  readonly account?: string
  readonly credential?: string
  readonly access?: string
}

describe('sessions and what proves them', function () {
  this.timeout(120_000)
  let shop: Shop
  let provider: IdentityProvider
  let guard: Guard
  let clock: ManualClock

  /** Whoever is in the group `dba` may drop; everybody may read. */
  const manifests = ({
    authentication,
    identity = '',
    account = 'postgres',
    access = 'roles: [agent]',
    credential = 'env: {password: SHOP_PASSWORD}',
  }: Parts): string => `
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop}
spec:
  type: postgresql
  address: 127.0.0.1:${shop.postgres.port}
  database: shop
  tls: {mode: disable}
  roles: [{name: agent, username: ${account}, credential: {${credential}}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: tester}
spec:
  authentication: {${authentication}}
  access: [{resource: shop, ${access}}]
  ${identity}
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: readers}
spec: {rules: [{name: read, match: {actions: ["sql:select"]}, effect: allow}]}
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: administrators}
spec:
  appliesTo: {groups: [dba]}
  rules: [{name: anything, match: {actions: ["sql:*"]}, effect: allow}]
`
  const oidc = (more = ''): string => `oidc: {issuer: "${provider.issuer}", audience: "${audience}"${more}}`
  const obtain = (more: string): string =>
    oidc(`, obtain: {clientId: support-bot, clientSecret: {env: {name: CLIENT_SECRET}}, ${more}}`)
  const start = async (parts: Parts, files: Readonly<Record<string, string>> = {}): Promise<void> => {
    clock = new ManualClock()
    guard = await Guard.start({ ...files, 'firebreak.yaml': manifests(parts) }, shop.postgres.password, {
      clock,
    })
  }
  const change = (parts: Parts): Promise<void> => reconfigure(guard, manifests(parts))
  const connect = (token?: string): Promise<pg.Client> => shop.connect(guard.address, 'shop', 'agent', token)
  const mint = (claims = {}, options = {}): Promise<string> =>
    provider.mint(claims, { now: clock.wall() / 1000, ...options })
  /** What the audit trail says of the proof of the last session. */
  const proofLine = async (): Promise<Readonly<Record<string, unknown>>> => {
    const line = (await guard.auditLines('session.start')).at(-1)
    return { ...(line?.proof as object | undefined) }
  }
  /** The whole audit trail, once so many sessions have their end in it. */
  const trail = async (ended: number): Promise<string> => {
    await guard.auditLines('session.end', ended)
    return JSON.stringify(await guard.auditLines(anyEvent))
  }
  /** The error that ends a session. */
  const ending = (client: pg.Client): Promise<string> =>
    new Promise((resolve) =>
      client.on('error', (error: Error & { code?: string }) => {
        if (error.code !== undefined) resolve(`${error.code} ${error.message}`)
      }),
    )
  /** A real one: once a second the gateway looks at the clock. */
  const secondPasses = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1_500))
  const going = async (client: pg.Client): Promise<void> =>
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1)

  before(async () => {
    process.env.CLIENT_SECRET = clientSecret
    provider = await IdentityProvider.start()
    shop = await Shop.start()
    await shop.create('shop')
  })

  after(async () => {
    await shop[Symbol.asyncDispose]()
    await provider[Symbol.asyncDispose]()
  })

  afterEach(async () => {
    await guard[Symbol.asyncDispose]()
    await provider.setTokens({ groups: ['support'], seconds: 600 })
  })

  it('begin with a token as the password of psql', async () => {
    await start({ authentication: oidc() })
    const psql = await findClient('psql')
    const { host, port } = guard.address
    const { stdout } = await promisify(execFile)(
      psql,
      ['-h', host, '-p', String(port), '-U', 'agent', '-XAtc', 'SELECT session_user', 'shop'],
      { env: { ...process.env, PGPASSWORD: await mint() } },
    )
    assert.equal(stdout, 'postgres\n')
  })

  it('have the groups of their token', async () => {
    await start({ authentication: oidc(', groupsClaim: realm_access.roles') })
    const reader = await connect(await mint({ realm_access: { roles: ['support'] } }))
    await assert.rejects(reader.query('CREATE TABLE t (id integer)'), { code: '42501' })
    const administrator = await connect(await mint({ realm_access: { roles: ['dba'] } }))
    await administrator.query('CREATE TABLE t (id integer); DROP TABLE t')
    await Promise.all([reader.end(), administrator.end()])
  })

  it('have the roles that the groups of their token give, for as long as they do', async () => {
    const parts = {
      authentication: oidc(),
      access: 'roles: [agent], roleGroups: [{role: agent, groups: [dba, operations]}]',
    }
    await start(parts)
    await assert.rejects(connect(await mint()), {
      code: '42501',
      message: 'role agent of default/shop needs group dba or operations, which default/tester has not',
    })
    const agent = await connect(await mint({ groups: ['operations'] }))
    await going(agent)
    const ended = ending(agent)
    await change({ ...parts, access: 'roles: [agent], roleGroups: [{role: agent, groups: [dba]}]' })
    assert.equal(
      await ended,
      '57P01 role agent of default/shop needs group dba, which default/tester has not',
    )
  })

  it('begin with the token of a service account, and name its pod', async () => {
    await start({
      authentication: `kubernetes: {issuer: "${provider.issuer}", audience: "${audience}"}`,
      identity: 'workload: {serviceAccounts: [support-bot]}',
    })
    const pod = { name: 'support-bot-7f', uid: '0f5a' }
    const sub = 'system:serviceaccount:default:support-bot'
    const agent = await connect(
      await mint({ sub, jti: 'T1', 'kubernetes.io': { namespace: 'default', pod } }),
    )
    await agent.end()
    const { issuedAt, expiresAt, ...rest } = await proofLine()
    assert.deepEqual(rest, { kind: 'token', issuer: provider.issuer, subject: sub, tokenId: 'T1', pod })
    assert.ok(String(issuedAt) < String(expiresAt))
    await assert.rejects(connect(await mint({ sub: 'system:serviceaccount:default:other' })), {
      code: '28000',
      message:
        'the token is of system:serviceaccount:default:other, which is no service account of default/tester',
    })
  })

  it('may share a token, which is told when it comes from another place', async () => {
    await start({ authentication: oidc() })
    const token = await mint({ jti: 'T2' })
    for (const localAddress of ['127.0.0.1', '127.0.0.1', '127.0.0.2']) {
      const place = { ...guard.address, localAddress }
      const { client } = await RawClient.open(place, { user: 'agent', database: 'shop' }, 'R')
      using session = client
      session.send(passwordMessage(token))
      assert.equal((await session.until('Z')).at(-1)?.type, 'Z')
    }
    const signals = await guard.auditLines('signal')
    assert.deepEqual(
      signals.map(({ kind, severity, explanation }) => [kind, severity, explanation]),
      [['tokenMisuse', 'low', 'A token that was used from 127.0.0.1 before is used from 127.0.0.2.']],
    )
  })

  it('end when their token expires', async () => {
    await start({ authentication: oidc() })
    const agent = await connect(await mint({}, { expiresIn: 300 }))
    clock.pass(300_000)
    await going(agent)
    const ended = ending(agent)
    clock.pass(31_000)
    assert.equal(await ended, '57P01 the token of default/tester has expired')
  })

  it('end when their token expires, by the real clock', async () => {
    await start({ authentication: oidc() })
    await using real = await Guard.start(
      { 'firebreak.yaml': manifests({ authentication: oidc() }) },
      shop.postgres.password,
    )
    // has the keys fetched, so that the session of the token that soon expires begins at once
    const before = await shop.connect(real.address, 'shop', 'agent', await provider.mint())
    await before.end()
    // good for five more seconds of the tolerance
    const token = await provider.mint({}, { issuedAgo: 60, expiresIn: -25 })
    const agent = await shop.connect(real.address, 'shop', 'agent', token)
    assert.equal(await ending(agent), '57P01 the token of default/tester has expired')
  })

  it('end when the clock jumps beyond what they have', async () => {
    await start({ authentication: oidc(), identity: 'session: {maxDuration: 10m}' })
    const agent = await connect(await mint())
    const ended = ending(agent)
    clock.jump(11 * 60_000)
    assert.equal(await ended, '57P01 the session has reached its maximum duration of 10m')
  })

  it('live no longer because the clock was set back', async () => {
    await start({ authentication: oidc(), identity: 'session: {maxDuration: 2h, idleTimeout: 2h}' })
    const agent = await connect(await mint({}, { expiresIn: 300 }))
    clock.jump(-86_400_000)
    clock.pass(300_000)
    await going(agent)
    const ended = ending(agent)
    clock.pass(31_000)
    assert.equal(await ended, '57P01 the token of default/tester has expired')
  })

  it('end when they were idle, and not while there are commands', async () => {
    await start({ authentication: oidc(), identity: 'session: {idleTimeout: 5m}\n  groups: [dba]' })
    const agent = await connect(await mint({}, { expiresIn: 3_600 }))
    for (let turn = 0; turn < 3; turn++) {
      clock.pass(4 * 60_000)
      await going(agent)
    }
    const slow = agent.query('SELECT pg_sleep(2)')
    const running = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(2)'"
    await until(async () => ((await shop.admin('shop', running)).rowCount ?? 0) > 0)
    clock.pass(10 * 60_000)
    await slow
    const ended = ending(agent)
    clock.pass(5 * 60_000)
    assert.equal(await ended, '57P01 the session was idle for 5m')
  })

  it('end when their tokens are revoked, which then open no others', async () => {
    await start({ authentication: oidc() })
    const token = await mint()
    const agent = await connect(token)
    const ended = ending(agent)
    const now = new Date(clock.wall()).toISOString()
    await change({ authentication: oidc(`, issuedAfter: "${now}"`) })
    assert.equal(await ended, `57P01 the token was revoked with all that were issued before ${now}`)
    await assert.rejects(connect(token), { code: '28000', message: /^the token was revoked with all/ })
    const fresh = await connect(await mint({}, { issuedAgo: -1 }))
    await fresh.end()
  })

  it('end when the manifest asks for another proof', async () => {
    await start({ authentication: oidc() })
    const agent = await connect(await mint())
    const ended = ending(agent)
    await change({ authentication: oidc(', subject: somebody-else') })
    assert.equal(await ended, "57P01 the token's subject is support-bot, not somebody-else")
  })

  it('end when a fixed token is replaced', async () => {
    await start({ authentication: 'token: {file: {path: token}}' }, { token: 'first token' })
    const agent = await connect('first token')
    const ended = ending(agent)
    writeFileSync(join(guard.directory, 'token'), 'second token')
    clock.pass(10_000)
    assert.equal(await ended, '57P01 the token of default/tester is not valid any more')
    await assert.rejects(connect('first token'), { code: '28000', message: 'the token is not valid' })
    const next = await connect('second token')
    await next.end()
  })

  it('follow the groups of the manifest', async () => {
    await start({ authentication: 'loopback: {}' })
    const agent = await connect()
    await assert.rejects(agent.query('CREATE TABLE t (id integer)'), { code: '42501' })
    await change({ authentication: 'loopback: {}', identity: 'groups: [dba]' })
    await agent.query('CREATE TABLE t (id integer); DROP TABLE t')
    await change({ authentication: 'loopback: {}' })
    await assert.rejects(agent.query('CREATE TABLE t (id integer)'), { code: '42501' })
    await agent.end()
  })

  it('begin without a token where the sidecar gets one, and outlive it while it is renewed', async () => {
    await provider.setTokens({ groups: ['support'], seconds: 400 })
    await start({ authentication: obtain('grant: clientCredentials') })
    const agent = await connect()
    await assert.rejects(agent.query('CREATE TABLE t (id integer)'), { code: '42501' })
    // the provider's clock is the real one: what it issues after the jump has less time left
    await provider.setTokens({ groups: ['dba'], seconds: 3_600 })
    clock.pass(350_000)
    await until(async () => {
      // sessions begin with the token that there is
      const another = await connect()
      const allowed = another.query('CREATE TABLE t (id integer); DROP TABLE t')
      return await allowed
        .then(() => true)
        .catch(() => false)
        .finally(() => another.end())
    }, 'the token is not renewed')
    clock.pass(100_000)
    await secondPasses()
    await agent.query('CREATE TABLE t (id integer); DROP TABLE t')
    await agent.end()
    assert.equal((await proofLine()).kind, 'obtainedToken')
    assert.ok(!(await trail(1)).includes(clientSecret))
  })

  it('end with the token that the sidecar got, when the provider stays away', async () => {
    await provider.setTokens({ groups: ['support'], seconds: 400 })
    await start({ authentication: obtain('grant: clientCredentials') })
    const agent = await connect()
    await provider.goAway()
    try {
      clock.pass(350_000)
      await secondPasses()
      await going(agent)
      const ended = ending(agent)
      // it was given a while after the clock had stopped
      clock.pass(200_000)
      assert.equal(await ended, '57P01 the token of default/tester has expired')
      await assert.rejects(connect(), (error: pg.DatabaseError) => {
        assert.equal(error.code, '08001')
        assert.match(error.message, /gave no token for client support-bot: connect ECONNREFUSED/)
        assert.match(error.hint ?? '', /Check spec.authentication.oidc.obtain/)
        return true
      })
    } finally {
      await provider.comeBack()
    }
  })

  it('begin with a token in exchange for a projected one, read again when it has changed', async () => {
    const projected = (expiresIn: number): Promise<string> =>
      provider.mint(
        { iss: 'https://cluster.example', sub: 'system:serviceaccount:agents:bot' },
        { key: provider.clusterKey, expiresIn },
      )
    const stale = await projected(-60)
    await start(
      { authentication: obtain('grant: tokenExchange, subjectToken: {file: {path: projected}}') },
      { projected: stale },
    )
    await assert.rejects(connect(), { code: '08001', message: /gave no token .*: it refused/ })
    writeFileSync(join(guard.directory, 'projected'), await projected(600))
    clock.pass(5_000)
    const agent = await connect()
    await agent.end()
    assert.equal((await proofLine()).subject, 'system:serviceaccount:agents:bot')
    assert.ok(!(await trail(1)).includes(stale))
  })

  it('keep a credential that was rotated, or end with it, as the role says', async () => {
    const parts = (onRotation: string): Parts => ({
      authentication: 'loopback: {}',
      account: 'rotating',
      credential: `file: {path: password}, onRotation: ${onRotation}`,
    })
    const rotate = async (password: string): Promise<void> => {
      await shop.admin('shop', `ALTER ROLE rotating PASSWORD '${password}'`)
      writeFileSync(join(guard.directory, 'password'), `${password}\n`)
    }
    await shop.admin('shop', "CREATE ROLE rotating LOGIN PASSWORD 'first password'")
    await start(parts('keep'), { password: 'first password' })
    const first = await connect()
    await rotate('second password')
    const second = await connect()
    await going(first)
    await guard.auditLines('credential.rotated')

    await change(parts('end'))
    const ended = ending(second)
    await rotate('third password')
    // looked at again two seconds after it was first
    const looking = setInterval(() => clock.pass(2_000), 200)
    assert.equal(
      await ended.finally(() => clearInterval(looking)),
      '57P01 the credential of role agent was rotated; connect again',
    )
    const third = await connect()
    await third.end()
    assert.ok(!(await trail(2)).includes('password'))
  })
})
