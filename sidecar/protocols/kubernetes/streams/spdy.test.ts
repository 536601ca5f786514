/** Streams that a client of SPDY opens, as a real compressor writes their headers; and what is none. */
import assert from 'node:assert/strict'
import { deflateSync } from 'node:zlib'
import { SpdyReader } from './spdy.ts'
import { headerDictionary } from './spdy-dictionary.ts'
import { block, control, data, number, ofPort, type Pairs, SpdyClient } from './testing.ts'

describe('a client of SPDY', () => {
  it('opens streams, whose headers are read one after the other, however they are cut', async () => {
    const client = new SpdyClient()
    const frames = [
      await client.opens(1, ofPort('8080', 'error')),
      await client.opens(3, ofPort('8080', 'data')),
      data(3, 'GET / HTTP/1.1\r\n\r\n'),
      control(6, number(1)),
      await client.opens(5, ofPort('22', 'data')),
    ]
    const whole = Buffer.concat(frames)
    for (const size of [1, 7, whole.length]) {
      using reader = new SpdyReader()
      const opened: (string | undefined)[] = []
      const passed: Buffer[] = []
      for (let at = 0; at < whole.length; at += size) {
        const read = await reader.push(whole.subarray(at, at + size))
        assert.ok(read.ok)
        for (const { bytes, frame } of read.value) {
          passed.push(Buffer.from(bytes))
          if (frame.kind === 'opens')
            opened.push(`${frame.headers.get('streamtype')} ${frame.headers.get('port')}`)
        }
      }
      assert.deepEqual(opened, ['error 8080', 'data 8080', 'data 22'])
      assert.ok(Buffer.concat(passed).equals(whole))
    }
  })

  it('sends data that is passed as it comes, however long a frame of it is', async () => {
    using reader = new SpdyReader()
    const head = Buffer.from([0, 0, 0, 3, 0, 0xff, 0xff, 0xff])
    for (const chunk of [head, Buffer.alloc(1), Buffer.alloc(0xfffffe)]) {
      const read = await reader.push(chunk)
      assert.ok(read.ok)
      assert.ok(Buffer.concat(read.value.map(({ bytes }) => bytes)).equals(chunk))
    }
    const behind = await reader.push(await new SpdyClient().opens(5, ofPort('22', 'data')))
    assert.ok(behind.ok)
    const [{ frame } = { frame: undefined }] = behind.value
    assert.equal(frame?.kind === 'opens' && frame.headers.get('port'), '22')
  })

  const opening = (pairs: Pairs) => () => new SpdyClient().opens(1, pairs)
  const raw = (plain: Buffer) => async () =>
    control(1, Buffer.concat([Buffer.alloc(10), await new SpdyClient().compress(plain)]))
  const stream22 = () => new SpdyClient().opens(5, ofPort('22', 'data'))
  const flagged = (frame: Buffer): Buffer => Buffer.from(frame.map((byte, at) => (at === 4 ? 1 : byte)))
  const afterTheEnd = async (): Promise<Buffer> => {
    const ended = (pairs: Pairs): Buffer =>
      control(
        1,
        Buffer.concat([Buffer.alloc(10), deflateSync(block(pairs), { dictionary: headerDictionary })]),
      )
    return Buffer.concat([ended(ofPort('8080', 'data')), ended(ofPort('22', 'data')), await stream22()])
  }
  const problems: (readonly [string, () => Promise<Buffer>])[] = [
    ['a port twice', opening([...ofPort('8080', 'data'), ['port', '22']])],
    ['two ports in one', opening(ofPort('8080\0' + '22', 'data'))],
    ['a name in capitals', opening([...ofPort('8080', 'data'), ['Port', '22']])],
    ['a name with a space', opening([...ofPort('8080', 'data'), ['port ', '22']])],
    [
      'headers behind the last one',
      raw(Buffer.concat([block(ofPort('8080', 'data')), block(ofPort('22', 'data'))])),
    ],
    ['fewer headers than there are', raw(block(ofPort('8080', 'data'), 2))],
    ['more headers than there are', raw(block(ofPort('8080', 'data'), 4))],
    ['more headers than there can be', raw(block([], 0xffffffff))],
    [
      'a text that is longer than it is',
      raw(Buffer.concat([number(1), number(0xffffffff), Buffer.from('port')])),
    ],
    ['headers of far more than they seem', raw(Buffer.alloc(4 * 1024 * 1024))],
    ['a value of far more than it seems', opening([['streamtype', ' '.repeat(900_000)]])],
    ['another dictionary', () => new SpdyClient(Buffer.from('another')).opens(1, ofPort('8080', 'data'))],
    ['headers that are not compressed', async () => control(1, Buffer.alloc(30, 0x41))],
    ['further headers of a stream', () => new SpdyClient().opens(1, ofPort('8080', 'data'), 8)],
    ['the answer to a stream', () => new SpdyClient().opens(1, ofPort('8080', 'data'), 2)],
    ['another version', () => new SpdyClient().opens(1, ofPort('8080', 'data'), 1, 2)],
    ['a frame that nobody knows', async () => control(12, Buffer.alloc(4))],
    ['a stream that is cut off', async () => control(1, Buffer.alloc(9))],
    ['headers longer than any', async () => Buffer.from([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff])],
    ['settings', async () => control(4, Buffer.concat([number(1), Buffer.alloc(8)]))],
    [
      'settings that say there are fewer',
      async () => control(4, Buffer.concat([number(0), await stream22()])),
    ],
    ['a ping with a flag', async () => flagged(control(6, number(1)))],
    ['a stream that nobody may answer', async () => flagged(await stream22())],
    ['data with a flag that there is none of', async () => Buffer.from([0, 0, 0, 3, 2, 0, 0, 0])],
    ['headers behind the end of what is compressed', afterTheEnd],
  ]
  // what a server reads of these is of one length: behind that, it would read the next frame
  for (const [name, type, length] of [
    ['a reset', 3, 8],
    ['a ping', 6, 4],
    ['a farewell', 7, 8],
    ['a window', 9, 8],
  ] as const) {
    it(`sends ${name} of one length`, async () => {
      using reader = new SpdyReader()
      assert.equal((await reader.push(control(type, Buffer.alloc(length, 1)))).ok, true)
    })
    problems.push(
      [
        `${name} that hides a stream`,
        async () => control(type, Buffer.concat([Buffer.alloc(length, 1), await stream22()])),
      ],
      [`${name} that is too short`, async () => control(type, Buffer.alloc(length - 1, 1))],
    )
  }
  for (const [name, frame] of problems)
    it(`is not understood: ${name}`, async () => {
      using reader = new SpdyReader()
      const read = await reader.push(await frame())
      assert.equal(read.ok, false)
    })
})
