import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { exportJWK, generateKeyPair } from 'jose'
import { parse } from 'yaml'
import { Agents, orchestratorToken } from '../test/agents.ts'
import { anyEvent } from '../test/audit-trail.ts'
import { attacksDirectory, Shop } from '../test/shop.ts'

interface TokenCase {
  readonly name: string
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
  readonly rawClaims?: string
  readonly sign?: string
  readonly edit?: string
  readonly says: string
}

interface UserCase {
  readonly name: string
  readonly user: string
  readonly token: Name
  readonly says: string
  readonly signal?: string
}

interface RequestCase {
  readonly name: string
  readonly by: Name | 'nobody'
  readonly method?: string
  readonly path?: string
  readonly body?: Readonly<Record<string, unknown>>
  readonly raw?: string
  readonly padding?: number
  readonly many?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly status: number
  readonly says?: string
  readonly signal?: string
}

type Name = 'orchestrator' | 'planner' | 'worker' | 'helper'

const { tokens, users, requests, benign } = parse(
  readFileSync(new URL('delegation.yaml', attacksDirectory), 'utf8'),
) as { tokens: TokenCase[]; users: UserCase[]; requests: RequestCase[]; benign: RequestCase[] }

const worker = 'delegation: {maxDepth: 1}'
const helper = `
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: helper}
spec:
  access: [{resource: shop, roles: [agent]}]
  delegation: {maxDepth: 9}
`

