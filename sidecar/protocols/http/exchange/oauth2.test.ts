/** An API that takes tokens of a real OpenID provider, and asks it about each. */
import assert from 'node:assert/strict'
import { fetch } from 'undici'
import { HttpShop, type Reached } from '../../../../test/http-shop.ts'
import { Http2Shop } from '../../../../test/http2-shop.ts'
import { clientSecret, IdentityProvider } from '../../../../test/identity-provider.ts'
import { ManualClock } from '../../../../test/manual-clock.ts'
import type { Guard } from '../../../../test/shop.ts'

const crmAgent = '[{name: agent, username: crm-agent, credential: {env: {password: SHOP_PASSWORD}}}]'

describe('an API that takes access tokens', function () {
  this.timeout(120_000)
  let provider: IdentityProvider
  let api: HttpShop
  /** Of the gateway: what it remembers for a while lasts as long as a test wants. */
  let clock: ManualClock
  let guard: Guard

  beforeEach(async () => {
    clock = new ManualClock()
    provider = await IdentityProvider.start()
    api = await HttpShop.start((request, response, body) => {
      const token = (request.headers.authorization ?? '').slice('Bearer '.length)
      void provider.isActive(token).then((active) => {
        response.writeHead(active ? 200 : 401, { 'content-type': 'text/plain' }).end(active ? body : 'who?')
      })
    })
  })
  afterEach(async () => {
    await guard[Symbol.asyncDispose]()
    await api[Symbol.asyncDispose]()
    await provider[Symbol.asyncDispose]()
  })

  const start = async (more = '', secret = clientSecret): Promise<void> => {
    const authentication = `{as: oauth2, oauth2: {tokenUrl: "${provider.issuer}/token"${more}}}`
    guard = await api.guard({ authentication, roles: crmAgent }, { clock })
    process.env.SHOP_PASSWORD = secret
  }
  const ask = (options: Parameters<typeof fetch>[1] = {}): ReturnType<typeof fetch> =>
    fetch(`http://127.0.0.1:${guard.address.port}/users`, options)
  const tokenIn = ({ headers }: Reached): string =>
    (headers[headers.indexOf('authorization') + 1] ?? '').slice('Bearer '.length)
  const tokens = (): readonly string[] => [...new Set(api.reached.map(tokenIn))]
  const timesAsked = async (): Promise<number> =>
    (await provider.requests()).filter((path) => path === '/token').length

  it('gets one token for many requests at once, and the client’s secret never', async () => {
    await start(', scopes: [commands]')
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask()))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
    assert.equal(tokens().length, 1)
    assert.equal(await timesAsked(), 1)
    assert.doesNotMatch(JSON.stringify(api.reached), new RegExp(`${clientSecret}|${btoa(clientSecret)}`))
  })

  it('gets the next token when one has expired', async () => {
    await provider.setTokens({ groups: [], seconds: 300 })
    await start()
    for (let turn = 0; turn < 2; turn++) assert.equal((await ask()).status, 200)
    assert.equal(tokens().length, 1)
    clock.pass(300_000)
    assert.equal((await ask()).status, 200)
    assert.deepEqual([api.reached.length, tokens().length, await timesAsked()], [3, 2, 2])
  })

  it('gets a request once more, with another token, when one was revoked', async () => {
    await start()
    await ask()
    await provider.revoke(tokens()[0] ?? '')
    const answer = await ask()
    assert.equal(answer.status, 200)
    assert.deepEqual([api.reached.length, tokens().length, await timesAsked()], [3, 2, 2])
    const lines = await guard.audited(2)
    assert.deepEqual(
      lines.map(({ decision, error }) => [decision, error]),
      [
        ['allow', undefined],
        ['allow', undefined],
      ],
    )
  })

  it('gets it once more on the same connection where that is of HTTP/2', async () => {
    await using other = await Http2Shop.start()
    other.answer = ({ headers }, response) => {
      const token = (headers.authorization ?? '').slice('Bearer '.length)
      void provider.isActive(token).then((active) => {
        response.writeHead(active ? 200 : 401).end(active ? token : 'x'.repeat(100_000))
      })
    }
    guard = await other.guard({
      authentication: `{as: oauth2, oauth2: {tokenUrl: "${provider.issuer}/token"}}`,
      roles: crmAgent,
    })
    process.env.SHOP_PASSWORD = clientSecret
    const revoked = await (await ask()).text()
    await provider.revoke(revoked)
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask()))
    const tokens = await Promise.all(answers.map((answer) => answer.text()))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
    assert.equal(new Set(tokens).size, 1)
    assert.notEqual(tokens[0], revoked)
    assert.equal(other.sessions.size, 1)
    assert.deepEqual([...new Set(other.reached.map(({ version }) => version))], ['2.0'])
  })

  it('gets no request twice of whose body something is gone, but the next one with another token', async () => {
    await start()
    await ask()
    await provider.revoke(tokens()[0] ?? '')
    const body = 'x'.repeat(100_000)
    const refused = await ask({ method: 'POST', body })
    assert.equal(refused.status, 401)
    assert.equal(await refused.text(), 'who?')
    assert.equal(api.reached.length, 2)
    const taken = await ask({ method: 'POST', body })
    assert.equal(await taken.text(), body)
    assert.equal(api.reached.length, 3)
  })

  it('that takes no token at all does not have the provider asked again and again', async () => {
    await start()
    api.answer = (_request, response) => response.writeHead(401).end()
    for (let turn = 0; turn < 5; turn++) assert.equal((await ask()).status, 401)
    assert.equal(await timesAsked(), 2)
  })

  it('is not asked without a token while the provider is away, and again when it is back', async () => {
    await start()
    await ask()
    const [held = ''] = tokens()
    await provider.revoke(held)
    await provider.goAway()
    // the provider is not there to be asked about tokens either
    api.answer = (request, response) =>
      response.writeHead(request.headers.authorization === `Bearer ${held}` ? 401 : 200).end()
    const refused = await ask()
    assert.equal(refused.status, 502)
    const { detail, hint } = (await refused.json()) as { detail: string; hint: string }
    assert.match(
      detail,
      /token endpoint http:\/\/127\.0\.0\.1:[0-9]+\/token gave no token: connect ECONNREFUSED/,
    )
    assert.match(hint, /spec\.http\.authentication/)
    await provider.comeBack()
    assert.equal((await ask()).status, 502, 'it is not asked again at once')
    clock.pass(2_000)
    assert.equal((await ask()).status, 200)
    assert.equal(tokens().length, 2)
  })

  it('is not asked with a wrong secret, nor is the provider time and again', async () => {
    const wrong = 'another-secret-of-the-client'
    await start('', wrong)
    for (let turn = 0; turn < 5; turn++) {
      const answer = await ask()
      assert.equal(answer.status, 502)
      const text = await answer.text()
      assert.match(text, /invalid_client/)
      assert.doesNotMatch(text, new RegExp(wrong))
    }
    assert.deepEqual(api.reached, [])
    assert.equal(await timesAsked(), 1)
    process.env.SHOP_PASSWORD = clientSecret
    assert.equal((await ask()).status, 200, 'another secret is tried at once')
  })

  it('is not asked where the token endpoint is at no URL', async () => {
    guard = await api.guard({
      authentication: '{as: oauth2, oauth2: {tokenUrl: "https://1.2.3.4.5/token"}}',
      roles: crmAgent,
    })
    const answer = await ask()
    assert.equal(answer.status, 502)
    assert.match(await answer.text(), /the URL of the token endpoint is not valid/)
    assert.deepEqual(api.reached, [])
  })

  it('gets a token for a client that sends its secret in the form', async () => {
    guard = await api.guard({
      authentication: `{as: oauth2, oauth2: {tokenUrl: "${provider.issuer}/token", clientAuthentication: post}}`,
      roles: '[{name: agent, username: with-post, credential: {env: {password: SHOP_PASSWORD}}}]',
    })
    process.env.SHOP_PASSWORD = clientSecret
    api.answer = (_request, response) => response.end()
    assert.equal((await ask()).status, 200)
    assert.match(tokens()[0] ?? '', /^[^.]+\.[^.]+\.[^.]+$/)
  })
})
