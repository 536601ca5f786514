import assert from 'node:assert/strict'
import { createHmac, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { ApprovalRequest } from '@firebreak/crds'
import { until } from '../../test/eventually.ts'
import { manifests } from '../../test/policies.ts'
import { Guard, Shop } from '../../test/shop.ts'
import { decideRequest } from './desk.ts'
import type { ApprovalEvent } from './events.ts'
import { Notifier, type NotifierOptions } from './notifier.ts'

const secret = 'a secret of the webhook'

interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A real receiver that answers as it is told. */
class Receiver implements AsyncDisposable {
  readonly received: Received[] = []
  /** Status codes of the next answers; 200 when there are no more. */
  readonly answers: number[] = []
  readonly #server: Server

  static async start(): Promise<Receiver> {
    const receiver = new Receiver()
    receiver.#server.listen(0, '127.0.0.1')
    await once(receiver.#server, 'listening')
    return receiver
  }

  constructor() {
    this.#server = createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      this.received.push({ headers: request.headers, body })
      const status = this.answers.shift() ?? 200
      if (status === 0) request.socket.destroy()
      else
        response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:1/elsewhere' } : {}).end()
    })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

const event: ApprovalEvent = {
  kind: 'decided',
  name: 'worker-bcdfg',
  by: { user: 'alice', groups: ['dba'] },
  decision: 'Approved',
}

/** The code that docs/approvals.md shows. */
function verifier(): (headers: IncomingHttpHeaders, body: string, now: number) => boolean {
  const text = readFileSync(new URL('../../docs/approvals.md', import.meta.url), 'utf8')
  const code = /```js\n([\s\S]*?)```/.exec(text)?.[1]
  assert.ok(code, 'docs/approvals.md shows how to verify a notification')
  const body = code.replace(/^import .*$/gm, '')
  return new Function('createHmac', 'timingSafeEqual', 'secret', `${body}\nreturn verify`)(
    createHmac,
    timingSafeEqual,
    secret,
  ) as ReturnType<typeof verifier>
}

describe('notifications', function () {
  this.timeout(120_000)
  let receiver: Receiver
  const lost: string[] = []

  const notifier = (options: Partial<NotifierOptions> = {}): Notifier =>
    new Notifier({
      url: receiver.url,
      secret,
      onLost: (name, _request, reason) => lost.push(`${name}: ${reason}`),
      retryAfter: [10, 20],
      ...options,
    })

  beforeEach(async () => {
    receiver = await Receiver.start()
    lost.length = 0
  })
  afterEach(() => receiver[Symbol.asyncDispose]())

  it('are signed so that the receiver can tell them from others, and old ones from new ones', async () => {
    await using sender = notifier()
    sender.notify(event)
    const { headers, body } = await until(() => receiver.received[0])
    const sent = JSON.parse(body) as Record<string, unknown>
    assert.equal(sent.event, 'approval.decided')
    assert.equal(sent.by, 'alice')
    const verify = verifier()
    const now = Date.now()
    assert.ok(verify(headers, body, now))
    assert.ok(!verify(headers, body.replace('alice', 'mallory'), now))
    assert.ok(!verify(headers, body, now + 600_000))
    assert.ok(!verify({ ...headers, 'firebreak-timestamp': String(Math.floor(now / 1_000) + 1) }, body, now))
    assert.ok(!verify({ ...headers, 'firebreak-signature': 'sha256=00' }, body, now))
    assert.ok(!verify({}, body, now))
    assert.ok(!body.includes(secret) && !JSON.stringify(headers).includes(secret))
  })

  it('are sent again when the receiver is not well, in order', async () => {
    await using sender = notifier()
    receiver.answers.push(503, 0)
    sender.notify(event)
    sender.notify({ ...event, kind: 'used' })
    await until(() => receiver.received.length === 4)
    const events = receiver.received.map(({ body }) => (JSON.parse(body) as { event: string }).event)
    assert.deepEqual(events, ['approval.decided', 'approval.decided', 'approval.decided', 'approval.used'])
    const ids = receiver.received.map(({ body }) => (JSON.parse(body) as { id: string }).id)
    assert.equal(new Set(ids).size, 2, 'the same one again can be told')
    assert.deepEqual(lost, [])
  })

  it('are given up after a while, or when the receiver will not have them, and that is said', async () => {
    await using sender = notifier()
    receiver.answers.push(500, 500, 500, 400, 302)
    sender.notify(event)
    await until(() => lost.length === 1)
    sender.notify(event)
    await until(() => lost.length === 2)
    assert.deepEqual(lost, [
      'approval.decided: the receiver answered 500',
      'approval.decided: the receiver answered 400',
    ])
    assert.equal(receiver.received.length, 4)
  })

  it('follow no redirect, and go to no plain address elsewhere', async () => {
    await using sender = notifier({ retryAfter: [] })
    receiver.answers.push(302)
    sender.notify(event)
    await until(() => lost.length === 1)
    await using plain = notifier({ retryAfter: [], url: 'http://203.0.113.1/hook' })
    plain.notify(event)
    await until(() => lost.length === 2)
    assert.match(lost[1] ?? '', /is not reached by https/)
  })

  it('tell of a held command while it waits, and of what became of it', async () => {
    await using shop = await Shop.start()
    await shop.create('shop')
    const rules =
      '    - {name: ask, match: {actions: ["sql:drop"]}, effect: requireApproval}\n    - {name: all, match: {}, effect: allow}\n'
    const address = `127.0.0.1:${shop.postgres.port}`
    await using guard = await Guard.start(
      { 'firebreak.yaml': manifests({ address, database: 'shop', rules }) },
      shop.postgres.password,
      { notify: { url: receiver.url, secret } },
    )
    const agent = await shop.connect(guard.address, 'shop')
    const dropping = agent.query('DROP TABLE carts')
    const sent = (index: number): Promise<Received> => until(() => receiver.received[index])
    const asked = await sent(0)
    assert.ok(verifier()(asked.headers, asked.body, Date.now()))
    const { event: name, request } = JSON.parse(asked.body) as { event: string; request: ApprovalRequest }
    assert.equal(name, 'approval.requested')
    assert.equal(request.spec.command?.text, 'DROP TABLE carts')
    await decideRequest(join(guard.directory, 'approvals'), request.metadata.name, { decision: 'Approved' })
    await dropping
    await sent(2)
    assert.deepEqual(
      receiver.received.map(({ body }) => (JSON.parse(body) as { event: string }).event),
      ['approval.requested', 'approval.decided', 'approval.used'],
    )
    await agent.end()
  })

  it('never hold anything up, and have a bound', async () => {
    await using sender = notifier({ url: 'http://127.0.0.1:1/nobody', retryAfter: [60_000] })
    for (let count = 0; count < 1_010; count++) sender.notify(event)
    assert.equal(lost.filter((reason) => reason.endsWith('too many wait to be sent')).length, 10)
  })
})
