/** Requests through a real gateway, between real clients and a real server. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { fetch, WebSocket } from 'undici'
import { selfSigned } from '../../../../test/certificates.ts'
import { type HttpPolicy, HttpShop } from '../../../../test/http-shop.ts'
import type { Guard } from '../../../../test/shop.ts'
import { decideRequest, listRequests } from '../../../approvals/desk.ts'

interface Problem {
  readonly type: string
  readonly status: number
  readonly detail: string
  readonly reference: string
}

describe('an exchange over HTTP', function () {
  this.timeout(60_000)
  let shop: HttpShop
  let guard: Guard | undefined
  let base = ''

  before(async () => {
    shop = await HttpShop.start()
  })
  after(() => shop[Symbol.asyncDispose]())
  beforeEach(() => {
    shop.reached.length = 0
    shop.answer = undefined
  })
  afterEach(async () => {
    await guard?.[Symbol.asyncDispose]()
    guard = undefined
  })

  const start = async (
    policy: HttpPolicy = {},
    more: Parameters<HttpShop['guard']>[1] = {},
  ): Promise<Guard> => {
    guard = await shop.guard(policy, more)
    base = `http://127.0.0.1:${guard.address.port}`
    return guard
  }
  const header = (name: string): string | undefined => {
    const { headers = [] } = shop.reached[0] ?? {}
    const at = headers.findIndex((candidate, index) => index % 2 === 0 && candidate.toLowerCase() === name)
    return at < 0 ? undefined : headers[at + 1]
  }
  const problemOf = async (response: Awaited<ReturnType<typeof fetch>>): Promise<Problem> => {
    assert.equal(response.headers.get('content-type'), 'application/problem+json')
    return (await response.json()) as Problem
  }

  describe('gives the role’s credential', () => {
    const cases: readonly { as: string; authentication: string; header?: [string, string]; url?: string }[] =
      [
        {
          as: 'a bearer token',
          authentication: '{as: bearer}',
          header: ['authorization', 'Bearer the-secret'],
        },
        {
          as: 'user name and password',
          authentication: '{as: basic}',
          header: ['authorization', `Basic ${Buffer.from('agent:the-secret').toString('base64')}`],
        },
        { as: 'a header', authentication: '{as: header, name: X-Key}', header: ['x-key', 'the-secret'] },
        {
          as: 'a parameter of the query',
          authentication: '{as: query, name: key}',
          url: '/users?a=1&key=the-secret',
        },
      ]
    for (const { as, authentication, header: expected, url } of cases)
      it(`as ${as}, and nothing of the agent’s`, async () => {
        await start({ authentication })
        const response = await fetch(
          `${base}/users?a=1&KEY=mine&k%65y=mine`.replace(
            '&KEY=mine&k%65y=mine',
            as.includes('query') ? '$&' : '',
          ),
          {
            headers: { authorization: 'Bearer mine', 'x-key': 'mine', cookie: 'a=mine' },
          },
        )
        assert.equal(response.status, 200)
        const [reached] = shop.reached
        assert.doesNotMatch(
          JSON.stringify([reached?.url, as.includes('header') ? header('authorization') : '']),
          /mine/,
        )
        if (expected) assert.equal(header(expected[0]), expected[1])
        if (url) assert.equal(reached?.url, url)
        assert.equal(header('cookie'), undefined)
      })
  })

  it('knows an agent by its token, and the role by the header', async () => {
    await start({
      identity: 'oidc: {issuer: "https://issuer.invalid", audience: firebreak}',
      roles: '[{name: agent, credential: {env: {password: SHOP_PASSWORD}}}]',
    })
    const without = await fetch(`${base}/users`)
    assert.equal(without.status, 401)
    assert.match((await problemOf(without)).detail, /a token is needed/)
    const wrong = await fetch(`${base}/users`, { headers: { 'proxy-authorization': 'Bearer x.y.z' } })
    assert.equal(wrong.status, 401)
    assert.deepEqual(shop.reached, [])
  })

  it('takes the role from Firebreak-Role where there are several', async () => {
    await start({
      roles:
        '[{name: reader, credential: {env: {password: SHOP_PASSWORD}}}, {name: writer, credential: {env: {password: SHOP_PASSWORD}}}]',
      access: '[reader, writer]',
      authentication: '{as: basic}',
    })
    const without = await fetch(`${base}/users`)
    assert.equal(without.status, 403)
    for (const role of ['reader', 'writer']) {
      shop.reached.length = 0
      assert.equal((await fetch(`${base}/users`, { headers: { 'firebreak-role': role } })).status, 200)
      const sent = Buffer.from((header('authorization') ?? '').slice(6), 'base64').toString()
      assert.equal(sent, `${role}:the-secret`)
      assert.equal(header('firebreak-role'), undefined)
    }
  })

  it('says which rule denies, and the reference of the audit line', async () => {
    const denying = await startDenying()
    const response = await fetch(`${base}/users/1`, { method: 'DELETE' })
    assert.equal(response.status, 403)
    const problem = await problemOf(response)
    assert.match(
      problem.detail,
      /denied by policy default\/guard, rule no-delete: http:delete on path \/users\/1/,
    )
    const [line] = await denying.audited(1)
    assert.equal(line?.reference, problem.reference)
    assert.equal(line?.decision, 'deny')
    assert.deepEqual(shop.reached, [])
  })

  const startDenying = async (): Promise<Guard> =>
    await start({
      rules: `    - {name: anything, match: {actions: ["http:*"]}, effect: allow}
    - {name: no-delete, match: {actions: ["http:delete"]}, effect: deny}
    - {name: no-json, match: {condition: "command.http.contentType == 'application/json' && 'force' in command.http.parameters"}, effect: deny}
`,
    })

  it('decides by conditions on what the request has', async () => {
    await startDenying()
    const post = async (url: string): Promise<number> =>
      (
        await fetch(`${base}${url}`, {
          method: 'POST',
          body: '{}',
          headers: { 'content-type': 'application/json; charset=utf-8' },
        })
      ).status
    assert.equal(await post('/users'), 200)
    assert.equal(await post('/users?force=1'), 403)
    assert.equal(await post('/users?a=1&f%6Frce'), 403)
  })

  it('passes bodies of any size in both directions as they are', async () => {
    await start()
    const body = Buffer.alloc(8 * 1024 * 1024, 'firebreak ')
    shop.answer = (_request, response, received) => response.end(received)
    const response = await fetch(`${base}/files/a`, { method: 'PUT', body })
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(body))
  })

  it('passes events one by one, while the next is not there yet', async () => {
    await start()
    const next = Promise.withResolvers<void>()
    shop.answer = async (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: one\n\n')
      await next.promise
      response.end('data: two\n\n')
    }
    const response = await fetch(`${base}/events`)
    const reader = response.body?.getReader()
    const first = await reader?.read()
    assert.equal(Buffer.from(first?.value as Uint8Array).toString(), 'data: one\n\n')
    next.resolve()
    const second = await reader?.read()
    assert.equal(Buffer.from(second?.value as Uint8Array).toString(), 'data: two\n\n')
  })

  it('follows no redirect, and shows only those that stay with the target', async () => {
    await start()
    const cases: readonly [string, string | null][] = [
      ['/other?x=1', '/other?x=1'],
      [`http://${shop.address}/inside`, '/inside'],
      ['http://169.254.169.254/latest/meta-data', null],
      ['//evil.example/x', null],
      [`http://user:secret@${shop.address}/x`, null],
    ]
    for (const [location, expected] of cases) {
      shop.reached.length = 0
      shop.answer = (_request, response) => response.writeHead(302, { location }).end()
      const response = await fetch(`${base}/users`, { redirect: 'manual' })
      assert.equal(response.status, 302)
      assert.equal(response.headers.get('location'), expected)
      assert.equal(shop.reached.length, 1)
    }
  })

  it('keeps what would be a credential, or a way around it, from the agent', async () => {
    await start()
    shop.answer = (_request, response) =>
      response
        .writeHead(200, {
          'set-cookie': ['session=target', 'b=c'],
          'alt-svc': 'h3=":443"',
          refresh: '0; url=http://evil.example',
          connection: 'x-internal',
          'x-internal': 'yes',
          'x-several': ['a', 'b'],
          'x-kept': 'yes',
        })
        .end('{}')
    const { headers } = await fetch(`${base}/users`)
    for (const name of ['set-cookie', 'alt-svc', 'refresh', 'x-internal'])
      assert.equal(headers.get(name), null, name)
    assert.equal(headers.get('x-kept'), 'yes')
    assert.equal(headers.get('x-several'), 'a, b')
  })

  it('speaks HTTP/2 with clients that do, many requests at once', async () => {
    await start()
    const client = connectHttp2(base)
    try {
      const answers = await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const stream = client.request({ ':path': `/users/${index}`, ':method': 'POST', cookie: 'a=b' })
          stream.end('body')
          const chunks: Buffer[] = []
          for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
          return JSON.parse(Buffer.concat(chunks).toString()) as { url: string; body: number }
        }),
      )
      assert.deepEqual(
        answers.map(({ url, body }) => [url, body]),
        answers.map((_, index) => [`/users/${index}`, 4]),
      )
      const denied = client.request({ ':path': '/x/../admin' })
      const [headers] = (await once(denied, 'response')) as [Record<string, unknown>]
      assert.equal(headers[':status'], 400)
    } finally {
      client.close()
    }
  })

  it('speaks TLS with clients that do, in either version', async () => {
    const { certificate, key } = selfSigned('localhost')
    const { address } = await start({}, { clientTls: { certificate, key } })
    const client = connectHttp2(`https://localhost:${address.port}`, { ca: certificate })
    const stream = client.request({ ':path': '/users' })
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    assert.equal(headers[':status'], 200)
    client.close()
    assert.equal((await fetch(`${base}/users`)).status, 200)
  })

  it('verifies the target, and says nothing of the request to one that is not it', async () => {
    const { createServer } = await import('node:https')
    const { certificate, key } = selfSigned('shop.test')
    let asked = 0
    const server = createServer({ cert: certificate, key }, (_request, response) => {
      asked++
      response.end('{}')
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    try {
      const target = { address: `127.0.0.1:${port}` }
      await start({ ...target, tls: '{}' })
      const refused = await fetch(`${base}/users`)
      assert.equal(refused.status, 502)
      assert.match((await problemOf(refused)).detail, /self.signed/)
      await guard?.[Symbol.asyncDispose]()
      process.env.SHOP_CA = certificate
      await start({ ...target, tls: '{ca: {env: {name: SHOP_CA}}, serverName: other.test}' })
      assert.equal((await fetch(`${base}/users`)).status, 502)
      await guard?.[Symbol.asyncDispose]()
      assert.equal(asked, 0)
      await start({ ...target, tls: '{ca: {env: {name: SHOP_CA}}, serverName: shop.test}' })
      assert.equal((await fetch(`${base}/users`)).status, 200)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

  it('holds a request until a person agrees, and runs exactly that', async () => {
    const { directory, audited } = await startHolding()
    const answer = fetch(`${base}/users/1`, { method: 'POST', body: '{"admin": true}' })
    const [request] = await waiting(directory)
    assert.match(request?.spec.command?.text ?? '', /POST \/users\/1/)
    assert.match(JSON.stringify(request), /admin/)
    assert.deepEqual(shop.reached, [])
    await approve(directory, request?.metadata.name ?? '', 'Approved')
    assert.equal((await answer).status, 200)
    assert.deepEqual(
      shop.reached.map(({ method, url, body }) => [method, url, body]),
      [['POST', '/users/1', '{"admin": true}']],
    )
    const lines = await audited(1)
    assert.deepEqual(
      lines.map(({ decision, approval }) => [decision, approval !== undefined]),
      [['hold', true]],
    )
  })

  it('knows a command of kubectl that is run again, which says another session each time', async () => {
    const { directory } = await startHolding('approval: {whileWaiting: fail}')
    const run = async (session: string): Promise<number> => {
      const headers = { 'kubectl-session': session }
      return (await fetch(`${base}/users/1`, { method: 'POST', body: 'x', headers })).status
    }
    assert.equal(await run('a'), 403)
    const [request] = await waiting(directory)
    await approve(directory, request?.metadata.name ?? '', 'Approved')
    assert.equal(await run('b'), 200)
  })

  it('refuses a request that a person denies, and one that is too long to be seen', async () => {
    const { directory } = await startHolding()
    const answer = fetch(`${base}/users/1`, { method: 'POST', body: 'x' })
    const [request] = await waiting(directory)
    await approve(directory, request?.metadata.name ?? '', 'Denied')
    const response = await answer
    assert.equal(response.status, 403)
    assert.match((await problemOf(response)).type, /not-approved/)
    const long = await fetch(`${base}/users/1`, { method: 'POST', body: 'x'.repeat(20_000) })
    assert.equal(long.status, 413)
    assert.deepEqual(shop.reached, [])
  })

  it('withdraws a request for approval when the client goes away', async () => {
    const { directory } = await startHolding()
    const giveUp = new AbortController()
    const answer = fetch(`${base}/users/1`, { method: 'POST', body: 'x', signal: giveUp.signal }).catch(
      () => 'gone',
    )
    await waiting(directory)
    giveUp.abort()
    assert.equal(await answer, 'gone')
    await eventually(async () =>
      (await listRequests(directory)).every(({ status }) => status?.state === 'Withdrawn'),
    )
    assert.deepEqual(shop.reached, [])
  })

  const startHolding = async (
    approval = 'approval: {}',
  ): Promise<{ directory: string; audited: Guard['audited'] }> => {
    const held = await start({
      rules: `    - {name: anything, match: {actions: ["http:*"]}, effect: allow}
    - {name: ask, match: {actions: ["http:write"]}, effect: requireApproval, ${approval}}
`,
    })
    return { directory: join(held.directory, 'approvals'), audited: (least) => held.audited(least) }
  }
  const waiting = async (directory: string) => {
    let open: Awaited<ReturnType<typeof listRequests>> = []
    await eventually(async () => {
      open = await listRequests(directory).catch(() => [])
      return open.length > 0
    })
    return open
  }
  const approve = async (directory: string, name: string, decision: 'Approved' | 'Denied'): Promise<void> => {
    const result = await decideRequest(directory, name, { decision, reason: 'a test' })
    assert.equal(result.kind, 'decided')
  }
  const eventually = async (holds: () => Promise<boolean>): Promise<void> => {
    for (let turn = 0; turn < 1_000; turn++) {
      if (await holds()) return
      await delay(20)
    }
    assert.fail('it never holds')
  }

  it('counts requests and bytes towards the limits', async () => {
    await start({ more: '  limits: {commandsPerMinute: 3, bytesPerCommand: 1000}\n' })
    assert.equal((await fetch(`${base}/users`)).status, 200)
    shop.answer = (_request, response) => {
      response.end('x'.repeat(5_000))
    }
    const long = await fetch(`${base}/users`)
    assert.equal(long.status, 429)
    assert.match((await problemOf(long)).detail, /bytes/)
    shop.answer = undefined
    assert.equal((await fetch(`${base}/users`)).status, 200)
    const limited = await fetch(`${base}/users`)
    assert.equal(limited.status, 429)
    assert.match((await problemOf(limited)).detail, /commands/)
  })

  it('ends a request that takes longer than policy allows', async () => {
    await start({ more: '  limits: {commandDuration: 300ms}\n' })
    shop.answer = () => {}
    const response = await fetch(`${base}/users`)
    assert.equal(response.status, 504)
  })

  it('says that the target is not there, and writes the line', async () => {
    const unreachable = await start({ address: '127.0.0.1:1' })
    const response = await fetch(`${base}/users`, { method: 'POST', body: 'x'.repeat(100_000) })
    assert.equal(response.status, 502)
    const [line] = await unreachable.audited(1)
    assert.match(JSON.stringify(line?.error), /unavailable/)
  })

  it('masks classified fields, also when they come compressed and without being asked', async () => {
    await start({
      classification: '[{tags: [pii/email], fields: ["$.users.email"]}]',
      rules: `    - {name: anything, match: {actions: ["http:*"]}, effect: allow}
    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}
`,
    })
    const document = JSON.stringify({
      users: [{ id: 1, email: 'ada@shop.example' }],
      email: 'kept@shop.example',
    })
    for (const compressed of [false, true]) {
      shop.answer = (_request, response) => {
        response.setHeader('content-type', 'application/json')
        response.setHeader('etag', '"x"')
        if (compressed) response.setHeader('content-encoding', 'gzip')
        const bytes = compressed ? gzipSync(document) : Buffer.from(document)
        response.setHeader('content-length', bytes.length)
        response.write(bytes.subarray(0, 21))
        setTimeout(() => response.end(bytes.subarray(21)), 20)
      }
      const response = await fetch(`${base}/users`, { headers: { range: 'bytes=0-5' } })
      assert.equal(response.status, 200)
      const text = await response.text()
      assert.doesNotMatch(text, /ada@/)
      const parsed = JSON.parse(text) as { users: { id: number; email: string }[]; email: string }
      assert.deepEqual([parsed.users[0]?.id, parsed.email], [1, 'kept@shop.example'])
      assert.equal(header('range'), undefined)
    }
    const lines = await guard?.audited(2)
    assert.match(JSON.stringify(lines?.[0]?.masked), /email/)
  })

  it('decides what GraphQL asks for, what tools of MCP do, and what bodies say, where the resource says so', async () => {
    await start({
      http: ', graphql: [/graphql], mcp: [/mcp], readBodies: true',
      rules: `    - {name: requests, match: {actions: ["http:*"]}, effect: allow}
    - {name: questions, match: {actions: ["graphql:query.*", "mcp:tools/call.*"]}, effect: allow}
    - {name: no-wiping, match: {actions: ["mcp:tools/call.wipe"]}, effect: deny}
    - {name: no-admins, match: {condition: "command.body.fields.exists(field, field == 'role=admin')"}, effect: deny}
`,
    })
    const post = async (path: string, body: unknown): Promise<number> => {
      const headers = { 'content-type': 'application/json' }
      return (await fetch(`${base}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).status
    }
    const call = (name: string) => ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name } })
    assert.equal(await post('/graphql', { query: '{ user { name } }' }), 200)
    assert.equal(await post('/graphql', { query: 'mutation { deleteUser(id: 1) { id } }' }), 403)
    assert.equal(await post('//GraphQL', { query: 'mutation { deleteUser(id: 1) { id } }' }), 403)
    assert.equal(await post('/mcp', call('read')), 200)
    // in the words of the protocol, which has no refusals of HTTP for what it understands
    assert.equal(await post('/mcp', call('wipe')), 200)
    assert.equal(await post('/users', { role: 'reader' }), 200)
    assert.equal(await post('/users', { role: 'admin' }), 403)
    assert.deepEqual(
      shop.reached.map(({ url, body }) => [
        url,
        body.includes('wipe') || body.includes('mutation') || body.includes('admin'),
      ]),
      [
        ['/graphql', false],
        ['/mcp', false],
        ['/users', false],
      ],
    )
  })

  it('withholds what can’t be looked into while something may have to be masked', async () => {
    await start({
      classification: '[{tags: [pii/email], fields: ["$.email"]}]',
      rules: `    - {name: anything, match: {actions: ["http:*"]}, effect: allow}
    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}
`,
    })
    for (const [type, coding, body] of [
      ['image/png', 'identity', 'ada@shop.example'],
      ['text/plain', 'identity', 'ada@shop.example'],
      ['text/plain', 'gzip', gzipSync('ada@shop.example')],
    ] as const) {
      shop.answer = (_request, response) =>
        response.writeHead(200, { 'content-type': type, 'content-encoding': coding }).end(body)
      const response = await fetch(`${base}/users`)
      assert.equal(response.status, 502, `${type} ${coding}`)
      assert.match((await problemOf(response)).type, /withheld/)
    }
    await assert.rejects(openSocket(`${base}/socket`))
  })

  for (const [name, method, upgrade, body] of [
    ['asks for SPDY', 'POST', 'SPDY/3.1', ''],
    ['asks for a WebSocket with a body', 'GET', 'websocket', 'x'],
    ['asks for a WebSocket by another method', 'POST', 'websocket', ''],
    ['asks for two protocols', 'GET', 'websocket, SPDY/3.1', ''],
  ] as const)
    it(`answers who ${name} as if it had not asked`, async () => {
      await start()
      shop.answer = (received, response) => response.end(`upgrade: ${received.headers.upgrade}`)
      const headers = { connection: 'Upgrade', upgrade, 'content-length': body.length }
      const answered = await new Promise<IncomingMessage>((resolve, reject) => {
        const asking = request(`${base}/users`, { method, headers }).on('response', resolve)
        asking.on('error', reject).on('upgrade', () => reject(new Error('it was upgraded')))
        asking.end(body)
      })
      assert.equal(await text(answered), 'upgrade: undefined')
    })

  it('lets a WebSocket through where a rule allows it, and counts what comes back', async () => {
    await start()
    shop.server.on('upgrade', echoSocket)
    try {
      const socket = await openSocket(`${base}/socket`)
      socket.send('hello')
      const [event] = (await once(socket, 'message')) as [{ data: string }]
      assert.equal(event.data, 'hello')
      socket.close()
      const [line] = (await guard?.audited(1)) ?? []
      assert.deepEqual(line?.actions, ['http:read', 'http:upgrade'])
      assert.ok(Number(line?.bytes) > 0)
    } finally {
      shop.server.off('upgrade', echoSocket)
    }
  })

  it('records what the agent sent and saw, to be replayed', async () => {
    const recorded = await start({ more: '  recording: {mode: full}\n' })
    await fetch(`${base}/users/7`, { method: 'POST', body: 'hello' })
    await recorded.stop()
    const [begun] = await recorded.auditLines('session.start')
    const main = fileURLToPath(new URL('../../../../cli/main.ts', import.meta.url))
    const words = [main, 'replay', String(begun?.session), '--state', recorded.directory]
    const { stdout } = await promisify(execFile)(process.execPath, words)
    assert.match(stdout, /#1 allow {2}POST \/users\/7/)
    assert.match(stdout, /HTTP 200\n.*"url":"\/users\/7".*5 bytes of data from the client/s)
    assert.doesNotMatch(stdout, /the-secret/)
  })

  it('ends what a client no longer waits for, and writes its line', async () => {
    const started = await start()
    const closed = Promise.withResolvers<void>()
    shop.answer = (request, response) => {
      request.socket.once('close', () => closed.resolve())
      response.write('x')
    }
    const giveUp = new AbortController()
    await fetch(`${base}/users`, { signal: giveUp.signal })
    giveUp.abort()
    await closed.promise
    assert.equal((await started.audited(1)).length, 1)
  })

  it('answers what comes in one piece in order, each request by itself', async () => {
    const denying = await startDenying()
    const { address } = denying
    const socket = connect(address)
    socket.write(
      ['GET /users/1', 'DELETE /users/1', 'GET /users/2']
        .map((line) => `${line} HTTP/1.1\r\nHost: shop\r\n\r\n`)
        .join(''),
    )
    let received = ''
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString()
    })
    await eventually(async () => received.split('HTTP/1.1 ').length === 4)
    socket.destroy()
    assert.deepEqual(
      [...received.matchAll(/HTTP\/1\.1 ([0-9]{3})/g)].map(([, status]) => status),
      ['200', '403', '200'],
    )
    assert.deepEqual(shop.reached.map(({ url }) => url).sort(), ['/users/1', '/users/2'])
    assert.equal((await denying.audited(3)).length, 3)
  })

  async function openSocket(url: string): Promise<WebSocket> {
    const socket = new WebSocket(url.replace('http', 'ws'))
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener('open', () => resolve())
      socket.addEventListener('error', () => reject(new Error('the socket was refused')))
    })
    return socket
  }
})

/** Answers with the first frame that comes, unmasked. https://www.rfc-editor.org/rfc/rfc6455 */
function echoSocket(
  request: import('node:http').IncomingMessage,
  socket: import('node:stream').Duplex,
): void {
  const { createHash } = process.getBuiltinModule('node:crypto')
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  socket.on('error', () => {})
  socket.on('data', (frame: Buffer) => {
    if ((frame[0] ?? 0) !== 0x81) {
      socket.end()
      return
    }
    const length = (frame[1] ?? 0) & 0x7f
    const mask = frame.subarray(2, 6)
    const text = Buffer.from(
      frame.subarray(6, 6 + length).map((byte, index) => byte ^ (mask[index % 4] ?? 0)),
    )
    socket.write(Buffer.concat([Buffer.from([0x81, length]), text]))
  })
}
