/** Requests to a target that speaks HTTP/2, from real clients through a real gateway. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
} from 'node:http2'
import { createServer } from 'node:https'
import { type AddressInfo, connect, type Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import { Agent, fetch } from 'undici'
import { selfSigned } from '../../../../test/certificates.ts'
import { eventuallyWith } from '../../../../test/eventually.ts'
import { type HttpPolicy, httpManifests } from '../../../../test/http-shop.ts'
import { Http2Shop, type Http2ShopOptions } from '../../../../test/http2-shop.ts'
import { Service } from '../../../../test/service.ts'
import { Guard } from '../../../../test/shop.ts'
import { Http2Connections } from './http2-connections.ts'
import { startSession } from './http2-session.ts'

const eventually = eventuallyWith(() => '')
const portOf = (server: Server): number => (server.address() as AddressInfo).port

describe('a target that speaks HTTP/2', function () {
  this.timeout(60_000)
  let stack = new AsyncDisposableStack()
  let shop: Http2Shop
  let guard: Guard
  let base = ''

  afterEach(async () => {
    await stack.disposeAsync()
    stack = new AsyncDisposableStack()
  })

  const start = async (
    policy: HttpPolicy = {},
    options: Http2ShopOptions = {},
    more: Parameters<Http2Shop['guard']>[1] = {},
  ): Promise<void> => {
    shop = stack.use(await Http2Shop.start(options))
    guard = stack.use(await shop.guard(policy, more))
    base = `http://127.0.0.1:${guard.address.port}`
  }
  const client = (): ClientHttp2Session => {
    const session = connectHttp2(base)
    session.on('error', () => {})
    stack.defer(() => session.destroy())
    return session
  }
  const header = (name: string): string | undefined => {
    const { headers = [] } = shop.reached[0] ?? {}
    const at = headers.findIndex((candidate, index) => index % 2 === 0 && candidate === name)
    return at < 0 ? undefined : headers[at + 1]
  }
  const text = async (stream: AsyncIterable<Buffer>): Promise<string> => {
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }

  it('is spoken to in it, whatever the client speaks, on one connection', async () => {
    await start()
    const answers = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const response = await fetch(`${base}/users/${index}?a=b`, { method: 'POST', body: 'hello' })
        return (await response.json()) as { url: string; body: number }
      }),
    )
    assert.deepEqual(
      answers,
      answers.map((_, index) => ({ method: 'POST', url: `/users/${index}?a=b`, body: 5 })),
    )
    const stream = client().request({ ':path': '/users/x' })
    assert.match(await text(stream), /users\/x/)
    assert.deepEqual(new Set(shop.reached.map(({ version }) => version)), new Set(['2.0']))
    assert.equal(shop.sessions.size, 1)
    assert.equal(header(':authority'), shop.address)
    assert.equal(header('host'), undefined)
    assert.equal(header('authorization'), 'Bearer the-secret')
  })

  it('is spoken to in HTTP/1.1 where it prefers that', async () => {
    const { certificate, key } = selfSigned('shop.test')
    const offered = new Set<string>()
    const connections = new Set<unknown>()
    const all = Promise.withResolvers<void>()
    let asked = 0
    const server = createServer(
      {
        cert: certificate,
        key,
        ALPNCallback: ({ protocols }) => {
          offered.add(protocols.join())
          return 'http/1.1'
        },
      },
      async (request, response) => {
        connections.add(request.socket)
        // the first alone, the others at once
        if (++asked === 4) all.resolve()
        if (asked > 1) await all.promise
        response.end(request.httpVersion)
      },
    ).listen(0, '127.0.0.1')
    stack.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    await once(server, 'listening')
    process.env.HTTP1_SHOP_CA = certificate
    const target = {
      address: `127.0.0.1:${portOf(server)}`,
      tls: '{ca: {env: {name: HTTP1_SHOP_CA}}, serverName: shop.test}',
    }
    const manifests = { 'firebreak.yaml': httpManifests(target) }
    const { address } = stack.use(await Guard.start(manifests, 'the-secret'))
    const first = await fetch(`http://127.0.0.1:${address.port}/users`)
    assert.equal(await first.text(), '1.1')
    assert.deepEqual([...offered], ['h2,http/1.1'])
    const more = await Promise.all(
      ['a', 'b', 'c'].map(async (name) => await fetch(`http://127.0.0.1:${address.port}/users/${name}`)),
    )
    assert.deepEqual(
      more.map(({ status }) => status),
      [200, 200, 200],
    )
    assert.equal(connections.size, 3)
  })

  it('keeps each role to connections of its own', async () => {
    const credential = 'credential: {env: {password: SHOP_PASSWORD}}'
    await start({
      roles: `[{name: reader, ${credential}}, {name: writer, ${credential}}]`,
      access: '[reader, writer]',
      authentication: '{as: basic}',
    })
    const seen = new Map<unknown, Set<string>>()
    shop.answer = (request, response) => {
      const roles = seen.get(request.stream.session) ?? new Set()
      seen.set(request.stream.session, roles.add(request.headers.authorization ?? ''))
      response.end()
    }
    for (const role of ['reader', 'writer', 'reader', 'writer'])
      await (await fetch(`${base}/users`, { headers: { 'firebreak-role': role } })).arrayBuffer()
    assert.deepEqual(
      [...seen.values()].map((roles) => roles.size),
      [1, 1],
    )
  })

  it('gets and gives bodies of any size, no faster than the other side reads', async () => {
    await start()
    const body = Buffer.alloc(8 * 1024 * 1024, 'firebreak ')
    shop.answer = (_request, response, received) => response.end(received)
    const response = await fetch(`${base}/files/a`, { method: 'PUT', body })
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(body))
  })

  it('gets bodies that were read to be decided on, many at once on one connection', async () => {
    await start({ http: ', readBodies: true' })
    shop.early = (request, response) => {
      response.writeHead(200).write('')
      request.resume().on('end', () => response.end())
    }
    const body = JSON.stringify('x'.repeat(900_000))
    const headers = { 'content-type': 'application/json' }
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => fetch(`${base}/users`, { method: 'POST', headers, body })),
    )
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
    await Promise.all(answers.map((answer) => answer.arrayBuffer()))
    assert.equal(shop.sessions.size, 1)
  })

  it('does not send more than a client reads', async () => {
    await start()
    let sent = 0
    let waits = false
    shop.answer = async (_request, response) => {
      const chunk = Buffer.alloc(64 * 1024)
      while (sent < 64 * 1024 * 1024 && !response.destroyed) {
        sent += chunk.length
        if (response.write(chunk)) continue
        const drained = once(response, 'drain').catch(() => undefined)
        waits = (await Promise.race([drained, delay(1_000, 'waits')])) === 'waits'
        if (waits) return
      }
    }
    const stream = client().request({ ':path': '/files/a' })
    stream.pause()
    await eventually(() => String(waits), /true/)
    assert.ok(sent < 16 * 1024 * 1024, `${sent}`)
    // others on the same connection go on
    shop.answer = undefined
    assert.equal((await fetch(`${base}/users`)).status, 200)
    assert.equal(shop.sessions.size, 1)
  })

  it('talks in both directions at once', async () => {
    await start()
    shop.early = (request, response) => {
      response.writeHead(200)
      request.on('data', (chunk: Buffer) => response.write(`you said ${chunk}`))
      request.on('end', () => response.end())
    }
    const stream = client().request({ ':path': '/users', ':method': 'POST' })
    for (const word of ['one', 'two']) {
      stream.write(word)
      const [chunk] = (await once(stream, 'data')) as [Buffer]
      assert.equal(chunk.toString(), `you said ${word}`)
    }
    stream.end()
    await once(stream, 'end')
  })

  it('gives trailers, and several values of one header', async () => {
    await start()
    shop.answer = (_request, response) => {
      response.writeHead(200, { 'x-several': ['a', 'b'], 'set-cookie': ['session=target'] })
      response.write('x')
      response.addTrailers({ 'x-checksum': 'abc', 'set-cookie': 'session=target' })
      response.end()
    }
    const stream = client().request({ ':path': '/users' })
    const trailers = once(stream, 'trailers')
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    stream.resume()
    assert.equal(headers['x-several'], 'a, b')
    assert.equal(headers['set-cookie'], undefined)
    const [given] = (await trailers) as [Record<string, unknown>]
    assert.equal(given['x-checksum'], 'abc')
    assert.equal(given['set-cookie'], undefined)
  })

  it('may say twice what has one value, in its trailers as well', async () => {
    await start({}, { server: { strictSingleValueFields: false } })
    const twice = (name: string) => Object.fromEntries([[name, ['a', 'b']]])
    shop.answer = (_request, response) => {
      response.writeHead(200, twice('age'))
      response.write('x')
      response.addTrailers(twice('etag'))
      response.end()
    }
    const stream = client().request({ ':path': '/users' })
    const trailers = once(stream, 'trailers')
    assert.equal(await text(stream), 'x')
    assert.equal(((await trailers) as [Record<string, unknown>])[0].etag, 'a')
  })

  it('may lead back by a redirect from a path of nothing but slashes', async () => {
    await start()
    shop.answer = (_request, response) => {
      response.writeHead(302, { location: '/users' }).end()
    }
    const response = await fetch(`${base}//`, { redirect: 'manual' })
    assert.deepEqual([response.status, response.headers.get('location')], [302, '/users'])
  })

  describe('never takes for whole what broke off', () => {
    const brokenOff: readonly (readonly [how: string, (stream: ClientHttp2Stream) => void])[] = [
      ['with a reason', (stream) => stream.destroy(new Error('out of data'))],
      ['without one', (stream) => stream.destroy()],
      ['with its connection', (stream) => stream.session?.destroy()],
    ]
    for (const [how, breakOff] of brokenOff)
      it(`of a request, ${how}`, async () => {
        await start()
        let isWhole = false
        const came = Promise.withResolvers<void>()
        const gone = Promise.withResolvers<void>()
        shop.early = (request) => {
          request.once('data', () => came.resolve())
          request.on('end', () => {
            isWhole ||= !request.aborted
          })
          request.stream.on('close', () => gone.resolve())
        }
        const stream = client().request({ ':path': '/files/a', ':method': 'PUT' })
        stream.on('error', () => {})
        stream.write('the first half')
        await came.promise
        breakOff(stream)
        await gone.promise
        assert.ok(!isWhole)
        assert.equal((await guard.audited(1)).length, 1)
      })

    it('of an answer, by its length or by how it ends', async () => {
      const { certificate, key } = selfSigned('localhost')
      await start({}, {}, { clientTls: { certificate, key } })
      const { port } = guard.address
      const secure = connectHttp2(`https://localhost:${port}`, { ca: certificate })
      stack.defer(() => secure.destroy())
      const agent = new Agent({ connect: { ca: certificate }, allowH2: false })
      stack.defer(() => agent.close())
      for (const length of [{ 'content-length': '100' }, {}]) {
        shop.answer = (_request, response) => {
          response.writeHead(200, length).write('half')
          setImmediate(() => response.stream.close(constants.NGHTTP2_INTERNAL_ERROR))
        }
        for (const url of [base, `https://localhost:${port}`])
          await assert.rejects(
            fetch(`${url}/users`, { dispatcher: agent }).then(async (response) => await response.text()),
          )
        for (const session of [client(), secure])
          await assert.rejects(text(session.request({ ':path': '/users' })))
      }
    })
  })

  it('hears of it when a client goes away, and keeps the connection for others', async () => {
    await start()
    const closed = Promise.withResolvers<number>()
    shop.early = (request, response) => {
      request.stream.on('close', () => closed.resolve(request.stream.rstCode))
      response.write('x')
    }
    const giveUp = new AbortController()
    await fetch(`${base}/users`, { signal: giveUp.signal })
    giveUp.abort()
    assert.equal(await closed.promise, constants.NGHTTP2_CANCEL)
    shop.early = undefined
    assert.equal((await fetch(`${base}/users`)).status, 200)
    assert.equal(shop.sessions.size, 1)
  })

  it('does not wait for the rest of a request that has its answer, nor does a client', async () => {
    await start({
      rules: `    - {name: anything, match: {actions: ["http:*"]}, effect: allow}
    - {name: no-files, match: {objects: [/files]}, effect: deny}
`,
    })
    const closed = Promise.withResolvers<void>()
    shop.early = (request, response) => {
      request.stream.on('close', () => closed.resolve())
      response.writeHead(413).end('too large')
    }
    const session = client()
    for (const [path, status] of [
      ['/files/a', 403],
      ['/users', 413],
    ] as const) {
      const stream = session.request({ ':path': path, ':method': 'PUT' })
      stream.on('error', () => {})
      const gone = once(stream, 'close')
      const answered = once(stream, 'response')
      stream.end(Buffer.alloc(2 * 1024 * 1024))
      stream.resume()
      const [headers] = (await answered) as [Record<string, unknown>]
      assert.equal(headers[':status'], status)
      await gone
    }
    await closed.promise
    assert.equal(session.destroyed, false)
  })

  it('is asked again once, and only where it has not looked at a request', async () => {
    await start()
    const tried: string[] = []
    shop.early = (request, response) => {
      tried.push(request.url)
      if (tried.length === 1) request.stream.close(constants.NGHTTP2_REFUSED_STREAM)
      else response.end('{}')
    }
    assert.equal((await fetch(`${base}/users`)).status, 200)
    assert.deepEqual(tried, ['/users', '/users'])
    shop.early = (request) => {
      tried.push(request.url)
      request.stream.close(constants.NGHTTP2_REFUSED_STREAM)
    }
    for (const [path, code] of [
      ['/refused', 2],
      ['/broken', 1],
    ] as const) {
      tried.length = 0
      if (path === '/broken')
        shop.early = (request) => {
          tried.push(request.url)
          request.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
        }
      assert.equal((await fetch(`${base}${path}`)).status, 502)
      assert.equal(tried.length, code)
    }
  })

  it('may end a connection: what runs on it is answered, and the next request has another', async () => {
    await start()
    const goOn = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    shop.answer = async (_request, response) => {
      response.write('one ')
      asked.resolve()
      await goOn.promise
      response.end('two')
    }
    const running = fetch(`${base}/users`).then(async (response) => await response.text())
    await asked.promise
    const [first] = shop.sessions
    first?.close()
    shop.answer = undefined
    assert.equal((await fetch(`${base}/users`)).status, 200)
    assert.equal(shop.sessions.size, 2)
    goOn.resolve()
    assert.equal(await running, 'one two')
  })

  it('may end one connection after another, however long what runs on them takes', async () => {
    await start()
    const hanging: Promise<unknown>[] = []
    for (let count = 0; count < 17; count++) {
      const ended = Promise.withResolvers<void>()
      shop.answer = ({ stream: { session } }, response) => {
        response.write('x')
        session?.close()
        ended.resolve()
      }
      const given = new AbortController()
      stack.defer(() => given.abort())
      const response = await fetch(`${base}/users`, { signal: given.signal })
      hanging.push(response.text().catch(() => {}))
      await ended.promise
    }
    shop.answer = undefined
    assert.equal((await fetch(`${base}/users`)).status, 200)
    assert.ok(shop.sessions.size > 17)
    for (const session of shop.sessions) session.destroy()
    await Promise.all(hanging)
  })

  it('that ends its only connection and is not there any more is said to be so, while something runs', async () => {
    shop = stack.use(await Http2Shop.start({ tls: false }))
    const origin = `http://${shop.address}`
    const port = portOf(shop.server)
    let session: ClientHttp2Session | undefined
    const connections = new Http2Connections('http', async () => {
      if (session) throw new Error('not there')
      session = await startSession(connect(port), origin)
      return session
    })
    const ask = async (): Promise<string> =>
      await new Promise((resolve, reject) =>
        connections.dispatch(
          { method: 'GET', path: '/users', headers: [['host', shop.address]], body: undefined },
          {
            onResponseData: (_controller, chunk) => resolve(chunk.toString()),
            onResponseError: (_controller, error) => reject(error),
          },
        ),
      )
    shop.answer = (_request, response) => response.write('x')
    assert.equal(await ask(), 'x')
    session?.close()
    await assert.rejects(ask(), /not there/)
  })

  it('that does not speak HTTP/2 any more is asked what it speaks', async () => {
    const { certificate, key } = selfSigned('shop.test')
    const address = stack.use(await Service.open())
    const before = stack.use(await Http2Shop.start({ server: { cert: certificate, key } }))
    address.endpoints.add(portOf(before.server))
    process.env.HTTP1_SHOP_CA = certificate
    const tls = '{ca: {env: {name: HTTP1_SHOP_CA}}, serverName: shop.test}'
    const manifests = { 'firebreak.yaml': httpManifests({ tls, address: `127.0.0.1:${address.port}` }) }
    guard = stack.use(await Guard.start(manifests, 'the-secret'))
    base = `http://127.0.0.1:${guard.address.port}`
    assert.equal((await fetch(`${base}/users`)).status, 200)
    await before[Symbol.asyncDispose]()
    address.endpoints.clear()
    // as servers are that don't know how to agree
    const http = createHttpServer((request, response) => response.end(request.httpVersion))
    const server = createTlsServer({ cert: certificate, key }, (socket) => http.emit('connection', socket))
    server.listen(0, '127.0.0.1')
    stack.defer(() => {
      http.closeAllConnections()
      server.close()
    })
    await once(server, 'listening')
    address.endpoints.add(portOf(server))
    await eventually(async () => await (await fetch(`${base}/users`)).text(), /^1\.1$/)
  })

  it('that breaks a connection ends what runs on it, and no more', async () => {
    await start()
    const asked = Promise.withResolvers<void>()
    shop.answer = () => asked.resolve()
    const running = fetch(`${base}/users`)
    await asked.promise
    for (const session of shop.sessions) session.destroy()
    assert.equal((await running).status, 502)
    shop.answer = undefined
    assert.equal((await fetch(`${base}/users`)).status, 200)
  })

  it('that takes few requests at once gets them on several connections', async () => {
    await start({}, { server: { settings: { maxConcurrentStreams: 2 } } })
    const all = Promise.withResolvers<void>()
    let open = 0
    shop.answer = async (_request, response) => {
      if (++open === 6) all.resolve()
      await all.promise
      response.end('{}')
    }
    const answers = await Promise.all(Array.from({ length: 6 }, () => fetch(`${base}/users`)))
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200, 200, 200, 200],
    )
    assert.ok(shop.sessions.size >= 3)
  })

  it('that is another one now is left with the last answer', async () => {
    shop = stack.use(await Http2Shop.start({ tls: false }))
    const origin = `http://${shop.address}`
    const port = portOf(shop.server)
    const connections = new Http2Connections('http', async () => await startSession(connect(port), origin))
    const asked = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    shop.answer = async (_request, response) => {
      asked.resolve()
      await goOn.promise
      response.end('the last')
    }
    const answered = Promise.withResolvers<string>()
    connections.dispatch(
      { method: 'GET', path: '/users', headers: [['host', shop.address]], body: undefined },
      {
        onResponseData: (_controller, chunk) => answered.resolve(chunk.toString()),
        onResponseError: (_controller, error) => answered.reject(error),
      },
    )
    await asked.promise
    connections.close()
    goOn.resolve()
    assert.equal(await answered.promise, 'the last')
    await eventually(() => String(shop.sessions.size), /^0$/)
  })

  it('that answers with too large a head is refused', async () => {
    await start()
    shop.answer = (_request, response) => {
      response.writeHead(200, { 'x-large': 'x'.repeat(100_000) }).end()
    }
    assert.equal((await fetch(`${base}/users`)).status, 502)
  })

  it('that is not there is said to be so', async () => {
    await start()
    await shop[Symbol.asyncDispose]()
    const response = await fetch(`${base}/users`)
    assert.equal(response.status, 502)
    assert.match(await response.text(), /ECONNREFUSED|refused/)
  })
})
