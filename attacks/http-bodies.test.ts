import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { request as ask } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { gunzipSync, gzipSync } from 'node:zlib'
import { loadManifests } from '@firebreak/crds'
import { compilePolicy, type PolicySnapshot, type Subject } from '@firebreak/policy'
import { GraphqlAnalysis } from '@firebreak/sidecar/protocols/http/analysis/graphql/analysis.ts'
import { McpAnalysis } from '@firebreak/sidecar/protocols/http/analysis/mcp/analysis.ts'
import { HttpMeaning } from '@firebreak/sidecar/protocols/http/analysis/meaning.ts'
import { OpenApiAnalysis } from '@firebreak/sidecar/protocols/http/analysis/openapi/analysis.ts'
import { readOpenApi } from '@firebreak/sidecar/protocols/http/analysis/openapi/document.ts'
import { readHead } from '@firebreak/sidecar/protocols/http/head/head.ts'
import type { HttpRequest } from '@firebreak/sidecar/protocols/http/request.ts'
import { parse } from 'yaml'
import { HttpShop, httpManifests } from '../test/http-shop.ts'
import { attacksDirectory, type Guard } from '../test/shop.ts'

interface BodyCase {
  readonly name: string
  readonly in?: string
  readonly hex?: string
  readonly type?: string
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly gzip?: number
  readonly cut?: number
  readonly out?: string
}

interface RequestCase {
  readonly name: string
  readonly graphql?: string
  readonly fragments?: number
  readonly body?: string
  readonly mcp?: string
  readonly call?: string
  readonly type?: string
  readonly parameters?: Record<string, string>
  readonly headers?: Record<string, string>
}

interface Cases<Case> {
  readonly attacks: readonly Case[]
  readonly benign: readonly Case[]
}

const table = parse(readFileSync(new URL('http-bodies.yaml', attacksDirectory), 'utf8')) as {
  fields: Cases<BodyCase>
  detectors: Cases<BodyCase>
  requests: Cases<RequestCase>
}

const allowed = '    - {name: anything, match: {actions: ["http:*"]}, effect: allow}\n'
const mask = '    - {name: addresses, match: {tags: [pii]}, effect: mask, mask: {strategy: redact}}\n'
const classification =
  '[{tags: [pii], fields: [$.email, $.customers.email, $.payload.email, $.user.mail, $.data.user.email]}]'

function bodyOf({ in: text = '', hex, gzip = 0 }: BodyCase): Buffer {
  let body = hex === undefined ? Buffer.from(text) : Buffer.from(hex, 'hex')
  for (let times = 0; times < gzip; times++) body = gzipSync(body)
  return body
}

async function answerWith(one: BodyCase, response: ServerResponse): Promise<void> {
  const { type = 'application/json', status = 200, headers = {}, cut } = one
  response.writeHead(status, { ...(type === '' ? {} : { 'content-type': type }), ...headers })
  const body = bodyOf(one)
  const size = cut ?? (body.length || 1)
  for (let at = 0; at < body.length && !response.destroyed; at += size) {
    response.write(body.subarray(at, at + size))
    if (cut !== undefined) await turn()
  }
  response.end()
}

interface Received {
  readonly status: number
  /** Names, values and body, as they came. */
  readonly all: Buffer
  readonly body: string
  readonly isWhole: boolean
}

/** A client that takes whatever comes, compressed or not. */
async function fetchRaw({ host, port }: { readonly host: string; readonly port: number }): Promise<Received> {
  return await new Promise<Received>((resolve) => {
    const sent = ask({ host, port, path: '/users', agent: false }, (response) => {
      const chunks: Buffer[] = []
      const done = (): void => {
        const body = Buffer.concat(chunks)
        const head = Buffer.from(response.rawHeaders.join('\n'))
        resolve({
          status: response.statusCode ?? 0,
          all: Buffer.concat([head, body]),
          body: body.toString(),
          isWhole: response.complete,
        })
      }
      response
        .on('data', (chunk: Buffer) => chunks.push(chunk))
        .on('error', done)
        .on('end', done)
    })
    // an answer that can't go on is broken off
    const nothing = { status: 0, all: Buffer.alloc(0), body: '', isWhole: false }
    sent.on('error', () => resolve(nothing)).end()
  })
}