describe('delegations under attack', function () {
  this.timeout(300_000)
  let shop: Shop
  let agents: Agents
  let stranger: Awaited<ReturnType<typeof generateKeyPair>>
  const held: Record<Name, { id: string; token: string }> = {
    orchestrator: { id: '', token: orchestratorToken },
    planner: { id: '', token: '' },
    worker: { id: '', token: '' },
    helper: { id: '', token: '' },
  }
  const revoked = { above: '', below: '' }

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    agents = await Agents.start(shop, {
      orchestrator: 'delegation: {maxDepth: 3}',
      planner: 'delegation: {maxDepth: 2, to: [sql-worker]}',
      worker: `${worker}${helper}`,
    })
    stranger = await generateKeyPair('Ed25519', { extractable: true })
    const scope = {
      roles: ['agent'],
      actions: ['sql:select'],
      objects: ['public.orders'],
      limits: { rowsPerCommand: 100 },
    }
    held.planner = await agents.delegate(orchestratorToken, 'planner')
    held.worker = await agents.delegate(held.planner.token, 'sql-worker', scope)
    held.helper = await agents.delegate(held.worker.token, 'helper')
    const above = await agents.delegate(orchestratorToken, 'planner')
    const below = await agents.delegate(above.token, 'sql-worker')
    await agents.ask('DELETE', `/v1/delegations/${above.id}`, orchestratorToken)
    Object.assign(revoked, { above: above.token, below: below.token })
  })

  after(async () => {
    await agents[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  /** The kinds of signals since the last time, once there are as many as are due. */
  let told = 0
  const signals = async (due: number): Promise<unknown[]> => {
    const all = await agents.guard.auditLines('signal', told + due)
    const fresh = all.slice(told)
    told = all.length
    return fresh.map(({ kind }) => kind)
  }

  describe('a token', () => {
    for (const attack of tokens)
      it(`is refused ${attack.name}`, async () => {
        const token = await forge(attack)
        await assert.rejects(
          agents.connect('agent@sql-worker', token),
          (error: Error & { code?: string }) => {
            assert.equal(error.code, '28000', error.message)
            assert.ok(error.message.includes(attack.says), error.message)
            return true
          },
        )
        const api = await agents.ask('GET', '/v1/delegations', encodeURI(token))
        assert.equal(api.status, 401)
        assert.deepEqual(await signals(2), ['tokenMisuse', 'tokenMisuse'])
        const trail = JSON.stringify(await agents.guard.auditLines(anyEvent))
        const [, , signature = ''] = token.split('.')
        if (signature.length > 20) assert.ok(!trail.includes(signature), 'the token is in the trail')
      })

    it('is taken unchanged', async () => {
      const client = await agents.connect('agent@sql-worker', held.worker.token)
      assert.equal((await client.query('SELECT id FROM orders')).rowCount, 3)
      await client.end()
      assert.deepEqual(await signals(0), [])
    })
  })

  describe('a client', () => {
    for (const { name, user, token, says, signal } of users)
      it(`is refused that says to be ${name}`, async () => {
        await assert.rejects(agents.connect(user, held[token].token), (error: Error & { code?: string }) => {
          assert.match(error.code ?? '', /^(28000|42501)$/)
          assert.ok(error.message.includes(says), error.message)
          return true
        })
        const due = signal === undefined ? [] : [signal]
        assert.deepEqual(await signals(due.length), due)
      })

    for (const [user, token] of [
      ['agent@planner', 'planner'],
      ['agent@orchestrator', 'orchestrator'],
      ['whoever@sql-worker', 'worker'],
      ['@sql-worker', 'worker'],
      ['agent', 'worker'],
    ] as const)
      it(`is let in as ${user}`, async () => {
        await (await agents.connect(user, held[token].token)).end()
        assert.deepEqual(await signals(0), [])
      })
  })

  describe('a request', () => {
    for (const attack of requests)
      it(`${attack.status < 300 ? 'changes nothing' : 'is refused'} ${attack.name}`, async () => {
        const { status, body } = await send(attack)
        const message = JSON.stringify(body)
        assert.equal(status, attack.status, message)
        const text = String((body as { error?: { message?: string } }).error?.message)
        if (attack.says !== undefined) assert.ok(text.includes(attack.says), text)
        const due = attack.signal === undefined ? [] : [attack.signal]
        assert.deepEqual(await signals(due.length), due)
      })

    for (const request of benign)
      it(`is answered ${request.name}`, async () => {
        const { status, body } = await send(request)
        assert.equal(status, request.status, JSON.stringify(body))
        assert.deepEqual(await signals(0), [])
      })

    it('leaves a line for everything that was not passed on', async () => {
      const due = requests.filter(({ status, method }) => status === 403 && !method).length - browsers
      const refused = await agents.guard.auditLines('delegation.refused', due)
      assert.equal(refused.length, due)
      assert.ok(refused.every(({ chain, reason }) => Array.isArray(chain) && typeof reason === 'string'))
    })
  })

  const browsers = requests.filter(
    ({ says, method }) => !method && /browser|another host/.test(says ?? ''),
  ).length

  function send({
    by,
    method = 'POST',
    path = '/v1/delegations',
    body,
    raw,
    padding,
    many,
    headers = {},
  }: RequestCase) {
    const filled = path.replace('PLANNER', held.planner.id).replace('WORKER', held.worker.id)
    const own = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [
        name,
        value.replace('PORT', String(agents.apiPort)).replace('TOKEN', held.worker.token),
      ]),
    )
    const whole = {
      ...body,
      ...(padding !== undefined && { objects: ['x'.repeat(padding)] }),
      ...(many !== undefined && { [many]: Array.from({ length: 33 }, (_, index) => `sql:a${index}`) }),
    }
    const text = raw ?? (body ? JSON.stringify(whole) : undefined)
    return agents.ask(method, filled, by === 'nobody' ? undefined : held[by].token, text, own)
  }

  async function forge({ header, claims, rawClaims, sign = 'keep', edit }: TokenCase): Promise<string> {
    const own = held.worker.token.split('.')
    const [head = '', payload = '', signature = ''] = own
    const planner = held.planner.token.split('.')
    const edits: Readonly<Record<string, string>> = {
      cut: `${head}.${payload}.${signature.slice(0, 40)}`,
      bit: `${head}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`,
      "planner's signature": `${head}.${payload}.${planner[2]}`,
      "planner's claims": `${head}.${planner[1]}.${signature}`,
      'fourth part': `${held.worker.token}.${signature}`,
      space: ` ${held.worker.token}`,
      padded: `${head}.${Buffer.from(' '.repeat(17_000)).toString('base64url')}.${signature}`,
      revoked: revoked.above,
      'below revoked': revoked.below,
    }
    if (edit !== undefined) return edits[edit] ?? assert.fail(edit)
    const before = decoded(payload)
    const issuer = String(before.iss)
    const fill = (value: unknown): string =>
      JSON.stringify(value).replaceAll('ISSUER', issuer).replaceAll('PLANNER', held.planner.id)
    const key = JSON.stringify(await exportJWK(stranger.publicKey))
    const newHead = fill(merged(decoded(head), header)).replace('"KEY"', key)
    const newClaims = rawClaims?.replaceAll('ISSUER', issuer) ?? fill(merged(before, claims))
    const signed = `${encoded(newHead)}.${encoded(newClaims)}`
    const secret = sign.slice('hmac '.length)
    const secrets: Readonly<Record<string, string>> = { ISSUER: issuer, PUBLIC: key, SIGNATURE: signature }
    if (sign === 'keep') return `${signed}.${signature}`
    if (sign === 'nothing') return `${signed}.`
    if (sign === 'stranger') {
      const bytes = await crypto.subtle.sign('Ed25519', stranger.privateKey, Buffer.from(signed))
      return `${signed}.${Buffer.from(bytes).toString('base64url')}`
    }
    return `${signed}.${createHmac('sha256', secrets[secret] ?? secret)
      .update(signed)
      .digest('base64url')}`
  }
})

function decoded(part: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>
}

const encoded = (text: string): string => Buffer.from(text).toString('base64url')

function merged(
  before: Readonly<Record<string, unknown>>,
  changes: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  return Object.fromEntries(Object.entries({ ...before, ...changes }).filter(([, value]) => value !== null))
}
