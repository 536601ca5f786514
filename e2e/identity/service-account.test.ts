/** Tokens of a real API server, presented to a real PostgreSQL's gateway. */
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:https'
import { selfSigned } from '../../test/certificates.ts'
import { Guard, Shop } from '../../test/shop.ts'
import { freePort } from '../../tools/postgres.ts'
import { type ControlPlane, startControlPlane } from '../index.ts'

describe('service account tokens of an API server', function () {
  this.timeout(120_000)
  let cluster: ControlPlane
  let publisher: Server
  let shop: Shop
  let guard: Guard

  before(async function () {
    // the first run on a machine compiles the API server
    this.timeout('45m')
    const host = selfSigned('localhost')
    const port = await freePort()
    const issuer = `https://localhost:${port}`
    cluster = await startControlPlane({
      apiServer: {
        'service-account-issuer': issuer,
        'service-account-jwks-uri': `${issuer}/openid/v1/jwks`,
      },
    })
    // as clusters do whose issuer is public: what the API server says, for everybody
    const said = new Map<string, string>()
    for (const path of ['/.well-known/openid-configuration', '/openid/v1/jwks'])
      said.set(path, await cluster.kubectl.run(['get', '--raw', path]))
    publisher = createServer({ cert: host.certificate, key: host.key }, ({ url = '' }, response) => {
      response.writeHead(said.has(url) ? 200 : 404).end(said.get(url))
    })
    await new Promise<void>((resolve) => publisher.listen(port, resolve))
    for (const account of ['support-bot', 'other'])
      await cluster.kubectl.run(['create', 'serviceaccount', account, '-n', 'default'])
    shop = await Shop.start()
    await shop.create('shop')
    guard = await Guard.start(
      {
        'ca.crt': host.certificate,
        'firebreak.yaml': `
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop}
spec:
  type: postgresql
  address: 127.0.0.1:${shop.postgres.port}
  database: shop
  tls: {mode: disable}
  roles: [{name: agent, username: postgres, credential: {env: {password: SHOP_PASSWORD}}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: support-bot}
spec:
  workload: {serviceAccounts: [support-bot]}
  authentication: {kubernetes: {issuer: "${issuer}", ca: {file: {path: ca.crt}}}}
  access: [{resource: shop, roles: [agent]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: readers}
spec: {rules: [{name: read, match: {actions: ["sql:select"]}, effect: allow}]}
`,
      },
      shop.postgres.password,
    )
  })

  after(async function () {
    this.timeout('3m')
    await guard?.[Symbol.asyncDispose]()
    await shop?.[Symbol.asyncDispose]()
    publisher?.close()
    await cluster?.[Symbol.asyncDispose]()
  })

  const token = async (account: string, ...more: string[]): Promise<string> =>
    (await cluster.kubectl.run(['create', 'token', account, '-n', 'default', ...more])).trim()
  const connect = (password: string): ReturnType<Shop['connect']> =>
    shop.connect(guard.address, 'shop', 'agent', password)

  it('open a session', async () => {
    const agent = await connect(await token('support-bot', '--audience', 'firebreak'))
    assert.equal((await agent.query('SELECT count(*)::integer AS n FROM customers')).rows[0].n, 3)
    await agent.end()
    const [line] = await guard.auditLines('session.start')
    const { subject } = { ...(line?.proof as { subject?: string } | undefined) }
    assert.equal(subject, 'system:serviceaccount:default:support-bot')
  })

  it('open none for another service account, or for the API server itself', async () => {
    await assert.rejects(connect(await token('other', '--audience', 'firebreak')), {
      code: '28000',
      message: /system:serviceaccount:default:other, which is no service account of default\/support-bot/,
    })
    await assert.rejects(connect(await token('support-bot')), {
      code: '28000',
      message: /^the token is for audience https:\/\/.*, not firebreak$/,
    })
  })
})
