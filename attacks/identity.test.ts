import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as encode from '@firebreak/sidecar/protocols/postgresql/codec/encode.ts'
import { exportJWK, exportSPKI } from 'jose'
import { parse } from 'yaml'
import { anyEvent } from '../test/audit-trail.ts'
import { audience, IdentityProvider, makeKey, type SigningKey } from '../test/identity-provider.ts'
import { manifests } from '../test/policies.ts'
import { errorIn, RawClient } from '../test/raw-client.ts'
import { attacksDirectory, Guard, Shop } from '../test/shop.ts'

interface Case {
  readonly name: string
  readonly raw?: string
  readonly from?: 'provider'
  readonly claims?: Readonly<Record<string, unknown>>
  readonly payload?: string
  readonly header?: Readonly<Record<string, unknown>>
  readonly rawHeader?: string
  readonly sign?: string
  readonly edit?: string
  readonly expiresIn?: number
  readonly issuedAgo?: number
  readonly notBefore?: number
  readonly groups?: number
  readonly padding?: number
  readonly nested?: number
  readonly says?: string
}

const { attacks, benign } = parse(readFileSync(new URL('identity.yaml', attacksDirectory), 'utf8')) as {
  attacks: Case[]
  benign: Case[]
}

describe('tokens', function () {
  this.timeout(300_000)
  let provider: IdentityProvider
  let stranger: SigningKey
  let shop: Shop
  let guard: Guard
  let started = 0

  before(async () => {
    started = performance.now()
    provider = await IdentityProvider.start()
    stranger = await makeKey('first')
    shop = await Shop.start()
    await shop.create('shop')
    const { host, port } = shop.postgres
    guard = await Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `${host}:${port}`,
          database: 'shop',
          authentication: `oidc: {issuer: "${provider.issuer}", audience: "${audience}", subject: support-bot, claims: {environment: production}}`,
        }),
      },
      shop.postgres.password,
    )
    await provider.setTokens({ groups: ['support'], seconds: 600, claims: { environment: 'production' } })
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
    await provider[Symbol.asyncDispose]()
  })

  it('has at least seventy bad ones and fifteen look-alikes', () => {
    assert.ok(attacks.length >= 70)
    assert.ok(benign.length >= 15)
  })

  let refusals = 0
  for (const attack of attacks) {
    it(`refuses one that is ${attack.name}`, async () => {
      const token = await forge(attack, provider, stranger)
      const error = errorIn(await present(token, guard))
      assert.ok(error, 'it was let in')
      assert.equal(error.get('C'), '28000')
      const message = error.get('M') ?? ''
      assert.ok(message.includes(attack.says ?? ''), message)
      await guard.auditLines('session.refused', ++refusals)
      const lines = JSON.stringify(await guard.auditLines(anyEvent))
      if (token.length > 40)
        assert.ok(!lines.includes(token.slice(-40)), 'the token stands in the audit trail')
      assert.ok(!message.includes(token) || token.length < 8, 'the token stands in the message')
    })
  }

  for (const lookAlike of benign) {
    it(`takes one that is ${lookAlike.name}`, async () => {
      const token = await forge(lookAlike, provider, stranger)
      const answer = await present(token, guard)
      assert.equal(errorIn(answer)?.get('M'), undefined)
      assert.equal(answer.at(-1)?.type, 'Z')
    })
  }

  it('leaves a line and a signal for every one that was refused', async () => {
    const refused = await guard.auditLines('session.refused', attacks.length)
    const signals = await guard.auditLines('signal', attacks.length)
    assert.equal(refused.length, attacks.length)
    assert.deepEqual(new Set(signals.map((line) => line.kind)), new Set(['tokenMisuse']))
    assert.deepEqual(
      signals.map((line) => line.reference),
      refused.map((line) => line.reference),
    )
  })

  it('does not ask the provider again for every key that nobody knows', async () => {
    const asked = (await provider.requests()).filter((path) => path.includes('jwks'))
    // once at the first token, and once in ten seconds for the strangers' keys
    const most = 2 + (performance.now() - started) / 10_000
    assert.ok(asked.length <= most, `${asked.length} requests`)
  })
})

async function present(
  token: string,
  guard: Guard,
): Promise<readonly { readonly type: string; readonly bytes: Buffer }[]> {
  const { client } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' }, 'R')
  using session = client
  session.send(encode.passwordMessage(token))
  return await session.until('Z')
}

