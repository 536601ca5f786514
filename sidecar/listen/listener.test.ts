import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { manifests, type PolicyOptions } from '../../test/policies.ts'
import { RawClient } from '../../test/raw-client.ts'
import { Guard, Shop } from '../../test/shop.ts'

describe('a listener', function () {
  this.timeout(60_000)
  let shop: Shop
  before(async () => {
    shop = await Shop.start()
  })
  after(() => shop[Symbol.asyncDispose]())

  it('lets nobody in without a token who is not on this host, wherever it listens', async () => {
    const outside = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .find(({ family, internal }) => family === 'IPv4' && !internal)
    assert.ok(outside, 'the machine has a network interface besides loopback')
    const { host, port } = shop.postgres
    await using guard = await Guard.start(
      { 'firebreak.yaml': manifests({ address: `${host}:${port}` }) },
      shop.postgres.password,
      { listen: { host: '0.0.0.0', port: 0 } },
    )
    const greet = async (address: string): Promise<string> => {
      const { client, greeting } = await RawClient.open(
        { host: address, port: guard.address.port },
        { user: 'agent', database: 'postgres' },
      )
      client[Symbol.dispose]()
      return greeting.map(({ bytes }) => bytes.toString()).join()
    }
    assert.match(await greet(outside.address), /28000.*without a token only clients on this host are let in/s)
    assert.doesNotMatch(await greet('127.0.0.1'), /28000/)
  })

  it('ends sessions with what its resource no longer is, and opens those with what it is', async () => {
    const { port } = shop.postgres
    await using guard = await Guard.start(
      { 'firebreak.yaml': manifests({ address: `127.0.0.1:${port}` }) },
      shop.postgres.password,
    )
    const change = (parts: PolicyOptions): void =>
      writeFileSync(join(guard.directory, 'firebreak.yaml'), manifests(parts))
    const before = await shop.connect(guard.address, 'postgres')
    const ended = new Promise<string>((resolve) => before.on('error', ({ message }) => resolve(message)))
    change({ address: `localhost:${port}` })
    assert.match(await ended, /shop is another target now; connect again/)
    const after = await shop.connect(guard.address, 'postgres')
    change({ address: `localhost:${port}`, limits: '{commandsPerMinute: 100}' })
    // that of the start, and one for each change
    await guard.auditLines('configuration.applied', 3)
    assert.equal((await after.query('SELECT 1 AS one')).rows[0].one, 1)
    await after.end()
  })
})
