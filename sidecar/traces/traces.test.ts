/** What a real OpenTelemetry collector gets of a gateway between real clients and a real PostgreSQL. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { StandaloneEvent, StandaloneOptions } from '@firebreak/sidecar'
import type pg from 'pg'
import { eventuallyWith } from '../../test/eventually.ts'
import { HttpShop } from '../../test/http-shop.ts'
import { manifests } from '../../test/policies.ts'
import { Guard, Shop } from '../../test/shop.ts'
import { Collector } from '../../tools/collector.ts'
import { decideRequest, listRequests } from '../approvals/desk.ts'
import { LogServer } from '../audit/remote/testdata/log-server.ts'
import { maximumWaiting } from './exporter.ts'
import { type ExportedSpan, resourceOf, spansOf, spansWith, valuesOf } from './testdata/exported.ts'

const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: no-drop, match: {actions: ["sql:drop"]}, effect: deny}
    - {name: ask, match: {actions: ["sql:delete"]}, effect: requireApproval}
    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: partial, keepLast: 4}}
`

const eventually = eventuallyWith(() => '', 60)

describe('traces', function () {
  this.timeout(900_000)
  let shop: Shop
  let server: LogServer

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
  })
  after(() => shop[Symbol.asyncDispose]())
  beforeEach(async () => {
    server = await LogServer.start()
    server.answerBody = '{}'
  })
  afterEach(() => server[Symbol.asyncDispose]())

  async function start(
    url: string,
    {
      share = 1,
      text = 'full',
      onEvent = () => {},
    }: { share?: number; text?: string; onEvent?: StandaloneOptions['onEvent'] } = {},
  ): Promise<Guard> {
    const { host, port } = shop.postgres
    const yaml = manifests({
      address: `${host}:${port}`,
      database: 'shop',
      rules,
      classification: '[{tags: [pii/email], columns: [public.customers.email]}]',
      more: `  audit: {text: ${text}}\n`,
    })
    const traces = { url: `${url}/v1/traces`, headers: { authorization: 'Bearer t' }, share }
    return await Guard.start({ 'firebreak.yaml': yaml }, shop.postgres.password, {
      onEvent,
      traces,
      metrics: { host: '127.0.0.1', port: 0 },
    })
  }

  /** What it says of its spans: exported, dropped. */
  async function counted({ standalone }: Guard): Promise<readonly [number, number]> {
    const { body = '' } = (await standalone.metrics?.page()) ?? {}
    const of = (outcome: string): number =>
      Number(
        new RegExp(`^firebreak_trace_spans_total\\{outcome="${outcome}"\\} (\\d+)$`, 'm').exec(body)?.[1] ??
          0,
      )
    return [of('exported'), of('dropped')]
  }

  /** All spans, once that of the session, which comes last, and those of so many commands are there. */
  const spansOfSession = (commands: number): Promise<readonly ExportedSpan[]> =>
    spansWith(
      server,
      (all) =>
        all.some(({ name }) => name === 'session default/shop') &&
        all.filter(({ name }) => name.startsWith('command ')).length === commands,
    )

  const connect = (guard: Guard): Promise<pg.Client> => shop.connect(guard.address, 'shop')

  /** A command's span, with its parts by name. */
  function commandOf(
    spans: readonly ExportedSpan[],
    name: string,
  ): { span: ExportedSpan; parts: Map<string, ExportedSpan> } {
    const span = spans.find((candidate) => candidate.name === `command ${name}`)
    assert.ok(span, `${name} is not among ${spans.map((candidate) => candidate.name)}`)
    const parts = spans.filter(({ parentSpanId }) => parentSpanId === span.spanId)
    for (const part of parts) {
      assert.equal(part.traceId, span.traceId)
      assert.ok(BigInt(part.startTimeUnixNano) >= BigInt(span.startTimeUnixNano), part.name)
      assert.ok(BigInt(part.endTimeUnixNano) <= BigInt(span.endTimeUnixNano), part.name)
      assert.ok(BigInt(part.startTimeUnixNano) <= BigInt(part.endTimeUnixNano), part.name)
    }
    return { span, parts: new Map(parts.map((part) => [part.name, part])) }
  }

  it('shows a collector sessions and commands, as their audit lines are', async () => {
    await using collector = await Collector.start(server.url)
    const startedAt = Date.now()
    await using guard = await start(collector.url)
    const client = await connect(guard)
    await client.query("SELECT id, email FROM customers WHERE name <> 'somebody' ORDER BY id LIMIT 2")
    await assert.rejects(client.query('DROP TABLE customers'))
    await assert.rejects(client.query('SELECT 1 / (id - id) FROM customers'))
    await client.query({ name: 'p', text: 'UPDATE carts SET note = $1 WHERE id = 1', values: ['mine'] })
    await client.query({ name: 'p', text: 'UPDATE carts SET note = $1 WHERE id = 1', values: ['yours'] })
    await client.end()
    const spans = await spansOfSession(5)
    const lines = await guard.audited(5)
    const session = spans.find(({ name }) => name === 'session default/shop')
    assert.ok(session)
    const [started] = await guard.auditLines('session.start')
    assert.deepEqual(valuesOf(session.attributes), {
      'firebreak.session': started?.session,
      'firebreak.identity': 'default/tester',
      'firebreak.resource': 'default/shop',
      'firebreak.role': 'agent',
      'client.address': '127.0.0.1',
      'firebreak.commands': '4',
    })
    for (const { startTimeUnixNano, endTimeUnixNano } of spans) {
      assert.ok(Number(startTimeUnixNano) / 1e6 > startedAt - 1_000)
      assert.ok(Number(endTimeUnixNano) / 1e6 < Date.now() + 1_000)
    }

    const line = (decision: string, action: string): Readonly<Record<string, unknown>> => {
      const found = lines.find(
        (candidate) => candidate.decision === decision && (candidate.actions as string[]).includes(action),
      )
      assert.ok(found)
      return found
    }
    const read = commandOf(spans, 'SELECT public.customers')
    assert.deepEqual([...read.parts.keys()].sort(), ['SELECT public.customers', 'analysis', 'decision'])
    assert.deepEqual(
      read.span.links?.map(({ traceId, spanId }) => ({ traceId, spanId })),
      [{ traceId: session.traceId, spanId: session.spanId }],
    )
    assert.equal(read.span.kind, 2)
    assert.equal(read.span.status?.code, undefined)
    const { reference, revision, bytes } = line('allow', 'sql:select')
    assert.deepEqual(valuesOf(read.span.attributes), {
      'firebreak.session': started?.session,
      'firebreak.identity': 'default/tester',
      'firebreak.resource': 'default/shop',
      'firebreak.role': 'agent',
      'firebreak.reference': reference,
      'firebreak.actions': 'sql:select',
      'firebreak.decision': 'allow',
      'firebreak.policy': 'default/guard',
      'firebreak.rule': 'anything',
      'firebreak.revision': revision,
      'firebreak.rows': '2',
      'firebreak.bytes': String(bytes),
      'firebreak.masked_fields': '1',
    })
    const answer = read.parts.get('SELECT public.customers')
    assert.equal(answer?.kind, 3)
    assert.deepEqual(valuesOf(answer.attributes), {
      'db.system.name': 'postgresql',
      'db.operation.name': 'SELECT',
      'db.collection.name': 'public.customers',
      'db.namespace': 'shop',
      'db.query.text': 'SELECT id, email FROM customers WHERE name <> $1 ORDER BY id LIMIT $2',
      'db.response.returned_rows': '2',
      'server.address': shop.postgres.host,
      'server.port': String(shop.postgres.port),
    })

    const denied = commandOf(spans, 'DROP public.customers')
    assert.deepEqual([...denied.parts.keys()].sort(), ['analysis', 'decision'], 'it never went to the server')
    assert.equal(denied.span.status?.code, 2)
    assert.equal(valuesOf(denied.span.attributes)['firebreak.rule'], 'no-drop')
    assert.equal(valuesOf(denied.span.attributes)['error.type'], '42501')

    const failed = spans.find(({ attributes }) => valuesOf(attributes)['db.response.status_code'] === '22012')
    assert.equal(failed?.status?.code, 2)

    const updates = spans.filter(({ name }) => name === 'command UPDATE public.carts')
    assert.equal(updates.length, 2)
    assert.notEqual(updates[0]?.traceId, updates[1]?.traceId)
    const [, again] = updates.map(({ spanId }) => spans.filter(({ parentSpanId }) => parentSpanId === spanId))
    assert.deepEqual(
      again?.map(({ name }) => name).sort(),
      ['UPDATE public.carts', 'decision'],
      'it was prepared before',
    )

    const { 'service.instance.id': source, ...resource } = resourceOf(server)
    assert.equal(source, lines[0]?.source)
    assert.equal(resource['service.name'], 'firebreak')
    // the collector's own answer may come a moment later than what it has passed on
    assert.equal(await eventually(async () => String(await counted(guard)), /^(?!0,)/), `${spans.length},0`)
  })

  it('shows how long people were asked, and what came of it', async () => {
    await using collector = await Collector.start(server.url)
    await using guard = await start(collector.url)
    const client = await connect(guard)
    const directory = join(guard.directory, 'approvals')
    for (const [id, decision] of [
      [1, 'Approved'],
      [2, 'Denied'],
    ] as const) {
      const running = client.query(`DELETE FROM carts WHERE id = ${id}`).then(
        () => 'ran',
        () => 'refused',
      )
      let name: string | undefined
      await eventually(async () => {
        const open = await listRequests(directory).catch(() => [])
        name = open.find(({ status }) => status?.state === 'Pending')?.metadata.name
        return name ?? ''
      }, /./)
      await delay(300)
      await decideRequest(directory, name ?? '', { decision })
      assert.equal(await running, decision === 'Approved' ? 'ran' : 'refused')
    }
    await client.end()
    const spans = await spansOfSession(2)
    const commands = spans.filter(({ name }) => name === 'command DELETE public.carts')
    const parts = commands.map(({ spanId }) => spans.filter(({ parentSpanId }) => parentSpanId === spanId))
    assert.deepEqual(
      parts.map((of) => of.map(({ name }) => name).sort()),
      [['DELETE public.carts', 'hold'], ['hold']],
    )
    const holds = parts.map((of) => of.find(({ name }) => name === 'hold'))
    assert.deepEqual(
      holds.map((hold) => valuesOf(hold?.attributes)['firebreak.hold.outcome']),
      ['approved', 'refused'],
    )
    for (const hold of holds)
      assert.ok(
        Number(hold?.endTimeUnixNano) - Number(hold?.startTimeUnixNano) >= 300e6,
        'as long as it took',
      )
    assert.equal(
      valuesOf(commands[0]?.attributes)['firebreak.approval'],
      valuesOf(holds[0]?.attributes)['firebreak.approval'],
    )
  })

  it('shows no text where the audit shows none', async () => {
    await using guard = await start(server.url, { text: 'digest' })
    const client = await connect(guard)
    await client.query("SELECT id FROM customers WHERE name = 'x'")
    await client.end()
    const spans = await spansWith(server, (all) => all.some(({ name }) => name.startsWith('session')))
    assert.ok(spans.some(({ name }) => name === 'SELECT public.customers'))
    assert.doesNotMatch(JSON.stringify(spans), /db\.query\.text|WHERE/)
    assert.equal(server.requests[0]?.headers.authorization, 'Bearer t')
  })

  it('traces the share of sessions and commands that it is told to', async () => {
    await using guard = await start(server.url, { share: 0.25 })
    const client = await connect(guard)
    // half of them say that they are to be traced: that is not for them to say
    for (let index = 0; index < 800; index++)
      await client.query(
        `SELECT 1 /*traceparent='00-${index.toString(16).padStart(32, 'a')}-00f067aa0ba902b7-0${index % 2}'*/`,
      )
    await client.end()
    await guard.stop()
    const spans = spansOf(server)
    const commands = spans.filter(({ name }) => name.startsWith('command'))
    assert.ok(commands.length > 100 && commands.length < 320, `${commands.length} of 800`)
    const claimed = commands.filter(({ traceId }) => Number.parseInt(traceId.slice(-3), 16) % 2 === 1).length
    assert.ok(claimed > 40 && claimed < commands.length - 40, `${claimed} of ${commands.length}`)
  })

  it('drops what there is no room for, counts it, and goes on when the collector is back', async () => {
    server.answer = 503
    const events: StandaloneEvent[] = []
    await using guard = await start(server.url, { onEvent: (event) => events.push(event) })
    const client = await connect(guard)
    await eventually(
      async () => {
        for (let index = 0; index < 400; index++) await client.query('SELECT 1')
        return String((await counted(guard))[1])
      },
      /[1-9]/,
      400,
    )
    const refused = events.filter(({ kind }) => kind === 'tracesUndelivered')
    assert.equal(refused.length, 1, 'told once')
    assert.match(JSON.stringify(refused), /the collector answered 503/)
    server.answer = 200
    server.requests.length = 0
    await eventually(
      async () => String((await counted(guard))[0]),
      new RegExp(`^${maximumWaiting - 2}|^819\\d`),
      120,
    )
    assert.ok(events.some(({ kind }) => kind === 'tracesDelivered'))
    await client.end()
    await guard.stop()
    assert.equal(spansOf(server).length, (await counted(guard))[0], 'each is sent once')
  })

  it('asks a collector that says no only once, and holds nobody up', async () => {
    server.answer = 401
    await using guard = await start(server.url)
    const client = await connect(guard)
    await client.query('SELECT 1')
    await eventually(async () => String((await counted(guard))[1]), /^[34]$/)
    const asked = server.requests.length
    await delay(1_500)
    assert.equal(server.requests.length, asked)
    await client.query('SELECT 1')
    await client.end()
  })

  it('counts what a collector rejects', async () => {
    server.answerBody = '{"partialSuccess":{"rejectedSpans":"2"}}'
    await using guard = await start(server.url)
    const client = await connect(guard)
    await client.query('SELECT 1')
    await eventually(async () => String((await counted(guard))[1]), /^2$/)
    await client.end()
  })

  it('shows requests to an HTTP API, in the trace that their client names', async () => {
    await using api = await HttpShop.start()
    const traces = { url: server.url, headers: {}, share: 1 }
    await using guard = await api.guard({}, { traces })
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
    const parent = '00f067aa0ba902b7'
    const claim = `00-${trace}-${parent}-01`
    const get = async (path: string, ...headers: [string, string][]): Promise<number> => {
      const response = await fetch(`http://127.0.0.1:${guard.address.port}${path}`, { headers })
      await response.text()
      return response.status
    }
    await get('/orders/4711?secret=4712', ['traceparent', claim])
    await get('/orders/1', ['traceparent', claim], ['traceparent', claim])
    await get('/orders/2', ['traceparent', 'nonsense'])
    api.answer = (_, response) => response.writeHead(404).end()
    await get('/orders/3')
    await guard.stop()
    const spans = spansOf(server)
    const commands = spans.filter(({ name }) => name === 'command GET')
    assert.deepEqual(
      commands.map(({ traceId, parentSpanId }) => [traceId === trace, parentSpanId]),
      [
        [true, parent],
        [false, undefined],
        [false, undefined],
        [false, undefined],
      ],
    )
    const sent = spans.filter(({ name, kind }) => name === 'GET' && kind === 3)
    assert.deepEqual(
      sent.map(({ attributes }) => {
        const values = valuesOf(attributes)
        return ['http.request.method', 'http.response.status_code', 'error.type'].map((name) => values[name])
      }),
      [...Array.from({ length: 3 }, () => ['GET', '200', undefined]), ['GET', '404', '404']],
    )
    assert.doesNotMatch(JSON.stringify(spans), /471[12]/)
  })
})
