import assert from 'node:assert/strict'
import { manifests } from '../../../../test/policies.ts'
import { RawClient } from '../../../../test/raw-client.ts'
import { Guard, Shop } from '../../../../test/shop.ts'
import * as encode from '../codec/encode.ts'

/** Runs up to a number of rows, 0 being all. */
function execute(portal: string, rows: number): Buffer {
  const message = encode.execute(portal)
  message.writeInt32BE(rows, message.length - 4)
  return message
}

const { bind, close, parse, query, sync } = encode
const read = 'SELECT n AS read FROM generate_series(1, 10) n'
const readAgain = 'SELECT n AS "read again" FROM generate_series(1, 10) n'
const begin = [query('BEGIN')]
const started = [parse('', read), bind('', ''), execute('', 2)]
const named = [parse('s', read), bind('p', 's'), execute('p', 2)]

interface End {
  readonly name: string
  /** Messages in groups; the answer to each is awaited up to its ReadyForQuery. */
  readonly groups: readonly (readonly Buffer[])[]
  /** Rows of the audit lines of the reading command, in order. */
  readonly rows: readonly number[]
}

/** Everything that can end a command whose portal has only been read in part. */
const ends: readonly End[] = [
  {
    name: 'its portal is bound again',
    groups: [[...started, bind('', ''), execute('', 3), sync]],
    rows: [2, 3],
  },
  {
    name: 'its portal is bound to another statement',
    groups: [begin, [...started, sync], [parse('', readAgain), bind('', ''), sync]],
    rows: [2],
  },
  {
    name: 'its portal is bound to nothing',
    groups: [begin, [...started, sync], [parse('', ''), bind('', ''), execute('', 0), sync]],
    rows: [2],
  },
  { name: 'its portal is closed', groups: [begin, [...named, close('portal', 'p'), sync]], rows: [2] },
  {
    name: 'its portal is closed later, and made again',
    groups: [
      begin,
      [...named, sync],
      [close('portal', 'p'), bind('p', 's'), execute('p', 4), close('portal', 'p'), sync],
    ],
    rows: [2, 4],
  },
  {
    name: 'its statement is closed, after which the portal still goes on',
    groups: [begin, [...named, close('statement', 's'), execute('p', 3), sync], [query('COMMIT')]],
    rows: [5],
  },
  { name: 'the pipeline ends', groups: [[...named, sync]], rows: [2] },
  { name: 'the transaction is committed', groups: [begin, [...named, sync], [query('COMMIT')]], rows: [2] },
  {
    name: 'the transaction is rolled back by a pipeline',
    groups: [begin, [...named, sync], [parse('', 'ROLLBACK'), bind('', ''), execute('', 0), sync]],
    rows: [2],
  },
  { name: 'cursors are closed', groups: [begin, [...named, sync], [query('CLOSE p')]], rows: [2] },
  { name: 'all cursors are closed', groups: [begin, [...named, sync], [query('CLOSE ALL')]], rows: [2] },
  { name: 'everything is discarded', groups: [[...named, sync], [query('DISCARD ALL')]], rows: [2] },
  {
    name: 'a simple query takes the unnamed portal',
    groups: [begin, [...started, sync], [query('SELECT 1')]],
    rows: [2],
  },
  {
    name: 'another command of the pipeline fails',
    groups: [[...named, parse('', 'SELECT 1/0'), bind('', ''), execute('', 0), execute('p', 2), sync]],
    rows: [2],
  },
  {
    name: 'the transaction fails',
    groups: [begin, [...named, sync], [query('SELECT 1/0')], [execute('p', 2), sync], [query('ROLLBACK')]],
    rows: [2],
  },
  {
    name: 'another command is refused',
    groups: [begin, [...named, sync], [query('DROP TABLE orders')], [query('ROLLBACK')]],
    rows: [2],
  },
  { name: 'it is read to its end', groups: [[...named, execute('p', 0), sync]], rows: [10] },
  {
    name: 'it is read on after its end',
    groups: [[...named, execute('p', 0), execute('p', 0), sync]],
    rows: [10, 0],
  },
  {
    name: 'pipelines follow each other without waiting',
    groups: [
      [
        ...started,
        sync,
        parse('', read),
        bind('', ''),
        execute('', 3),
        sync,
        bind('', ''),
        execute('', 0),
        sync,
      ],
      [],
      [],
    ],
    rows: [2, 3, 10],
  },
  {
    name: 'a cursor is read by messages, rewound and read again',
    groups: [
      begin,
      [query(`DECLARE c SCROLL CURSOR FOR ${read}`)],
      [execute('c', 0), sync],
      [query('MOVE BACKWARD ALL FROM c')],
      [execute('c', 4), sync],
      [query('COMMIT')],
    ],
    rows: [10, 4],
  },
  {
    name: 'a savepoint is gone back to, and it goes on',
    groups: [
      begin,
      [...named, sync],
      [query('SAVEPOINT s')],
      [query('SELECT 1/0')],
      [query('ROLLBACK TO s')],
      [execute('p', 3), sync],
      [query('COMMIT')],
    ],
    rows: [5],
  },
]