/** The spellings in which somebody may read it. */
function readings(received: Buffer): string[] {
  const texts = [received]
  for (const bytes of texts) {
    const start = bytes.indexOf(Buffer.from([0x1f, 0x8b]))
    if (start < 0) continue
    try {
      texts.push(gunzipSync(bytes.subarray(start)))
    } catch {
      // it isn't compressed
    }
  }
  return texts.flatMap((bytes) => {
    const text = bytes.toString('latin1')
    const plain = text
      .replaceAll('\0', '')
      .replaceAll(/\\+u00([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    return [text, plain, unescape(plain), Buffer.from(text, 'base64').toString('latin1')]
  })
}

function attack(title: string, cases: Cases<BodyCase>, policy: { rules: string; more?: string }): void {
  describe(title, function () {
    this.timeout(60_000)
    let shop: HttpShop
    let guard: Guard
    let current: BodyCase

    before(async () => {
      shop = await HttpShop.start((_request, response) => void answerWith(current, response))
      guard = await shop.guard({ ...policy, classification })
    })

    after(async () => {
      await guard[Symbol.asyncDispose]()
      await shop[Symbol.asyncDispose]()
    })

    for (const one of cases.attacks)
      it(`hold against ${one.name}`, async () => {
        current = one
        shop.reached.length = 0
        const received = await fetchRaw(guard.address)
        assert.equal(shop.reached.length, 1)
        for (const text of readings(received.all)) assert.doesNotMatch(text, /canary/i)
      })

    for (const one of cases.benign)
      it(`leave ${one.name}`, async () => {
        current = one
        const received = await fetchRaw(guard.address)
        assert.equal(received.status, one.status ?? 200, received.body)
        assert.equal(received.body, one.out ?? one.in ?? '')
        assert.ok(received.isWhole)
      })
  })
}

describe('attacks on HTTP bodies', () => {
  it('are many, and have look-alikes', () => {
    const groups = Object.values(table)
    const count = (kind: 'attacks' | 'benign') => groups.reduce((sum, group) => sum + group[kind].length, 0)
    assert.ok(count('attacks') >= 150, `${count('attacks')}`)
    assert.ok(count('benign') >= 50, `${count('benign')}`)
  })

  attack('masks of fields', table.fields, { rules: allowed + mask })
  attack('detectors', table.detectors, { rules: allowed, more: '  detection: {kinds: [email]}\n' })
})

const subject: Subject = {
  chain: [{ identity: 'default/tester', groups: [] }],
  resource: 'default/shop',
  role: 'agent',
}

const rules = `${allowed}${mask}
    - {name: queries, match: {actions: ["graphql:query.user", "graphql:mutation.createNote", "mcp:tools/call.read_*"]}, effect: allow}
    - {name: operations, match: {actions: ["openapi:resetAll"]}, effect: deny}
`
const openApi = `
openapi: 3.1.0
paths:
  /admin/reset: {post: {operationId: resetAll}, get: {operationId: whenReset}}
  /admin/status: {get: {operationId: status}}
`

function requestOf(one: RequestCase): HttpRequest {
  const [method = '', url = ''] = one.call?.split(' ') ?? []
  const isQuery = one.graphql === undefined && one.body === undefined && one.fragments === undefined
  const body =
    one.mcp ??
    one.body ??
    (isQuery ? undefined : JSON.stringify({ query: one.graphql ?? multiplying(one.fragments ?? 0) }))
  const query = new URLSearchParams(one.parameters).toString()
  const path = one.mcp === undefined ? '/graphql' : '/mcp'
  const head = readHead({
    method: method || (body === undefined ? 'GET' : 'POST'),
    url: url || `${path}${query === '' ? '' : `?${query}`}`,
    httpVersion: '1.1',
    rawHeaders: [
      'host',
      'shop',
      'content-type',
      one.type ?? 'application/json',
      ...Object.entries(one.headers ?? {}).flat(),
    ],
  })
  assert.ok(head.ok, head.ok ? '' : head.error.message)
  return { ...head.value, ...(body !== undefined && { body: Buffer.from(body) }) }
}

function multiplying(levels: number): string {
  const fragments = Array.from(
    { length: levels },
    (_, n) => `fragment F${n} on T { a { ...F${n + 1} } b { ...F${n + 1} } }`,
  )
  return `{ user { ...F0 } } ${fragments.join(' ')} fragment F${levels} on T { id }`
}

describe('attacks by HTTP bodies', () => {
  let snapshot: PolicySnapshot
  const document = readOpenApi(openApi)
  assert.ok(document.ok)
  const meaning = new HttpMeaning([
    new GraphqlAnalysis(['/graphql', '/api/GraphQL']),
    new McpAnalysis(['/mcp']),
    new OpenApiAnalysis(document.value),
  ])

  before(() => {
    const scoped =
      '    - {name: scope, match: {actions: ["mcp:*"], condition: \'command.mcp.arguments.exists(a, a == "scope=all")\'}, effect: deny}\n'
    const text = httpManifests({ address: 'shop:80', rules: rules + scoped, classification })
    const { manifests, problems } = loadManifests([{ path: 'firebreak.yaml', text }])
    assert.deepEqual(problems, [])
    const compiled = compilePolicy(manifests)
    assert.ok(compiled.ok, compiled.ok ? '' : JSON.stringify(compiled))
    snapshot = compiled.snapshot
  })

  const effectOf = (one: RequestCase): string => {
    const command = meaning.commandOf(requestOf(one), false)
    const decision = snapshot.decide(subject, command)
    return `${decision.effect}: ${decision.reason} (${decision.rule?.rule})`
  }

  for (const one of table.requests.attacks)
    it(`are denied: ${one.name}`, () => assert.match(effectOf(one), /^deny/))
  for (const one of table.requests.benign)
    it(`are allowed where they only look like it: ${one.name}`, () => assert.match(effectOf(one), /^allow/))
})
