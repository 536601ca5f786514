import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { Client } from 'undici'
import { parse } from 'yaml'
import { HttpShop } from '../test/http-shop.ts'
import { attacksDirectory, type Guard } from '../test/shop.ts'

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
  readonly headers?: Readonly<Record<string, string>>
  readonly status?: number
  readonly passes?: boolean
}

interface Cases<Case> {
  readonly attacks: Case[]
  readonly benign: Case[]
}

const { tokenEndpoints, oauth2 } = parse(
  readFileSync(new URL('http-credentials.yaml', attacksDirectory), 'utf8'),
) as { tokenEndpoints: Cases<EndpointCase>; oauth2: Cases<RequestCase> }

const secret = 'the-secret'

describe('attacks on the credentials of HTTP APIs', function () {
  this.timeout(60_000)
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
    { method, path, headers = {} }: Omit<RequestCase, 'name'>,
    { address }: Guard,
  ): Promise<{ readonly status: number; readonly text: string }> => {
    const client = new Client(`http://127.0.0.1:${address.port}`)
    try {
      // written as it stands here: no URL is made of it
      const { statusCode, body } = await client.request({ method, path, headers })
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
        await guard.audited()
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
})
