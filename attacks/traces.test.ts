import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { parse } from 'yaml'
import { LogServer } from '../sidecar/audit/remote/testdata/log-server.ts'
import { type ExportedSpan, spansOf, valuesOf } from '../sidecar/traces/testdata/exported.ts'
import { manifests } from '../test/policies.ts'
import { attacksDirectory, Guard, Shop } from '../test/shop.ts'

interface Claim {
  readonly name: string
  readonly sql: string
  readonly joins?: boolean
  readonly denied?: boolean
}

interface HostileCollector {
  readonly name: string
  readonly takes?: boolean
  readonly status?: number
  readonly retryAfter?: string
  readonly body: string
}

interface Secret {
  readonly sql: string
  readonly values?: readonly string[]
  readonly secret: string
}

const { trace, parent, claims, secrets, collectors } = parse(
  readFileSync(new URL('traces.yaml', attacksDirectory), 'utf8'),
) as {
  trace: string
  parent: string
  claims: readonly Claim[]
  secrets: readonly Secret[]
  collectors: readonly HostileCollector[]
}

const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: no-drop, match: {actions: ["sql:drop"]}, effect: deny}
    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}
`

/** Answers each request as it is told to, and counts what it is sent. */
class AnsweringCollector implements AsyncDisposable {
  readonly spans: ExportedSpan[] = []
  readonly #server: Server

  /** @param elsewhere where redirects lead. */
  static async start(how: HostileCollector, elsewhere: string): Promise<AnsweringCollector> {
    const collector = new AnsweringCollector(how, elsewhere)
    collector.#server.listen(0, '127.0.0.1')
    await once(collector.#server, 'listening')
    return collector
  }

  private constructor({ status = 200, retryAfter, body }: HostileCollector, elsewhere: string) {
    this.#server = createServer(async (request, response) => {
      this.spans.push(...spansOf({ requests: [{ body: await text(request) }] }))
      if (body === '{never}') return
      response.writeHead(status, { location: elsewhere, ...(retryAfter && { 'retry-after': retryAfter }) })
      if (body === '{cut}') response.write('{', () => request.socket.destroy())
      else if (body === '{endless}') pipeline(endless(), response, () => {})
      else response.end(nested(body))
    })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1/traces`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

function* endless(): Generator<string> {
  for (;;) yield ' '.repeat(16_384)
}

function nested(body: string): string {
  return body.replace(
    /\{nested (\d+)\}/,
    (_, depth: string) => '['.repeat(Number(depth)) + ']'.repeat(Number(depth)),
  )
}

function textOf(sql: string): string {
  return sql
    .replaceAll('{trace}', trace)
    .replaceAll('{parent}', parent)
    .replace(/\{pad (\d+)\}/, (_, kilobytes: string) => 'x'.repeat(Number(kilobytes) * 1_024))
}

describe('attacks on traces', function () {
  this.timeout(300_000)
  let shop: Shop

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
  })
  after(() => shop[Symbol.asyncDispose]())

  /** @returns the spans of what is done with a client, all of them, as the collector gets them. */
  async function traced(run: (client: pg.Client) => Promise<unknown>): Promise<readonly ExportedSpan[]> {
    await using server = await LogServer.start()
    server.answerBody = '{}'
    const { host, port } = shop.postgres
    const classification = '[{tags: [pii/email], columns: [public.customers.email]}]'
    const yaml = manifests({ address: `${host}:${port}`, database: 'shop', rules, classification })
    await using guard = await Guard.start({ 'firebreak.yaml': yaml }, shop.postgres.password, {
      traces: { url: server.url, headers: {}, share: 1 },
    })
    const client = await shop.connect(guard.address, 'shop')
    await run(client)
    await client.end()
    await guard.stop()
    return spansOf(server)
  }

  for (const { name, sql, joins = false, denied = false } of claims)
    it(`a claim ${name}`, async () => {
      const spans = await traced((client) =>
        client.query(textOf(sql)).then(
          () => assert.ok(!denied, 'it is denied'),
          (error: unknown) => assert.ok(denied, String(error)),
        ),
      )
      const commands = spans.filter((span) => span.name.startsWith('command'))
      assert.equal(commands.length, 1)
      const [command] = commands
      assert.equal(command?.traceId === trace, joins)
      assert.equal(command?.parentSpanId, joins ? parent : undefined)
      assert.equal(valuesOf(command?.attributes)['firebreak.trace.claimed_by'], joins ? 'client' : undefined)
      assert.ok(JSON.stringify(spans).length < 16_384, 'it is no larger for what the client has written')
    })

  for (const how of collectors)
    it(`a collector ${how.name}`, async () => {
      await using elsewhere = await LogServer.start()
      await using collector = await AnsweringCollector.start(how, elsewhere.url)
      const { host, port } = shop.postgres
      const yaml = manifests({ address: `${host}:${port}`, database: 'shop', rules })
      await using guard = await Guard.start({ 'firebreak.yaml': yaml }, shop.postgres.password, {
        traces: { url: collector.url, headers: { authorization: 'Bearer t' }, share: 1 },
        metrics: { host: '127.0.0.1', port: 0 },
      })
      const client = await shop.connect(guard.address, 'shop')
      for (let number = 0; number < 20; number++) await client.query('SELECT 1')
      while (collector.spans.length === 0) await delay(20)
      for (let number = 0; number < 20; number++) await client.query('SELECT 1')
      await client.end()
      const { metrics } = guard.standalone
      await guard.stop()
      const { body = '' } = (await metrics?.page()) ?? {}
      const counted = [...body.matchAll(/^firebreak_trace_spans_total\{outcome="\w+"\} (\S+)$/gm)].map(
        ([, count]) => Number(count),
      )
      const ids = new Set(collector.spans.map(({ spanId }) => spanId))
      if (how.takes) {
        assert.equal(ids.size, collector.spans.length, 'none was sent twice')
        assert.equal(
          counted.reduce((a, b) => a + b, 0),
          ids.size,
        )
      }
      for (const count of counted) assert.ok(Number.isSafeInteger(count) && count >= 0, body)
      assert.equal(elsewhere.requests.length, 0)
    })

  for (const { sql, values, secret } of secrets)
    it(`no ${secret} in the spans of ${sql}`, async () => {
      const spans = await traced((client) => client.query(sql, values && [...values]).catch(() => {}))
      assert.ok(spans.some((span) => span.name.startsWith('command')))
      assert.ok(!JSON.stringify(spans).includes(secret), JSON.stringify(spans, undefined, 1))
    })
})