describe('A command whose portal was read in part has its audit line when', function () {
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
          rules: `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: no-drop, match: {actions: ["sql:drop"]}, effect: deny}
`,
        }),
      },
      shop.postgres.password,
    )
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  const open = async (): Promise<RawClient> =>
    (await RawClient.open(guard.address, { user: 'agent', database: 'shop' })).client
  let seen = 0
  /** Rows of the reading command's lines that were written since the last time: as many as are due, and any that are too many. */
  const newRows = async (due: number): Promise<unknown[]> => {
    const reading = await guard.auditLines(
      ({ event, text, rows }) =>
        event === 'command' &&
        String(text).includes('AS read') &&
        (rows !== 0 || !String(text).startsWith('DECLARE')),
      seen + due,
    )
    const fresh = reading.slice(seen)
    seen = reading.length
    return fresh.map((line) => line.rows)
  }

  for (const { name, groups, rows } of ends) {
    it(name, async () => {
      using client = await open()
      let delivered = 0
      for (const group of groups) {
        if (group.length > 0) client.send(...group)
        const frames = await client.until('Z')
        delivered += frames.filter(({ type, bytes }) => type === 'D' && bytes.length < 20).length
      }
      assert.deepEqual(await newRows(rows.length), rows)
      assert.ok(delivered >= rows.reduce((sum, count) => sum + count, 0))
    })
  }

  it('the client says goodbye, is cut off, or the server ends the session', async () => {
    for (const way of ['terminate', 'destroy', 'killed'] as const) {
      using client = await open()
      client.send(...begin)
      await client.until('Z')
      client.send(...named, sync)
      await client.until('Z')
      if (way === 'terminate') client.send(encode.terminate)
      else if (way === 'destroy') client.socket.destroy()
      else
        await shop.admin(
          'postgres',
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'",
        )
      await client.until('Z')
      assert.deepEqual(await newRows(1), [2], way)
    }
  })

  it('the client goes away in the middle of a result', async () => {
    using client = await open()
    client.send(query('SELECT n AS read FROM generate_series(1, 10000000) n'))
    await client.until('D')
    client.socket.destroy()
    const [rows, ...more] = await newRows(1)
    assert.ok(Number(rows) > 0)
    assert.deepEqual(more, [])
  })

  it('the server knows a portal of that name and the gateway does not', async () => {
    using client = await open()
    client.send(execute('nothing', 0), sync)
    const frames = await client.until('Z')
    assert.equal(frames.map((frame) => frame.type).join(''), 'EZ')
    assert.match(String(frames[0]?.bytes), /34000.*portal "nothing" does not exist/s)
  })
})
