import assert from 'node:assert/strict'
import { manifests } from '../../../../test/policies.ts'
import { errorIn, RawClient, type ReceivedFrame } from '../../../../test/raw-client.ts'
import { Guard, Shop } from '../../../../test/shop.ts'
import * as encode from '../codec/encode.ts'
import { decodeDataRow } from '../codec/server-messages.ts'

const definitions = `
  CREATE DOMAIN remark AS text;
  CREATE TYPE contact AS (name text, address text);
  CREATE TABLE letters (id integer, body text, data jsonb, parts text[], note remark, sender contact, doc xml);
  INSERT INTO letters VALUES (1, 'write to ada@mail.example', '{"to": ["ada@mail.example", 5]}',
    ARRAY['a', 'ada@mail.example', NULL], 'ada@mail.example', ROW('Ada', 'ada@mail.example'), '<a>ada@mail.example</a>');
  INSERT INTO letters VALUES (2, 'nothing, "here"', '{"a":1}', '{}', NULL, ROW('Ben', NULL), '<a/>')`

describe('detectors of values in PostgreSQL', function () {
  this.timeout(120_000)
  let shop: Shop
  let guard: Guard

  before(async () => {
    shop = await Shop.start()
    await shop.admin('postgres', 'CREATE DATABASE mail')
    await shop.admin('mail', definitions)
    guard = await Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `127.0.0.1:${shop.postgres.port}`,
          database: 'mail',
          more: '  detection: { kinds: [email] }\n',
        }),
      },
      shop.postgres.password,
    )
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  const play = async (...messages: Buffer[]): Promise<readonly ReceivedFrame[]> => {
    const { client } = await RawClient.open(guard.address, { user: 'agent', database: 'mail' })
    using session = client
    session.send(...messages)
    return await session.until('Z')
  }

  const copied = async (sql: string): Promise<string> => {
    const frames = await play(encode.query(sql))
    assert.equal(errorIn(frames), undefined, errorIn(frames)?.get('D'))
    return frames
      .filter(({ type }) => type === 'd')
      .map(({ bytes }) => bytes.subarray(5).toString('utf8'))
      .join('')
  }

  /** The only value of the only row. */
  const value = async (expression: string, binary = false): Promise<Buffer | null | undefined> => {
    const bind = binary ? Buffer.from([0x42, 0, 0, 0, 14, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]) : encode.bind('', '')
    const frames = await play(
      encode.parse('', `SELECT ${expression} FROM letters WHERE id = 1`),
      bind,
      encode.describe('portal', ''),
      encode.execute(''),
      encode.sync,
    )
    assert.equal(errorIn(frames), undefined, errorIn(frames)?.get('M'))
    const row = frames.find(({ type }) => type === 'D')
    return row && decodeDataRow(row.bytes, 0, row.bytes.length)?.[0]
  }

  for (const [expression, expected] of [
    ['body', 'write to <email>'],
    ['upper(body)', 'WRITE TO <email>'],
    ['note', '<email>'],
    ['data', '{"to": ["<email>", 5]}'],
    ['parts', '{a,<email>,NULL}'],
    ['sender', '(Ada,<email>)'],
    ['doc', '<masked/>'],
    ['to_json(body)', '"write to <email>"'],
    ["('x' || id)::text", 'x1'],
  ] as const)
    it(`see ${expression}`, async () => assert.equal((await value(expression))?.toString(), expected))

  for (const [expression, expected] of [
    ['body', 'write to <email>'],
    ['data', '\u0001{"to": ["<email>", 5]}'],
    ['data::json', '{"to": ["<email>", 5]}'],
  ] as const)
    it(`see ${expression} in binary`, async () =>
      assert.equal((await value(expression, true))?.toString(), expected))

  it('see elements and columns in binary', async () => {
    const array = await value('parts', true)
    // one dimension of 3 with NULLs of type text, from 1: a, the address, NULL
    const head = '00000001 00000001 00000019 00000003 00000001'
    const elements = `00000001 61 00000007 ${Buffer.from('<email>').toString('hex')} ffffffff`
    assert.equal(array?.toString('hex'), `${head}${elements}`.replaceAll(' ', ''))
    const row = await value('sender', true)
    assert.ok(row?.includes('<email>') && row.includes('Ada') && !row.includes('ada@'))
    const nested = await value("ARRAY[ROW(1, body, ARRAY['b@c.example'])]", true)
    assert.ok(nested?.includes('<email>') && !nested.includes('@'))
  })

  for (const [sql, expected] of [
    ['COPY letters (id, body) TO STDOUT', '1\twrite to <email>\n2\tnothing, "here"\n'],
    [
      'COPY letters (id, body, parts) TO STDOUT (FORMAT csv, HEADER)',
      'id,body,parts\n1,"write to <email>","{a,<email>,NULL}"\n2,"nothing, ""here""",{}\n',
    ],
    ['COPY (SELECT upper(body) FROM letters) TO STDOUT', 'WRITE TO <email>\nNOTHING, "HERE"\n'],
    [
      'COPY (SELECT data, note FROM letters) TO STDOUT CSV',
      '"{""to"": [""<email>"", 5]}","<email>"\n"{""a"": 1}",\n',
    ],
    [
      "COPY (SELECT id, body || E'\\n\\t\\\\' FROM letters) TO STDOUT",
      '1\twrite to <email>\\n\\t\\\\\n2\tnothing, "here"\\n\\t\\\\\n',
    ],
    ["COPY (SELECT id * 1000, now() > '2020-01-01' FROM letters) TO STDOUT", '1000\tt\n2000\tt\n'],
  ] as const)
    it(`see ${sql.slice(0, 70)}`, async () => assert.equal(await copied(sql), expected))

  it('see binary COPY of columns', async () => {
    const rows = await copied('COPY letters (id, body, data, parts, sender) TO STDOUT (FORMAT binary)')
    assert.ok(rows.includes('<email>') && !rows.includes('ada@mail'))
    assert.ok(rows.includes('nothing, "here"'))
  })

  it('refuse binary COPY of computed values, whose types nobody tells', async () => {
    const error = errorIn(
      await play(encode.query('COPY (SELECT upper(body) FROM letters) TO STDOUT (FORMAT binary)')),
    )
    assert.equal(error?.get('C'), '42501')
    assert.match(error?.get('D') ?? '', /types of computed columns/)
  })
})
