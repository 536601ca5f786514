import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientHttp2Session, connect, createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { endIdle } from './http2-idle.ts'

describe('a client’s connection of HTTP/2 on which nothing happens', function () {
  this.timeout(60_000)

  it('is kept while a request waits, and ended without one', async () => {
    await using stack = new AsyncDisposableStack()
    const server = createServer()
    endIdle(server, 300)
    let silent = 0
    const waited = Promise.withResolvers<void>()
    server.on('session', (session) => {
      session.on('timeout', () => {
        if (++silent === 2) waited.resolve()
      })
    })
    const asked = Promise.withResolvers<ServerHttp2Stream>()
    server.on('stream', (stream) => asked.resolve(stream))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    stack.defer(() => {
      server.close()
    })
    const client: ClientHttp2Session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    stack.defer(() => client.destroy())
    client.on('error', () => {})
    const stream = client.request({ ':path': '/' })
    const held = await asked.promise
    await waited.promise
    assert.equal(client.destroyed, false)
    const answered = once(stream, 'response')
    held.respond({ ':status': 200 }, { endStream: true })
    stream.resume()
    await answered
    await once(client, 'close')
    assert.ok(client.destroyed)
  })
})
