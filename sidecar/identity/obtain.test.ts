import assert from 'node:assert/strict'
import { audience, clientSecret, IdentityProvider } from '../../test/identity-provider.ts'
import { ManualClock } from '../../test/manual-clock.ts'
import type { RootProof } from '../delegation/delegation.ts'
import type { Result } from '../session.ts'
import { Issuer } from './issuer.ts'
import { ObtainedToken, requestToken, type TokenRequest } from './obtain.ts'
import type { Rejection } from './proof.ts'

describe('a token that the sidecar gets itself', function () {
  this.timeout(60_000)
  let provider: IdentityProvider
  let issuer: Issuer

  before(async () => {
    provider = await IdentityProvider.start()
  })

  beforeEach(() => {
    issuer = new Issuer(provider.issuer, undefined, new ManualClock())
  })

  after(() => provider[Symbol.asyncDispose]())

  const ask = (request: Partial<TokenRequest>): ReturnType<typeof requestToken> =>
    requestToken(issuer, { grant: 'clientCredentials', clientId: 'support-bot', audience, ...request })
  const refusal = async (request: Partial<TokenRequest>): Promise<string> => {
    const answer = await ask(request)
    assert.ok(!answer.ok)
    assert.equal(answer.error.code, 'unavailable')
    return answer.error.message
  }
  const projected = (claims = {}): Promise<string> =>
    provider.mint(
      { iss: 'https://cluster.example', sub: 'system:serviceaccount:agents:bot', ...claims },
      { key: provider.clusterKey },
    )

  for (const clientId of ['support-bot', 'with-post'])
    it(`comes by the secret of client ${clientId}`, async () => {
      const answer = await ask({ clientId, clientSecret, scopes: ['commands'] })
      assert.ok(answer.ok)
      assert.equal(answer.value.subject, clientId)
      assert.deepEqual(answer.value.all.groups, ['support'])
    })

  it('comes in exchange for a projected token (RFC 8693)', async () => {
    const answer = await ask({ grant: 'tokenExchange', clientSecret, subjectToken: await projected() })
    assert.ok(answer.ok)
    assert.equal(answer.value.subject, 'system:serviceaccount:agents:bot')
  })

  it('comes in exchange for a client without a secret as well', async () => {
    const answer = await ask({
      grant: 'tokenExchange',
      clientId: 'public',
      subjectToken: await projected(),
    })
    assert.ok(answer.ok)
  })

  it('is refused with the words of the provider', async () => {
    assert.match(
      await refusal({ clientSecret: 'wrong' }),
      /issuer .* gave no token for client support-bot: invalid_client/,
    )
    assert.match(await refusal({ clientSecret, parameters: { resource: 'nothing' } }), /invalid_target/)
  })

  it('is refused without a secret that the provider repeats', async () => {
    const subjectToken = await projected({ exp: 1 })
    const message = await refusal({ grant: 'tokenExchange', clientSecret, subjectToken })
    assert.ok(!message.includes(subjectToken))
    assert.match(message, /gave no token for client support-bot: it refused/)
  })

  it('can be refused because nobody is there', async () => {
    await provider.goAway()
    assert.match(await refusal({ clientSecret }), /ECONNREFUSED/)
    await provider.comeBack()
  })
})

describe('keeping a token fresh', () => {
  const clock = new ManualClock()
  let answers: Result<RootProof, Rejection>[]
  let asked: number
  let told: string[]
  let token: ObtainedToken
  const good = (name: string, seconds: number): Result<RootProof, Rejection> => ({
    ok: true,
    value: {
      kind: 'loopback',
      identity: `agents/${name}`,
      groups: [],
      expiresAt: clock.wall() + seconds * 1000,
    },
  })
  const away: Result<RootProof, Rejection> = { ok: false, error: { code: 'unavailable', message: 'away' } }
  const current = async (): Promise<string> => {
    const proof = await token.current()
    return proof.ok ? proof.value.identity : proof.error.message
  }

  beforeEach(() => {
    answers = []
    asked = 0
    told = []
    token = new ObtainedToken(
      async () => {
        asked++
        return answers.shift() ?? away
      },
      clock,
      (outcome) => told.push(outcome.ok ? outcome.value.identity : outcome.error.message),
    )
  })

  it('asks once for many sessions', async () => {
    answers = [good('first', 100)]
    assert.deepEqual(new Set(await Promise.all([current(), current(), current()])), new Set(['agents/first']))
    assert.equal(asked, 1)
  })

  it('replaces it before it expires', async () => {
    answers = [good('first', 100)]
    await current()
    clock.pass(79_000)
    await token.refreshWhenDue()
    assert.equal(asked, 1)
    answers = [good('second', 100)]
    clock.pass(2_000)
    await token.refreshWhenDue()
    assert.equal(await current(), 'agents/second')
  })

  it('keeps the old one while the provider is away, for as long as it is good', async () => {
    answers = [good('first', 100)]
    await current()
    clock.pass(81_000)
    await token.refreshWhenDue()
    assert.equal(await current(), 'agents/first')
    clock.pass(20_000)
    assert.equal(await current(), 'away')
    answers = [good('second', 100)]
    clock.pass(60_000)
    assert.equal(await current(), 'agents/second')
  })

  it('asks a provider that is away more and more seldom', async () => {
    for (let second = 0; second < 600; second++) {
      await token.refreshWhenDue()
      clock.pass(1_000)
    }
    assert.ok(asked >= 10 && asked <= 25, `asked ${asked} times`)
    assert.deepEqual(told, ['away'])
    answers = [good('first', 100)]
    clock.pass(90_000)
    await token.refreshWhenDue()
    assert.deepEqual(told, ['away', 'agents/first'])
  })
})