/** Makes the token of a case. */
async function forge(attack: Case, provider: IdentityProvider, stranger: SigningKey): Promise<string> {
  if (attack.raw !== undefined) return attack.raw
  if (attack.from === 'provider') return await provider.token()
  const payload = attack.payload === undefined ? JSON.stringify(claimsOf(attack, provider)) : attack.payload
  const header = attack.rawHeader ?? JSON.stringify(await headerOf(attack, stranger))
  const filled = payload
    .replaceAll('ISSUER', provider.issuer)
    .replaceAll('AUDIENCE', audience)
    .replace('NOW', String(now()))
    .replace('LATER', String(now() + 600))
  const signed = `${encoded(header)}.${encoded(filled)}`
  const token = `${signed}.${await signature(attack, signed, provider, stranger)}`
  return await edited(token, attack.edit, provider)
}

const now = (): number => Math.floor(Date.now() / 1000)
const encoded = (text: string): string => Buffer.from(text).toString('base64url')

function claimsOf(attack: Case, { issuer }: IdentityProvider): Record<string, unknown> {
  const { expiresIn = 600, issuedAgo = 1, notBefore, groups, padding, nested } = attack
  let deep: unknown = 'x'
  for (let depth = 0; depth < (nested ?? 0); depth++) deep = [deep]
  const claims: Record<string, unknown> = {
    iss: issuer,
    sub: 'support-bot',
    aud: audience,
    iat: now() - issuedAgo,
    exp: now() + expiresIn,
    groups: groups === undefined ? ['support'] : Array.from({ length: groups }, (_, n) => `group-${n}`),
    environment: 'production',
    ...(notBefore !== undefined && { nbf: now() + notBefore }),
    ...(padding !== undefined && { padding: 'x'.repeat(padding) }),
    ...(nested !== undefined && { groups: deep }),
    ...attack.claims,
  }
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== null))
}

async function headerOf({ sign, header }: Case, stranger: SigningKey): Promise<Record<string, unknown>> {
  const algorithm = sign === 'none' ? 'none' : sign?.startsWith('hmac') ? 'HS256' : 'RS256'
  const all = {
    alg: algorithm,
    kid: 'first',
    ...(sign === 'stranger with jwk' && { jwk: await exportJWK(stranger.publicKey) }),
    ...header,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null))
}

async function signature(
  { sign = 'provider' }: Case,
  text: string,
  { keys }: IdentityProvider,
  stranger: SigningKey,
): Promise<string> {
  const [own] = keys
  if (!own || sign === 'none' || sign === 'nothing') return ''
  const key = sign.startsWith('stranger') ? stranger : own
  if (!sign.startsWith('hmac')) {
    const bytes = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', key.privateKey, Buffer.from(text))
    return Buffer.from(bytes).toString('base64url')
  }
  const secrets: Readonly<Record<string, string | Buffer>> = {
    'hmac with pem': await exportSPKI(own.publicKey),
    'hmac with jwk': JSON.stringify(await exportJWK(own.publicKey)),
    'hmac with modulus': Buffer.from(String(own.jwk.n), 'base64url'),
  }
  return createHmac('sha256', secrets[sign] ?? '')
    .update(text)
    .digest('base64url')
}

async function edited(token: string, edit: string | undefined, provider: IdentityProvider): Promise<string> {
  const [header = '', payload = '', signed = ''] = token.split('.')
  switch (edit) {
    case undefined:
      return token
    case 'without signature':
      return `${header}.${payload}.`
    case 'payload': {
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>
      return `${header}.${encoded(JSON.stringify({ ...claims, groups: ['dba'] }))}.${signed}`
    }
    case 'signature': {
      const bytes = Buffer.from(signed, 'base64url')
      bytes[20] = (bytes[20] ?? 0) ^ 1
      return `${header}.${payload}.${bytes.toString('base64url')}`
    }
    case 'swapped signature':
      return `${header}.${payload}.${(await provider.token()).split('.')[2]}`
    case 'line break':
      return `${header}.\n${payload}.${signed}`
    case 'padding characters':
      return `${header}==.${payload}.${signed}`
    case 'plain base64':
      return `${header}.+/${payload}.${signed}`
    case 'bearer':
      return `Bearer ${token}`
    default:
      throw new Error(`unknown edit: ${edit}`)
  }
}
