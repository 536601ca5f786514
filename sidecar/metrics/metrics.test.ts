/** What Prometheus sees of a gateway between real clients and a real PostgreSQL, and what is made of it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { untilTrue } from '../../test/eventually.ts'
import { alertsFile, missingFrom, queriesAbout } from '../../test/monitoring.ts'
import { manifests } from '../../test/policies.ts'
import { Guard, Shop } from '../../test/shop.ts'
import { debianPrograms } from '../../tools/clients.ts'
import type { Address } from '../listen/listener.ts'

const run = promisify(execFile)

const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: no-drop, match: {actions: ["sql:drop"]}, effect: deny}
    - {name: ask, match: {actions: ["sql:delete"]}, effect: requireApproval, approval: {whileWaiting: fail}}
    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: partial, keepLast: 4}}
`

function read(
  { host, port }: Address,
  path: string,
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    get({ host, port, path, agent: false }, async (response) => {
      let body = ''
      for await (const chunk of response) body += String(chunk)
      resolve({ status: response.statusCode ?? 0, body })
    }).on('error', reject)
  })
}

describe('metrics', function () {
  this.timeout(600_000)
  let shop: Shop
  let guard: Guard | undefined
  let metrics: Address
  let exposition: string

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    const { host, port } = shop.postgres
    const classification = '[{tags: [pii/email], columns: [public.customers.email]}]'
    const yaml = manifests({ address: `${host}:${port}`, database: 'shop', rules, classification })
    const running = await Guard.start({ 'firebreak.yaml': yaml }, shop.postgres.password, {
      metrics: { host: '127.0.0.1', port: 0 },
      onEvent: (event) => {
        if (event.kind === 'metrics') metrics = event.address
      },
    })
    guard = running
    const client = await shop.connect(running.address, 'shop')
    await client.query('SELECT id, email FROM customers ORDER BY id LIMIT 2')
    await client.query({ name: 'p', text: 'SELECT $1::int', values: [1] })
    await assert.rejects(client.query('DROP TABLE customers'))
    await assert.rejects(client.query('DELETE FROM customers WHERE id = 1'))
    await assert.rejects(client.query('SELECT 1 / (id - 1) FROM customers'))
    await assert.rejects(shop.connect(running.address, 'shop', 'agent@nobody'))
    await shows(`firebreak_command_seconds_count{${shopIs}}`, 5)
    await shows(`firebreak_sessions_refused_total{${shopIs}}`, 1)
    await client.end()
  })
  after(async () => {
    await guard?.[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  const value = (sample: string): number =>
    Number(
      exposition
        .split('\n')
        .find((line) => line.startsWith(`${sample} `))
        ?.slice(sample.length + 1),
    )
  const shopIs = 'resource="default/shop"'

  /** Reads again until it is so: what is told of a command is told a moment after its answer. */
  async function shows(sample: string, wanted: number): Promise<void> {
    const isSo = async (): Promise<boolean> => {
      exposition = (await read(metrics, '/metrics')).body
      return value(sample) === wanted
    }
    await untilTrue(isSo, () => `${sample} is ${value(sample)}`)
  }

  it('count commands by what was decided, and what came of them', () => {
    assert.equal(value(`firebreak_commands_total{${shopIs},decision="allow"}`), 3)
    assert.equal(value(`firebreak_commands_total{${shopIs},decision="deny"}`), 1)
    assert.equal(value(`firebreak_commands_total{${shopIs},decision="hold"}`), 1)
    assert.equal(value(`firebreak_command_failures_total{${shopIs}}`), 3)
    assert.equal(value(`firebreak_response_rows_total{${shopIs}}`), 3)
    assert.ok(value(`firebreak_response_bytes_total{${shopIs}}`) > 20)
    assert.equal(value(`firebreak_masked_fields_total{${shopIs}}`), 1)
    assert.equal(value(`firebreak_command_seconds_count{${shopIs}}`), 5)
    assert.equal(value(`firebreak_hold_seconds_count{${shopIs},outcome="refused"}`), 1)
    assert.equal(value(`firebreak_holds{${shopIs}}`), 0)
    assert.equal(value(`firebreak_sessions{${shopIs}}`), 1)
    assert.equal(value(`firebreak_sessions_started_total{${shopIs}}`), 1)
    assert.equal(value(`firebreak_sessions_refused_total{${shopIs}}`), 1)
    assert.equal(value('firebreak_configurations_total{outcome="applied"}'), 1)
    assert.equal(value('firebreak_audit_blocked'), 0)
    assert.match(exposition, /^firebreak_build_info\{version="0\.1\.0"\} 1$/m)
    assert.match(exposition, /^firebreak_policy_info\{revision="[0-9a-f]+"\} 1$/m)
  })

  it('tell what the gateway adds to each command, and not what people do', () => {
    const count = value(`firebreak_added_latency_seconds_count{${shopIs}}`)
    const sum = value(`firebreak_added_latency_seconds_sum{${shopIs}}`)
    assert.ok(count >= 3, `${count}`)
    assert.ok(sum > 0 && sum < 60, `${sum}`)
  })

  it('name no identity, command, client or secret', () => {
    assert.doesNotMatch(exposition, /tester|customers|postgres-password|127\.0\.0\.1/)
  })

  it('are all there is at that address', async () => {
    assert.equal((await read(metrics, '/')).status, 404)
    assert.equal((await read(metrics, '/metrics/../constructor')).status, 404)
  })

  it('show one session that is over as none', async () => {
    await shows(`firebreak_sessions{${shopIs}}`, 0)
  })

  describe('dashboard and alert rules', () => {
    it('tell what happens for the first time, and not for ever', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'firebreak-promtool-'))
      try {
        const env = { ...process.env, ...(await debianPrograms(['prometheus'])) }
        copyFileSync(alertsFile, join(directory, 'alerts-under-test.yaml'))
        copyFileSync(new URL('testdata/alerts.yaml', import.meta.url), join(directory, 'tests.yaml'))
        const { stdout } = await run('promtool', ['test', 'rules', join(directory, 'tests.yaml')], { env })
        assert.match(stdout, /SUCCESS/)
      } finally {
        rmSync(directory, { recursive: true })
      }
    })

    it('ask only for what there is', () => {
      // what did not happen in this test, in the form in which it is exported
      const metrics = guard?.standalone.metrics
      assert.ok(metrics)
      metrics.notice('signal', { kind: 'k', severity: 'low', explanation: '' })
      metrics.notice('egress.refused', { identity: 'a/b', kind: 'name', reason: '' })
      metrics.notice('audit.dropped', { sink: 's', count: 1, lines: [] })
      metrics.notice('recording.recovered', { session: 's' })
      metrics.spans('exported', 1)
      return metrics.page().then(({ body }) => {
        const queries = queriesAbout('enforcer')
        assert.ok(queries.length > 30)
        assert.deepEqual(
          queries.flatMap((query) => missingFrom(body, query)),
          [],
        )
      })
    })

    it('would be found out if they asked for something else', () => {
      const wrong = (expression: string, shown: string[] = []): string[] =>
        missingFrom(exposition, { place: 'x', expression, shown })
      assert.deepEqual(wrong('sum by (resource) (rate(firebreak_commands_total[5m]))', ['resource']), [])
      assert.deepEqual(wrong('firebreak_command_total'), ['x: there is no metric firebreak_command_total'])
      assert.deepEqual(wrong('firebreak_holds{identity="a"}'), [
        'x: there is no label identity in firebreak_holds{identity="a"}',
      ])
      assert.deepEqual(wrong('sum by (sink) (firebreak_holds)'), [
        'x: there is no label sink in sum by (sink) (firebreak_holds)',
      ])
      assert.deepEqual(wrong('firebreak_holds', ['sink']), ['x: there is no label sink in firebreak_holds'])
      assert.notDeepEqual(wrong('sum(firebreak_holds'), [])
    })

    it("are what Prometheus' own tools take", async () => {
      const directory = mkdtempSync(join(tmpdir(), 'firebreak-promtool-'))
      try {
        const env = { ...process.env, ...(await debianPrograms(['prometheus'])) }
        const promtool = async (...words: readonly string[]): Promise<string> =>
          (await run('promtool', words, { env })).stdout
        assert.match(await promtool('check', 'rules', fileURLToPath(alertsFile)), /SUCCESS: 15 rules found/)
        const panels = (['enforcer', 'operator'] as const).flatMap(queriesAbout)
        const rules = panels.map(({ expression }, index) => ({ record: `panel:${index}`, expr: expression }))
        const file = join(directory, 'panels.yaml')
        writeFileSync(file, JSON.stringify({ groups: [{ name: 'panels', rules }] }))
        assert.match(await promtool('check', 'rules', file), /SUCCESS/)
        const checked = promisify(execFile)('promtool', ['check', 'metrics'], { env })
        // the names of Node's own metrics are prom-client's
        checked.child.stdin?.end(exposition.replaceAll(/^.*nodejs_.*\n/gm, ''))
        await checked
      } finally {
        rmSync(directory, { recursive: true })
      }
    })
  })
})
