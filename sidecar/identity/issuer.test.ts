import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { IdentityProvider, makeKey } from '../../test/identity-provider.ts'
import { ManualClock } from '../../test/manual-clock.ts'
import type { Result } from '../session.ts'
import { inspectToken, isSignedToken } from './inspect.ts'
import { Issuer } from './issuer.ts'
import type { Rejection, VerifiedClaims } from './proof.ts'

const minute = 60_000

describe('the keys of an issuer', function () {
  this.timeout(60_000)
  let provider: IdentityProvider
  let clock: ManualClock
  let issuer: Issuer

  beforeEach(async () => {
    provider = await IdentityProvider.start()
    clock = new ManualClock()
    issuer = new Issuer(provider.issuer, undefined, clock)
  })

  afterEach(() => provider[Symbol.asyncDispose]())

  const verify = async (token: string): Promise<Result<VerifiedClaims, Rejection>> => {
    const inspected = inspectToken(token)
    assert.ok(inspected.ok)
    return await issuer.verify(inspected.value)
  }
  const problem = async (token: string): Promise<string> => {
    const result = await verify(token)
    return result.ok ? 'it is good' : result.error.message
  }
  const mint = (key = provider.keys[0]): Promise<string> =>
    provider.mint({}, { key, now: clock.wall() / 1000, expiresIn: 36_000 })

  it('verify a token, and say whose it is', async () => {
    const result = await verify(await provider.token())
    assert.ok(result.ok)
    assert.equal(result.value.subject, 'support-bot')
    assert.deepEqual(result.value.audience, ['https://firebreak.example'])
    assert.equal(typeof result.value.tokenId, 'string')
  })

  it('verify nothing but what the issuer said, however a token is changed', async () => {
    const token = await mint()
    const original = await verify(token)
    assert.ok(original.ok)
    const change = fc.tuple(fc.nat(token.length - 1), fc.nat(3), fc.stringMatching(/^[\w.-]{0,4}$/))
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        let changed = token
        for (const [at, length, text] of changes)
          changed = changed.slice(0, at) + text + changed.slice(at + length)
        if (!isSignedToken(changed)) return
        const inspected = inspectToken(changed)
        if (!inspected.ok) return
        const result = await issuer.verify(inspected.value)
        // the last character of a signature has bits that mean nothing
        if (result.ok) assert.deepEqual(result.value, original.value)
      }),
      { numRuns: 500 },
    )
  })

  it('are fetched once for many tokens', async () => {
    const token = await mint()
    await Promise.all(Array.from({ length: 50 }, () => verify(token)))
    assert.equal((await provider.requests()).length, 2, 'discovery and keys')
  })

  it('take in a new key without a restart, and forget a removed one', async () => {
    const old = await mint()
    assert.equal(await problem(old), 'it is good')
    const [first] = provider.keys
    const second = await makeKey('second')
    await provider.goAway()
    provider.keys = [second, ...provider.keys]
    await provider.comeBack()
    clock.pass(minute)
    assert.equal(await problem(await mint(second)), 'it is good')
    assert.equal(await problem(old), 'it is good')

    await provider.goAway()
    provider.keys = [second]
    await provider.comeBack()
    clock.pass(6 * minute)
    assert.match(await problem(await mint(first)), /a key that issuer .* does not publish/)
    assert.equal(await problem(await mint(second)), 'it is good')
  })

  it('are not fetched for every key that nobody knows', async () => {
    await verify(await mint())
    const before = (await provider.requests()).length
    clock.pass(minute)
    for (let n = 0; n < 100; n++) {
      const token = await provider.mint({}, { header: { kid: `unknown-${n}` }, now: clock.wall() / 1000 })
      assert.match(await problem(token), /does not publish/)
    }
    assert.equal((await provider.requests()).length, before + 2)
    // and an honest agent is served meanwhile
    assert.equal(await problem(await mint()), 'it is good')
  })

  it('are good for an hour while the issuer is away, and no longer', async () => {
    assert.equal(await problem(await mint()), 'it is good')
    await provider.goAway()
    clock.pass(59 * minute)
    assert.equal(await problem(await mint()), 'it is good')
    clock.pass(2 * minute)
    assert.match(await problem(await mint()), /keys of issuer .* can't be fetched: connect ECONNREFUSED/)
    await provider.comeBack()
    clock.pass(11_000)
    assert.equal(await problem(await mint()), 'it is good')
  })

  it('may be of any kind that has a private part', async () => {
    const kinds = ['RS512', 'PS256', 'ES256', 'ES512', 'EdDSA']
    provider.keys = await Promise.all(kinds.map((kind) => makeKey(kind, kind)))
    await provider.goAway()
    await provider.comeBack()
    for (const key of provider.keys) assert.equal(await problem(await mint(key)), 'it is good', key.id)
  })

  it('need the issuer to be who the manifest says', async () => {
    issuer = new Issuer(`${provider.issuer}/other`, undefined, clock)
    const token = await provider.mint({ iss: `${provider.issuer}/other` })
    assert.match(await problem(token), /can't be fetched/)
  })

  it('hold nothing that came back wrong', async () => {
    const answers: Readonly<Record<string, () => object>> = {
      'no keys': () => ({ issuer: lying, jwks_uri: `${lying}/nothing` }),
      'plain http elsewhere': () => ({ issuer: lying, jwks_uri: 'http://192.0.2.1/keys' }),
      'another issuer': () => ({ issuer: 'https://elsewhere.example', jwks_uri: `${lying}/keys` }),
      'a symmetric key': () => ({ issuer: lying, jwks_uri: `${lying}/keys` }),
    }
    let answer = (): object => ({})
    const server: Server = createServer((request, response) => {
      response.setHeader('content-type', 'application/json')
      if (request.url === '/nothing') response.statusCode = 404
      const keys = { keys: [{ kty: 'oct', k: 'c2VjcmV0', kid: 'first', alg: 'RS256' }] }
      response.end(JSON.stringify(request.url?.startsWith('/.well-known') ? answer() : keys))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const lying = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    try {
      for (const [name, say] of Object.entries(answers)) {
        answer = say
        issuer = new Issuer(lying, undefined, clock)
        const token = await provider.mint({ iss: lying })
        assert.match(await problem(token), /can't be fetched|does not publish/, name)
      }
    } finally {
      server.close()
    }
  })
})
