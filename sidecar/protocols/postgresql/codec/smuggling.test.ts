/** Frames that are cut where it hurts, through a gateway to a real server. */
import assert from 'node:assert/strict'
import { manifests } from '../../../../test/policies.ts'
import { errorIn, RawClient } from '../../../../test/raw-client.ts'
import { Guard, Shop } from '../../../../test/shop.ts'
import * as encode from './encode.ts'

const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: no-drop, match: {actions: ["sql:drop"]}, effect: deny}
`
const forbidden = encode.query('DROP TABLE orders CASCADE')
const copyDone = Buffer.from([0x63, 0, 0, 0, 4])
/** Long enough for what was sent to have passed the gateway and been answered. */
const moment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 200))

function copyData(payload: Buffer): Buffer {
  const header = Buffer.from([0x64, 0, 0, 0, 0])
  header.writeInt32BE(payload.length + 4, 1)
  return Buffer.concat([header, payload])
}

describe('frames cut into pieces', function () {
  this.timeout(120_000)
  let shop: Shop
  let guard: Guard

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    guard = await Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `127.0.0.1:${shop.postgres.port}`,
          database: 'shop',
          rules,
        }),
      },
      shop.postgres.password,
    )
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  async function open(): Promise<RawClient> {
    return (await RawClient.open(guard.address, { user: 'agent', database: 'shop' })).client
  }

  async function stillThere(): Promise<boolean> {
    return (await shop.admin('shop', "SELECT to_regclass('public.orders') AS found")).rows[0].found !== null
  }

  it('begin before COPY does and end in it, and carry no message', async () => {
    using client = await open()
    const data = copyData(Buffer.concat([copyDone, forbidden]))
    client.send(encode.query('COPY carts (id) FROM STDIN'), data.subarray(0, 6))
    await moment()
    client.send(data.subarray(6))
    await moment()
    client.send(copyDone)
    assert.ok(errorIn(await client.until('Z')), 'what was sent is data, and not of a cart')
    assert.ok(await stillThere())
  })

  it('begin in COPY and end after it failed, and swallow no message', async () => {
    using client = await open()
    client.send(encode.query('COPY carts (id) FROM STDIN'))
    await client.until('G')
    const data = copyData(Buffer.alloc(10_000, 'x'))
    client.send(copyData(Buffer.from('not a number\n')), data.subarray(0, 6))
    assert.equal(errorIn(await client.until('Z'))?.get('C'), '22P02')
    client.send(data.subarray(6), encode.query('SELECT 1'))
    assert.equal((await client.until('Z')).map((frame) => frame.type).join(''), 'TDCZ')
    assert.ok(await stillThere())
  })

  it('are put together again, whatever they are', async () => {
    using client = await open()
    const pipeline = Buffer.concat([
      encode.parse('one', 'SELECT 1 AS one'),
      encode.describe('statement', 'one'),
      encode.bind('', 'one'),
      encode.describe('portal', ''),
      encode.execute(''),
      encode.close('statement', 'one'),
      encode.sync,
    ])
    for (const byte of pipeline) {
      client.send(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal((await client.until('Z')).map((frame) => frame.type).join(''), '1tT2TDC3Z')
  })
})
