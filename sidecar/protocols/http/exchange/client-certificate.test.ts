/** An API that knows its clients by their certificates, and the certificate of a role towards it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { TLSSocket } from 'node:tls'
import { fetch } from 'undici'
import { selfSigned } from '../../../../test/certificates.ts'
import { HttpShop } from '../../../../test/http-shop.ts'
import type { Guard } from '../../../../test/shop.ts'

describe('an API that asks for a client certificate', function () {
  this.timeout(60_000)
  const first = selfSigned('first.agent.test')
  const second = selfSigned('second.agent.test')
  const stranger = selfSigned('stranger.test')
  const own = selfSigned('api.test')
  let api: Server
  let shop: HttpShop
  let guard: Guard
  /** Of each request: whose certificate it came by, and what else said who asks. */
  let seen: { readonly name: string; readonly authorization: string | undefined }[]

  before(async () => {
    shop = await HttpShop.start()
    api = createServer(
      {
        cert: own.certificate,
        key: own.key,
        requestCert: true,
        rejectUnauthorized: true,
        ca: [first.certificate, second.certificate],
      },
      (request, response) => {
        const { subject } = (request.socket as TLSSocket).getPeerCertificate()
        seen.push({ name: String(subject.CN), authorization: request.headers.authorization })
        response.end('{}')
      },
    ).listen(0, '127.0.0.1')
    await once(api, 'listening')
  })
  after(async () => {
    api.closeAllConnections()
    api.close()
    await shop[Symbol.asyncDispose]()
  })
  beforeEach(async () => {
    seen = []
    process.env.SHOP_CA = own.certificate
    present(first)
    guard = await shop.guard({
      address: `127.0.0.1:${(api.address() as { port: number }).port}`,
      tls: '{ca: {env: {name: SHOP_CA}}, serverName: api.test}',
      roles:
        '[{name: agent, clientCertificate: {certificate: {env: {name: SHOP_CERTIFICATE}}, key: {env: {name: SHOP_KEY}}}}]',
    })
  })
  afterEach(() => guard[Symbol.asyncDispose]())

  const present = ({ certificate, key }: ReturnType<typeof selfSigned>): void => {
    Object.assign(process.env, { SHOP_CERTIFICATE: certificate, SHOP_KEY: key })
  }
  const ask = async (headers: Record<string, string> = {}): Promise<number> =>
    (await fetch(`http://127.0.0.1:${guard.address.port}/users`, { headers })).status

  it('gets that of the role, and nothing else that says who asks', async () => {
    assert.equal(await ask({ authorization: 'Bearer mine', 'ssl-client-cert': 'mine' }), 200)
    assert.deepEqual(seen, [{ name: 'first.agent.test', authorization: undefined }])
  })

  it('gets the new one by the next request when it was rotated', async () => {
    assert.equal(await ask(), 200)
    present(second)
    assert.equal(await ask(), 200)
    assert.deepEqual(
      seen.map(({ name }) => name),
      ['first.agent.test', 'second.agent.test'],
    )
  })

  it('that does not know it hears of no request, not even on connections of before', async () => {
    assert.equal(await ask(), 200)
    present(stranger)
    assert.equal(await ask(), 502)
    present(first)
    assert.equal(await ask(), 200)
    assert.equal(seen.length, 2)
  })
})
