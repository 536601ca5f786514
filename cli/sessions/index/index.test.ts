import assert from 'node:assert/strict'
import { chmodSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nameOfSigner } from '@firebreak/sidecar/recording/header.ts'
import { parseIdentities } from '@firebreak/sidecar/recording/keys.ts'
import { DirectoryStore } from '@firebreak/sidecar/recording/stores/directory.ts'
import { newSigner } from '@firebreak/sidecar/recording/testdata/recordings.ts'
import { hostile, RecordedShop } from '../../../test/recorded-shop.ts'
import { openIndex } from './database.ts'
import { listSessions } from './query.ts'
import { type Progress, updateIndex } from './update.ts'
import { IndexWriter } from './writer.ts'

type Json = Readonly<Record<string, unknown>>

describe('firebreak sessions list and search', function () {
  this.timeout(600_000)
  let shop: RecordedShop
  let ids: string[]

  before(async () => {
    shop = await RecordedShop.start([
      async (client) => {
        await client.query('SELECT id, email FROM customers ORDER BY id')
        await client.query('DROP TABLE orders').catch(() => {})
      },
      async (client) => {
        await client.query("SELECT 'zebra crossing' AS animal")
        await client.query('SELECT $1::text AS said', [hostile])
        await client.query('UPDATE orders SET id = id WHERE false')
      },
      (client) => client.query('SELECT count(*) FROM orders'),
    ])
    ids = readdirSync(join(shop.directory, 'recordings'))
      .map((name) => name.replace('.fbrec', ''))
      .sort()
  })
  after(() => shop[Symbol.asyncDispose]())

  function json(...words: string[]): Json[] {
    const { output, stderr } = shop.firebreak('sessions', ...words, '--json')
    assert.equal(stderr, '')
    return output
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Json)
  }
  /** Places of the sessions in {@link ids}. */
  const listed = (...words: string[]): number[] =>
    json('list', ...words).map(({ id }) => ids.indexOf(String(id)))

  const indexFile = (): string => {
    const directory = join(shop.directory, 'home/firebreak/sessions')
    return join(directory, readdirSync(directory).find((name) => name.endsWith('.sqlite')) ?? '')
  }

  it('list sessions, the newest first, with what happened in them', () => {
    assert.deepEqual(
      json('list').map(({ id, identity, resource, role, commands, denied, state }) => [
        ...[id, identity, resource, role, commands, denied, state],
      ]),
      [
        [ids[2], 'default/tester', 'default/shop', 'agent', 1, 0, 'ended'],
        [ids[1], 'default/tester', 'default/shop', 'agent', 3, 0, 'ended'],
        [ids[0], 'default/tester', 'default/shop', 'agent', 2, 1, 'ended'],
      ],
    )
    const { output } = shop.firebreak('sessions', 'list')
    assert.match(output, /^STARTED +SESSION +AGENT .*\n.* default\/tester +default\/shop +agent +1 +0 +0 /)
  })

  it('list those that a filter is about', () => {
    for (const [words, expected] of [
      [
        ['--identity', 'tester'],
        [2, 1, 0],
      ],
      [
        ['--identity', 'default/te*'],
        [2, 1, 0],
      ],
      [['--identity', 'other/tester'], []],
      [
        ['--resource', 'shop', '--role', 'agent'],
        [2, 1, 0],
      ],
      [['--role', 'admin'], []],
      [
        ['--since', '1h'],
        [2, 1, 0],
      ],
      [['--until', '1h'], []],
      [['--since', '2020-01-01', '--until', '2021-01-01', '--action', 'sql:select'], []],
      [['--action', 'sql:drop'], [0]],
      [
        ['--action', 'sql:*', '--limit', '2'],
        [2, 1],
      ],
      [['--decision', 'deny'], [0]],
      [['--decision', 'hold'], []],
      [
        ['--decision', 'allow', '--object', 'table public.orders'],
        [2, 1],
      ],
      [['--object', 'table public.cust*'], [0]],
      [
        ['--object', 'public.orders'],
        [2, 1, 0],
      ],
      [['--object', 'orders'], []],
      [['--text', 'zebra'], [1]],
      [['--text', 'zebra', '--identity', 'nobody'], []],
      [['--text', 'count', '--since', '1h', '--action', 'sql:select'], [2]],
    ] as const)
      assert.deepEqual(listed(...words), expected, words.join(' '))
  })

  it('search commands and what was answered', () => {
    const found = (...words: string[]): unknown[] =>
      json('search', ...words).map(({ session, command }) => [ids.indexOf(String(session)), command])
    assert.deepEqual(found('drop', 'orders'), [[0, 2]])
    assert.deepEqual(found('"crossing zebra"'), [])
    assert.deepEqual(found('zeb*'), [[1, 1]])
    // only in the answer
    assert.deepEqual(found('denied'), [[0, 2]])
    assert.deepEqual(found('animal', '--decision', 'deny'), [])
    // a word of an index's own is no word of a session
    assert.deepEqual(found('f1'), [])
    // nor is anything of the index's language
    assert.deepEqual(found('NOT', 'labels:f1)', '(zebra*', '^"x'), [])
    assert.deepEqual(found('zebra* "crossing'), [[1, 1]])
    assert.equal(shop.firebreak('sessions', 'search', '--', '--').status, 2)
  })

  it('find nothing of what was masked', () => {
    assert.deepEqual(json('search', 'person1'), [])
    assert.doesNotMatch(readFileSync(indexFile(), 'latin1'), /person[123]@/)
  })

  it('obey nothing that was recorded', () => {
    const { output } = shop.firebreak('sessions', 'search', 'attacker')
    assert.ok(output.includes('\\u{1b}]0;own\\u{7}\\u{202e}gnp'))
    assert.doesNotMatch(output, /[^\P{C}\n]|\p{Zl}/u)
  })

  it('keep the index for its owner alone', () => {
    assert.equal(statSync(indexFile()).mode & 0o777, 0o600)
    chmodSync(indexFile(), 0o644)
    assert.match(shop.firebreak('sessions', 'list').stderr, /other users may read it/)
    chmodSync(indexFile(), 0o600)
  })

  it('show headers alone to who has no key, whatever was indexed before', () => {
    const key = join(shop.directory, 'recording-keys/reader.txt')
    renameSync(key, `${key}.away`)
    try {
      assert.deepEqual(listed('--resource', 'sh?p', '--identity', 'tester'), [0, 1, 2])
      assert.deepEqual(listed('--resource', 'nothing'), [])
      assert.deepEqual(Object.keys(json('list')[0] ?? {}).includes('commands'), false)
      assert.match(shop.firebreak('sessions', 'list', '--text', 'x').stderr, /--key FILE is needed/)
      assert.match(shop.firebreak('sessions', 'search', 'x').stderr, /--key FILE is needed/)
    } finally {
      renameSync(`${key}.away`, key)
    }
  })

  it('go on indexing where it was stopped', async () => {
    await using store = await DirectoryStore.open(join(shop.directory, 'recordings'))
    const keys = parseIdentities(readFileSync(join(shop.directory, 'recording-keys/reader.txt'), 'utf8'))
    const database = openIndex(join(shop.directory, 'stopped.sqlite'))
    const update = (): Promise<Progress> =>
      updateIndex(new IndexWriter(database), store, { keys, trusted: undefined }, () => {})
    const open = store.open.bind(store)
    store.open = async (id) => {
      const source = await open(id)
      if (source && id === ids[1]) {
        const read = source.read.bind(source)
        source.read = (position, length) =>
          position > 2000 ? Promise.reject(new Error('the place is gone')) : read(position, length)
      }
      return source
    }
    await assert.rejects(update(), /the place is gone/)
    store.open = open
    const indexed = (): string[] => listSessions(database, {}, 10).map(({ id }) => id)
    assert.deepEqual(indexed(), [ids[0]])
    assert.deepEqual(await update(), { recordings: 2, commands: 4, forgotten: 0 })
    assert.deepEqual(indexed(), ids.toReversed())
    database.close()
  })

  it('believe nobody but who is trusted now, whoever was trusted when it was indexed', () => {
    const other = `--signer=${nameOfSigner(newSigner())}`
    const found = (...words: string[]): number => json('search', 'zebra', ...words).length
    const states = (...words: string[]): unknown[] => json('list', ...words).map(({ state }) => state)
    assert.equal(found(), 1)
    assert.equal(found(other), 0)
    assert.deepEqual(states(other), ['altered', 'altered', 'altered'])
    assert.equal(shop.firebreak('sessions', 'list', '--as-indexed', other).status, 2)
    assert.equal(found(), 1)
    assert.deepEqual(states(), ['ended', 'ended', 'ended'])
  })

  it('go on with what is new, up to the first altered block, and forget what is gone', () => {
    const path = (id = ''): string => join(shop.directory, 'recordings', `${id}.fbrec`)
    const again = (): string => shop.firebreak('sessions', 'index').output
    assert.match(again(), /: 0 recordings and 0 commands indexed, 0 recordings gone/)
    assert.match(
      shop.firebreak('sessions', 'index', '--rebuild').output,
      /: 3 recordings and 6 commands indexed/,
    )
    const bytes = readFileSync(path(ids[1]))
    const altered = Buffer.concat([bytes, Buffer.from('more')])
    writeFileSync(path(ids[1]), altered)
    assert.match(again(), /: 1 recordings and 3 commands indexed/)
    const [, session] = json('list')
    assert.equal(session?.state, 'altered')
    assert.match(String(session?.problem), /altered at byte/)
    assert.equal(json('search', 'zebra').length, 1)
    rmSync(path(ids[1]))
    assert.deepEqual(listed('--as-indexed'), [2, 1, 0])
    assert.match(again(), /: 0 recordings and 0 commands indexed, 1 recordings gone/)
    assert.deepEqual(listed(), [2, 0])
    assert.deepEqual(json('search', 'zebra'), [])
    assert.ok(!readFileSync(indexFile()).includes('zebra'))
    assert.ok(readFileSync(indexFile()).includes('table public.customers'))
    rmSync(path(ids[0]))
    assert.match(again(), /, 1 recordings gone/)
    assert.ok(!readFileSync(indexFile()).includes('customers'), 'nor the name of an object of it alone')
    assert.deepEqual(listed('--object', 'table public.orders'), [2])
  })
})
