import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
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

interface Secret {
  readonly sql: string
  readonly values?: readonly string[]
  readonly secret: string
}

const { trace, parent, claims, secrets } = parse(
  readFileSync(new URL('traces.yaml', attacksDirectory), 'utf8'),
) as { trace: string; parent: string; claims: readonly Claim[]; secrets: readonly Secret[] }

const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: no-drop, match: {actions: ["sql:drop"]}, effect: deny}
    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}
`

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

  for (const { sql, values, secret } of secrets)
    it(`no ${secret} in the spans of ${sql}`, async () => {
      const spans = await traced((client) => client.query(sql, values && [...values]).catch(() => {}))
      assert.ok(spans.some((span) => span.name.startsWith('command')))
      assert.ok(!JSON.stringify(spans).includes(secret), JSON.stringify(spans, undefined, 1))
    })
})
