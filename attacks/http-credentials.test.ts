import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type ClientRequest, request as requestTo, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { Client } from 'undici'
import { parse } from 'yaml'
import { HttpShop } from '../test/http-shop.ts'
import { attacksDirectory, type Guard } from '../test/shop.ts'
import { ObjectStore } from '../tools/object-store.ts'

interface EndpointCase {
  readonly name: string
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: object
  readonly type?: string
  readonly text?: string
  /** Length of a body instead. */
  readonly repeat?: number
  readonly hangsUp?: boolean
  readonly says?: string
  readonly gives?: string
}

interface RequestCase {
  readonly name: string
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly path: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string
  readonly status?: number
  readonly passes?: boolean
}

interface Cases<Case> {
  readonly attacks: Case[]
  readonly benign: Case[]
}

const { tokenEndpoints, oauth2, aws } = parse(
  readFileSync(new URL('http-credentials.yaml', attacksDirectory), 'utf8'),
) as { tokenEndpoints: Cases<EndpointCase>; oauth2: Cases<RequestCase>; aws: Cases<RequestCase> }

const secret = 'the-secret'

describe('attacks on the credentials of HTTP APIs', function () {
  this.timeout(120_000)
  let api: HttpShop
  let endpoint: HttpShop
  let elsewhere: HttpShop
  let guard: Guard | undefined

  before(async () => {
    api = await HttpShop.start()
    endpoint = await HttpShop.start()
    elsewhere = await HttpShop.start()
  })
  after(async () => {
    for (const shop of [api, endpoint, elsewhere]) await shop[Symbol.asyncDispose]()
  })
  beforeEach(() => {
    for (const shop of [api, endpoint, elsewhere]) {
      shop.reached.length = 0
      shop.answer = undefined
    }
  })
  afterEach(async () => {
    await guard?.[Symbol.asyncDispose]()
    guard = undefined
  })

  const ask = async (
    { method, path, headers = {}, body: sent }: Omit<RequestCase, 'name'>,
    { address }: Guard,
  ): Promise<{ readonly status: number; readonly text: string }> => {
    const client = new Client(`http://127.0.0.1:${address.port}`)
    try {
      // written as it stands here: no URL is made of it
      const { statusCode, body } = await client.request({
        method,
        path,
        headers,
        ...(sent !== undefined && { body: sent }),
      })
      return { status: statusCode, text: await body.text() }
    } finally {
      await client.destroy()
    }
  }

  const authorizations = (): readonly (string | undefined)[] =>
    api.reached.map(({ headers }) => headers[headers.indexOf('authorization') + 1])

  describe('by a token endpoint', () => {
    const answer = (response: ServerResponse, example: EndpointCase): void => {
      const { status = 200, json, type = 'application/json', text = '', repeat, hangsUp } = example
      if (hangsUp) response.destroy()
      const here = (words: string): string =>
        words
          .replace('ELSEWHERE', `http://${elsewhere.address}/token`)
          .replace('SECRET', secret)
          .replace('LONG', 'x'.repeat(20_000))
      const headers = Object.entries(example.headers ?? {}).map(([name, value]) => [name, here(value)])
      response.writeHead(status, { 'content-type': type, ...Object.fromEntries(headers) })
      response.end(repeat === undefined ? here(json ? JSON.stringify(json) : text) : 'x'.repeat(repeat))
    }
    const start = async (example: EndpointCase): Promise<Guard> => {
      endpoint.answer = (_request, response) => answer(response, example)
      return await api.guard({
        authentication: `{as: oauth2, oauth2: {tokenUrl: "http://${endpoint.address}/token"}}`,
      })
    }

    for (const example of tokenEndpoints.attacks)
      it(`that answers with ${example.name}`, async () => {
        guard = await start(example)
        const { status, text } = await ask({ method: 'GET', path: '/users' }, guard)
        assert.equal(status, 502, text)
        const { detail, hint } = JSON.parse(text) as { detail: string; hint: string }
        assert.ok(detail.includes(example.says ?? ''), detail)
        assert.match(hint, /spec\.http\.authentication/)
        assert.deepEqual([...api.reached, ...elsewhere.reached], [])
        await guard.audited(1)
        const trail = readFileSync(join(guard.directory, 'audit.jsonl'), 'utf8')
        assert.doesNotMatch(text + trail, /the-secret|answered-secret/)
      })

    for (const example of tokenEndpoints.benign)
      it(`is not what one does that answers with ${example.name}`, async () => {
        guard = await start(example)
        const { status, text } = await ask({ method: 'GET', path: '/users' }, guard)
        assert.equal(status, 200, text)
        assert.deepEqual(authorizations(), [`Bearer ${example.gives}`])
      })
  })

  describe('by an agent of an API that gives out tokens itself', () => {
    const start = async (): Promise<Guard> => {
      api.answer = (incoming, response) => {
        const gives = incoming.url === '/oauth/token'
        response.writeHead(200, { 'content-type': 'application/json' })
        response.end(gives ? '{"access_token":"token-of-the-role","token_type":"bearer"}' : '{}')
      }
      const started = await api.guard({
        authentication: `{as: oauth2, oauth2: {tokenUrl: "http://${api.address}/oauth/token"}}`,
      })
      // from here on, only the agent's requests count
      await ask({ method: 'GET', path: '/users' }, started)
      api.reached.length = 0
      return started
    }

    for (const attack of oauth2.attacks)
      it(`that ${attack.name}`, async () => {
        guard = await start()
        const { status, text } = await ask(attack, guard)
        assert.doesNotMatch(text, /token-of-the-role/)
        if (!attack.passes) {
          assert.equal(status, attack.status, text)
          assert.deepEqual(api.reached, [])
          return
        }
        assert.equal(status, 200, text)
        assert.deepEqual(authorizations(), ['Bearer token-of-the-role'])
        assert.doesNotMatch(JSON.stringify(api.reached), /agents-own|the-secret|YWdlbnRz/)
      })

    for (const example of oauth2.benign)
      it(`is not what one does that ${example.name}`, async () => {
        guard = await start()
        const { status, text } = await ask(example, guard)
        assert.equal(status, 200, text)
        assert.deepEqual(
          api.reached.map(({ url }) => url),
          [example.path],
        )
      })
  })

  describe('by an agent of an object store', () => {
    let store: ObjectStore
    /** In front of the store: what reaches it passes here. */
    let front: HttpShop

    before(async () => {
      store = await ObjectStore.start()
      front = await HttpShop.start((incoming, response, body) => {
        const { method = '', url = '', rawHeaders } = incoming
        const forwarded = forward(store.endpoint, { method, path: url, headers: rawHeaders }, response)
        forwarded.end(body)
      })
      const s3 = clientOf(store)
      await s3.send(new CreateBucketCommand({ Bucket: 'secrets' }))
      for (const Bucket of ['recordings', 'secrets'])
        await s3.send(new PutObjectCommand({ Bucket, Key: 'kept', Body: Bucket }))
      s3.destroy()
    })
    after(async () => {
      await front[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
    })
    beforeEach(async () => {
      front.reached.length = 0
      guard = await front.guard({
        authentication: '{as: aws, aws: {service: s3, region: us-east-1}}',
        roles: `[{name: agent, username: ${store.credentials.AWS_ACCESS_KEY_ID}, credential: {env: {password: SHOP_PASSWORD}}}]`,
        rules:
          '    - {name: recordings, match: {actions: ["http:read", "http:write"], objects: [/recordings]}, effect: allow}\n',
      })
      process.env.SHOP_PASSWORD = store.credentials.AWS_SECRET_ACCESS_KEY
    })

    const signedByTheRole = (): void => {
      const [{ headers } = { headers: [] as readonly string[] }] = front.reached
      const all = headers.join('\n')
      assert.doesNotMatch(all + JSON.stringify(front.reached), /agents-own|firebreak-test-secret/)
      assert.equal(headers.filter((name) => /^(authorization|x-amz-date)$/i.test(name)).length, 2)
      assert.match(all, /AWS4-HMAC-SHA256 Credential=firebreak-test\/[0-9]{8}\/us-east-1\/s3\/aws4_request, /)
    }

    for (const attack of aws.attacks)
      it(`with ${attack.name}`, async () => {
        assert.ok(guard)
        const { status, text } = await ask(attack, guard)
        if (!attack.passes) {
          assert.equal(status, attack.status, text)
          assert.deepEqual(front.reached, [])
          return
        }
        assert.equal(status, 200, text)
        signedByTheRole()
      })

    for (const example of aws.benign)
      it(`is not what one does that ${example.name}`, async () => {
        assert.ok(guard)
        const { status, text } = await ask(example, guard)
        assert.equal(status, 200, text)
        signedByTheRole()
      })
  })
})

/** Sends what came as it came. */
function forward(
  endpoint: string,
  { method, path, headers }: { readonly method: string; readonly path: string; readonly headers: string[] },
  response: ServerResponse,
): ClientRequest {
  const { hostname, port } = new URL(endpoint)
  return requestTo({ hostname, port, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 500, answer.rawHeaders)
    answer.pipe(response)
  })
}

function clientOf({ endpoint, region, credentials }: ObjectStore): S3Client {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = credentials
  return new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  })
}
