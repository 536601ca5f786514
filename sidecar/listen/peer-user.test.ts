import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { peerUser } from './peer-user.ts'

describe('the user at the other end', () => {
  const ways: readonly [listen: string, to: string][] = [
    ['127.0.0.1', '127.0.0.1'],
    ['127.0.0.1', '::ffff:127.0.0.1'],
    ['::', '127.0.0.1'],
    ['::1', '::1'],
  ]
  for (const [listen, to] of ways)
    it(`is known from ${to} to ${listen}`, async () => {
      const server = createServer().listen(0, listen)
      await once(server, 'listening')
      const address = server.address()
      assert.ok(typeof address === 'object' && address)
      const client = connect(address.port, to)
      const [socket] = (await once(server, 'connection')) as [Socket]
      assert.equal(peerUser(socket), process.getuid?.())
      client.destroy()
      await once(socket.resume(), 'close')
      assert.equal(peerUser(socket), undefined)
      server.close()
    })
})
