/** A receiver of audit lines that is asked to end while its server is silent. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { runLines } from '../testdata/trail.ts'
import { PostgresqlReceiver } from './postgresql.ts'

describe('a PostgreSQL that never answers', function () {
  this.timeout(60_000)

  it('is not waited for once nobody waits for the lines', async () => {
    const sockets: Socket[] = []
    const server = createServer((socket) => sockets.push(socket.resume())).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const url = `postgresql://somebody@127.0.0.1:${(server.address() as AddressInfo).port}/postgres`
      const receiver = new PostgresqlReceiver({ kind: 'postgresql', url, password: 'secret' })
      const abort = new AbortController()
      const sent = receiver.send(runLines(1), abort.signal)
      const outcome = assert.rejects(sent, /^Error: Connection terminated/, 'not that the time is over')
      await once(server, 'connection')
      abort.abort()
      await outcome
      await receiver[Symbol.asyncDispose]()
    } finally {
      for (const socket of sockets) socket.destroy()
      server.close()
    }
  })
})
