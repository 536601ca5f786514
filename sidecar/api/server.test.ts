import assert from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ApiRequest, Route } from './route.ts'
import { ApiServer } from './server.ts'

const caller = { kind: 'loopback', identity: 'default/agent', groups: [] } as const
const asked: ApiRequest[] = []
const routes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/things',
    schema: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
    handle: (it) => {
      asked.push(it)
      return { status: 201, body: { made: true } }
    },
  },
  { method: 'DELETE', path: '/v1/things/*', handle: ({ name }) => ({ status: 200, body: { name } }) },
  {
    method: 'GET',
    path: '/v1/broken',
    handle: () => {
      throw new Error('a secret')
    },
  },
]

describe('the local API', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fb-api-'))
  const socketPath = join(directory, 'state', 'api.sock')
  let server: ApiServer
  let port: number
  let unavailable: string | undefined

  before(async () => {
    server = new ApiServer({
      routes,
      prove: async () => ({ ok: true, value: caller }),
      unavailable: () => unavailable,
    })
    port = (await server.listen({ host: '127.0.0.1', port: 0 })).port
    await server.listenOn(socketPath)
  })
  after(async () => {
    await server.close()
    rmSync(directory, { recursive: true })
  })

  /** What a client that writes these bytes is answered. */
  const raw = (text: string, hold = false): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1')
      let answer = ''
      socket.on('data', (chunk) => {
        answer += chunk.toString()
      })
      // who is hung up on while it still sends hears that as well
      socket.on('error', (error) => answer === '' && reject(error))
      socket.on('close', () => resolve(answer))
      if (hold) socket.write(text)
      else socket.end(text)
    })
  const post = (body: string, head = ''): string =>
    `POST /v1/things HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\n${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

  const answers: readonly [what: string, sent: () => string, answer: RegExp][] = [
    ['what it should be', () => post('{"name":"x"}'), /^HTTP\/1\.1 201 [\s\S]*\{"made":true\}\n$/],
    [
      'what the schema does not take',
      () => post('{"nam":"x"}'),
      /^HTTP\/1\.1 400 [\s\S]*unknown field nam; did you mean name\?/,
    ],
    ['a field of the wrong type', () => post('{"name":1}'), /name: expected a string, found 1/],
    [
      'a name in the path',
      () => `DELETE /v1/things/a-b HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`,
      /\{"name":"a-b"\}/,
    ],
    [
      'an escaped name',
      () => `DELETE /v1/things/%2e%2e HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`,
      /^HTTP\/1\.1 404/,
    ],
    [
      'what fails inside',
      () => `GET /v1/broken HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`,
      /^HTTP\/1\.1 500 (?![\s\S]*secret)[\s\S]*the request failed/,
    ],
    [
      'two hosts',
      () => `GET /v1/broken HTTP/1.1\r\nHost: localhost:${port}\r\nHost: evil.example\r\n\r\n`,
      /^HTTP\/1\.1 40[03] /,
    ],
    ['no host', () => 'GET /v1/broken HTTP/1.0\r\n\r\n', /^HTTP\/1\.1 403 /],
    ['the host of no port', () => 'GET /v1/broken HTTP/1.1\r\nHost: localhost\r\n\r\n', /^HTTP\/1\.1 403 /],
    ['two lengths', () => post('{"name":"x"}', 'Content-Length: 3\r\n'), /^HTTP\/1\.1 400 /],
    ['a length and chunks', () => post('{"name":"x"}', 'Transfer-Encoding: chunked\r\n'), /^HTTP\/1\.1 400 /],
    ['no HTTP', () => '\u0016\u0003\u0001\u0000\u0000\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'a header without an end',
      () => `GET / HTTP/1.1\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`,
      /^HTTP\/1\.1 431 /,
    ],
  ]
  for (const [what, sent, answer] of answers)
    it(`answers ${what}`, async () => {
      assert.match(await raw(sent()), answer)
    })

  it('answers a body that never ends, and hangs up', async () => {
    const head = post('', '').replace(/Content-Length: 0\r\n\r\n$/, 'Transfer-Encoding: chunked\r\n\r\n')
    const chunk = `4000\r\n${' '.repeat(0x4000)}\r\n`
    const answer = await raw(`${head}${chunk.repeat(6)}`, true)
    assert.match(answer, /^HTTP\/1\.1 413 [\s\S]*longer than 65536 bytes/)
    assert.match(answer, /connection: close/i)
  })

  it('lets no page read what it answers', async () => {
    const answer = await raw(post('{"name":"x"}'))
    assert.match(answer, /cache-control: no-store/)
    assert.match(answer, /x-content-type-options: nosniff/)
    assert.doesNotMatch(answer, /access-control/i)
  })

  it('tells who asked from where, on the socket too', async () => {
    asked.length = 0
    await raw(post('{"name":"x"}'))
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
    request(
      {
        socketPath,
        host: 'localhost',
        path: '/v1/things',
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/json' },
      },
      (response) => resolve(response.resume().statusCode),
    )
      .on('error', reject)
      .end('{"name":"y"}')
    assert.equal(await promise, 201)
    assert.deepEqual(
      asked.map(({ remote, body }) => [remote, body]),
      [
        ['127.0.0.1', { name: 'x' }],
        ['unix', { name: 'y' }],
      ],
    )
  })

  it('says nothing while nothing can be recorded', async () => {
    unavailable = 'the audit trail is full'
    assert.match(await raw(post('{"name":"x"}')), /^HTTP\/1\.1 503 [\s\S]*the audit trail is full/)
    unavailable = undefined
  })

  it('has a socket for its user and group alone', () => {
    assert.equal(statSync(socketPath).mode & 0o777, 0o660)
    assert.equal(statSync(join(directory, 'state')).mode & 0o777, 0o700)
  })

  it('listens nowhere else than on this host', async () => {
    for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.com', '127.example.com', 'unix'])
      await assert.rejects(server.listen({ host, port: 0 }), /on loopback only/)
  })

  it('takes the place of a process that was killed, and of nobody else', async () => {
    const other = new ApiServer({
      routes,
      prove: async () => ({ ok: true, value: caller }),
      unavailable: () => undefined,
    })
    await assert.rejects(other.listenOn(socketPath), /is in use by another process/)
    const file = join(directory, 'file')
    writeFileSync(file, 'somebody’s')
    await assert.rejects(other.listenOn(file), /is no socket; it is left alone/)
    await assert.rejects(other.listenOn(join(directory, 'x'.repeat(120))), /longer than 107 bytes/)
    const left = join(directory, 'left.sock')
    await leave(left)
    await other.listenOn(left)
    await other.close()
  })
})

/** A socket that nobody listens on any more, as after a SIGKILL. */
async function leave(path: string): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(`${path}.first`, resolve))
  renameSync(`${path}.first`, path)
  await new Promise((resolve) => server.close(resolve))
}
