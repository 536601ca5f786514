import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Client } from 'undici'
import { parse } from 'yaml'
import { HttpShop } from '../test/http-shop.ts'
import { attacksDirectory, type Guard } from '../test/shop.ts'

interface Case {
  readonly name: string
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
}

const { document, attacks, benign } = parse(
  readFileSync(new URL('http-openapi.yaml', attacksDirectory), 'utf8'),
) as { document: object; attacks: Case[]; benign: Case[] }

const rules = `    - {name: operations, match: {actions: ["openapi:listUsers", "openapi:getUser", "openapi:createUser", "openapi:searchUsers", "openapi:listKeyNames"]}, effect: allow}
    - {name: files, match: {actions: ["http:*"], objects: [/v1/files]}, effect: allow}
    - {name: never, match: {actions: ["openapi:deleteUser", "openapi:resetAll", "openapi:dropAll", "openapi:emptyTrash", "openapi:readSecret"]}, effect: deny}
    - {name: hide, match: {tags: [pii/email]}, effect: mask, mask: {strategy: redact}}
`

describe('attacks on an API with an OpenAPI document', function () {
  this.timeout(60_000)
  let shop: HttpShop
  let guard: Guard
  let client: Client

  before(async () => {
    shop = await HttpShop.start((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end('{"name":"Ann","email":"ann@shop.example"}')
    })
    const openapi = `{document: ${JSON.stringify(JSON.stringify(document))}}`
    guard = await shop.guard({ http: `, openapi: ${openapi}`, rules })
    client = new Client(`http://127.0.0.1:${guard.address.port}`)
  })
  after(async () => {
    await client.destroy()
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })
  beforeEach(() => {
    shop.reached.length = 0
  })

  const ask = async ({ method, path, headers = {} }: Case) => {
    const { statusCode, body } = await client.request({ method, path, headers })
    return { status: statusCode, text: await body.text() }
  }

  describe('does nothing for', () => {
    for (const attack of attacks)
      it(attack.name, async () => {
        const { status, text } = await ask(attack)
        assert.ok(status === 403 || status === 400, `${status} ${text}`)
        assert.deepEqual(shop.reached, [])
      })
  })

  describe('lets pass who', () => {
    for (const request of benign)
      it(request.name, async () => {
        const { status, text } = await ask(request)
        assert.equal(status, 200, text)
        assert.equal(shop.reached.length, 1)
        if (request.method !== 'HEAD') assert.equal(text, '{"name":"Ann","email":"********"}')
      })
  })
})
