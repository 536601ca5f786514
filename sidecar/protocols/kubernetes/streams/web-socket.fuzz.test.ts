/** Messages written as frames, cut anywhere, are read as they were; bytes that are none are errors, and never more. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { frameOf, type Message, MessageReader, maximumMessage, type Side } from './web-socket.ts'

const sides = fc.constantFrom<Side>('client', 'server')
const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((each) => Buffer.from(each))
const messages: fc.Arbitrary<Message> = fc.oneof(
  bytes(70_000).map((each): Message => ({ kind: 'data', bytes: each })),
  bytes(125).map((each): Message => ({ kind: 'ping', bytes: each })),
  bytes(125).map((each): Message => ({ kind: 'pong', bytes: each })),
)

async function readAll(side: Side, chunks: readonly Buffer[]): Promise<readonly Message[] | string> {
  using reader = new MessageReader(side)
  const all: Message[] = []
  for (const chunk of chunks) {
    const read = await reader.push(chunk)
    if (!read.ok) return read.error
    all.push(...read.value)
  }
  return all
}

function cut(whole: Buffer, places: readonly number[]): readonly Buffer[] {
  const ends = [...places.map((place) => place % (whole.length + 1)), whole.length].sort((a, b) => a - b)
  return ends.map((end, index) => whole.subarray(ends[index - 1] ?? 0, end))
}

describe('frames of WebSocket', function () {
  this.timeout('1m')

  it('are read as they were written, however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        sides,
        fc.array(messages, { maxLength: 5 }),
        fc.array(fc.nat()),
        async (side, sent, places) => {
          const close: Message = { kind: 'close', code: 1000, reason: Buffer.from('over') }
          const whole = Buffer.concat([...sent, close].map((message) => frameOf(message, side)))
          assert.deepEqual(await readAll(side, cut(whole, places)), [...sent, close])
        },
      ),
      { numRuns: 200 },
    )
  })

  it('are an error where they are none, and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(sides, fc.array(bytes(40), { maxLength: 6 }), async (side, chunks) => {
        const read = await readAll(side, chunks)
        assert.ok(typeof read === 'string' || Array.isArray(read))
      }),
      { numRuns: 500 },
    )
  })

  const data = frameOf({ kind: 'data', bytes: Buffer.from('x') }, 'client')
  const changed = (at: number, to: number): Buffer =>
    Buffer.from(data.map((byte, index) => (index === at ? to : byte)))
  const broken: readonly (readonly [string, Side, Buffer])[] = [
    ['unmasked, from a client', 'client', frameOf({ kind: 'data', bytes: Buffer.from('x') }, 'server')],
    ['masked, from a server', 'server', data],
    ['compressed', 'client', changed(0, 0xc2)],
    ['of an operation that there is none of', 'client', changed(0, 0x83)],
    ['the rest of nothing', 'client', changed(0, 0x80)],
    ['a ping in parts', 'client', changed(0, 0x09)],
    ['a close of one byte', 'client', changed(0, 0x88)],
    ['of text that is none', 'client', Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0xff])],
    ['of two to the 63', 'client', Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
    [
      'longer than any',
      'client',
      frameOf({ kind: 'data', bytes: Buffer.alloc(maximumMessage + 1) }, 'client'),
    ],
  ]
  for (const [name, side, frame] of broken)
    it(`are an error: ${name}`, async () => {
      assert.equal(typeof (await readAll(side, [frame])), 'string')
    })

  it('end with the close: what comes behind it is nothing', async () => {
    const close = frameOf({ kind: 'close', code: 1000, reason: Buffer.alloc(0) }, 'client')
    const read = await readAll('client', [Buffer.concat([close, data]), data])
    assert.deepEqual(read, [{ kind: 'close', code: 1000, reason: Buffer.alloc(0) }])
  })

  it('of a message in parts are one message, up to what one may be', async () => {
    const part = (opcode: number): Buffer => {
      const frame = frameOf({ kind: 'data', bytes: Buffer.alloc(maximumMessage / 2 + 1) }, 'server')
      frame[0] = opcode
      return frame
    }
    assert.equal(typeof (await readAll('server', [part(0x02), part(0x80)])), 'string')
  })
})
