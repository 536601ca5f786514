import assert from 'node:assert/strict'
import { manifests } from '../../../../test/policies.ts'
import { RawClient } from '../../../../test/raw-client.ts'
import { Guard, Shop } from '../../../../test/shop.ts'
import * as encode from '../codec/encode.ts'

const { bind, close, execute, parse, query, sync } = encode
const harmless = 'SELECT upper(name) FROM customers'
const secret = 'SELECT upper(ssn) FROM customers'
const failing = parse('', 'SELECT 1/0')

/** Ways to make a name mean one statement at the server while the gateway takes it for another. */
const confusions: readonly { readonly name: string; readonly groups: readonly (readonly Buffer[])[] }[] = [
  {
    name: 'a message fails after the name was given anew',
    groups: [
      [query(`PREPARE a AS ${harmless}`)],
      [query(`DEALLOCATE a; PREPARE a AS ${secret}; SELECT 1/0`)],
      [query('EXECUTE a')],
      [bind('', 'a'), execute(''), sync],
    ],
  },
  {
    name: 'a pipeline fails whose Close was sent again by the next one',
    groups: [
      [parse('a', harmless), sync],
      [
        failing,
        bind('', ''),
        execute(''),
        close('statement', 'a'),
        sync,
        close('statement', 'a'),
        parse('a', secret),
        sync,
      ],
      [],
      [bind('', 'a'), execute(''), sync],
      [query('EXECUTE a')],
    ],
  },
  {
    name: 'a Parse fails while the name is taken away and given anew',
    groups: [
      [parse('a', harmless), sync],
      [
        parse('a', harmless),
        close('statement', 'a'),
        sync,
        close('statement', 'a'),
        parse('a', secret),
        sync,
      ],
      [],
      [bind('', 'a'), execute(''), sync],
    ],
  },
  {
    name: 'a portal is bound anew after a pipeline that failed',
    groups: [
      [parse('h', harmless), parse('s', secret), sync],
      [query('BEGIN')],
      [bind('p', 'h'), sync],
      [query('SAVEPOINT x')],
      [
        failing,
        bind('', ''),
        execute(''),
        close('portal', 'p'),
        sync,
        query('ROLLBACK TO x'),
        close('portal', 'p'),
        bind('p', 's'),
        sync,
      ],
      [],
      [],
      [execute('p'), sync],
      [query('FETCH ALL FROM p')],
    ],
  },
  {
    name: 'a cursor is made where a portal was',
    groups: [
      [parse('h', harmless), bind('p', 'h'), sync],
      [query('BEGIN')],
      [query(`DECLARE p CURSOR FOR ${secret}; SELECT 1/0`)],
      [query('ROLLBACK')],
      [query('BEGIN')],
      [query(`DECLARE p CURSOR WITH HOLD FOR ${secret}`)],
      [query('COMMIT')],
      [execute('p'), sync],
      [query('FETCH BACKWARD ALL FROM p')],
    ],
  },
]

describe('A name means the same at the gateway and at the server when', function () {
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
          classification: '[{tags: [pii/ssn], columns: [public.customers.ssn]}]',
          rules: `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}
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

  for (const { name, groups } of confusions) {
    it(name, async () => {
      const { client } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
      using session = client
      let heard = ''
      for (const group of groups) {
        if (group.length > 0) session.send(...group)
        const frames = await session.until('Z')
        heard += frames.map(({ bytes }) => bytes.toString('latin1')).join('')
      }
      assert.doesNotMatch(heard, /41[0-9]-22/)
      assert.match(heard, /\*\*\*|ADA OKAFOR/, 'the commands did run')
      assert.ok(!session.closed)
    })
  }

  it('messages that COPY swallows, or that an error skips, do not lend their meaning to the next', async () => {
    const attempts: readonly (readonly Buffer[])[] = [
      [query('COPY carts (note) FROM STDIN'), query(harmless), query(secret)],
      [
        query('COPY carts (note) FROM STDIN; COPY carts (note) FROM STDIN'),
        encode.copyFail('x'),
        query(harmless),
        query(secret),
      ],
      [
        parse('', 'COPY carts (note) FROM STDIN'),
        bind('', ''),
        execute(''),
        query(harmless),
        query(secret),
        sync,
        query(secret),
      ],
      [parse('', 'no SQL'), query(harmless), query(harmless), sync, query(secret)],
      [
        parse('', harmless),
        bind('', 'nothing'),
        query(harmless),
        query(harmless),
        sync,
        query(secret),
        query(secret),
      ],
    ]
    for (const [index, messages] of attempts.entries()) {
      const { client } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
      using session = client
      session.send(...messages, encode.copyFail('x'), sync, query("SELECT 'the end'"))
      let heard = ''
      while (!session.closed && !heard.includes('the end'))
        heard += (await session.until('Z')).map(({ bytes }) => bytes.toString('latin1')).join('')
      assert.doesNotMatch(heard, /41[0-9]-22/, String(index))
      assert.match(heard, /the end|08P01/, String(index))
    }
  })

  it('a Close right after an error begins a pipeline whose query is understood', async () => {
    const { client } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
    using session = client
    session.send(query('SELECT 1/0'))
    await session.until('Z')
    session.send(close('portal', 'gone'), query(harmless))
    const frames = await session.until('Z')
    assert.match(frames.map(({ bytes }) => bytes.toString('latin1')).join(''), /ADA OKAFOR/)
  })
})
