/** Frames of SPDY, cut anywhere, are read as they were written; bytes that are none are errors, and never more. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type SpdyFrame, SpdyReader } from './spdy.ts'
import { SpdyChannels } from './spdy-channels.ts'
import { control, number, type Pairs, SpdyClient } from './testing.ts'
import type { Message } from './web-socket.ts'

const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((each) => Buffer.from(each))
const streams = fc.nat(0x7fffffff)
const text = fc.string({ minLength: 1, maxLength: 20, unit: fc.constantFrom(...'abcxyz0189-') })
const headers: fc.Arbitrary<Pairs> = fc.uniqueArray(fc.tuple(text, text), {
  maxLength: 5,
  selector: ([name]) => name,
})

type Sent =
  | { readonly kind: 'opens'; readonly stream: number; readonly pairs: Pairs }
  | { readonly kind: 'data'; readonly stream: number; readonly data: Buffer; readonly isLast: boolean }
  | { readonly kind: 'resets'; readonly stream: number }
  | { readonly kind: 'pings'; readonly id: number }
  | { readonly kind: 'leaves' }

const sent: fc.Arbitrary<Sent> = fc.oneof(
  fc.record({ kind: fc.constant('opens' as const), stream: streams, pairs: headers }),
  fc.record({
    kind: fc.constant('data' as const),
    stream: streams,
    data: bytes(5_000),
    isLast: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('resets' as const), stream: streams }),
  fc.record({ kind: fc.constant('pings' as const), id: streams }),
  fc.record({ kind: fc.constant('leaves' as const) }),
)

async function written(client: SpdyClient, frame: Sent): Promise<Buffer> {
  switch (frame.kind) {
    case 'opens':
      return await client.opens(frame.stream, frame.pairs)
    case 'data': {
      const head = Buffer.concat([number(frame.stream), number(frame.data.length)])
      head.writeUInt8(frame.isLast ? 1 : 0, 4)
      return Buffer.concat([head, frame.data])
    }
    case 'resets':
      return control(3, Buffer.concat([number(frame.stream), number(5)]))
    case 'pings':
      return control(6, number(frame.id))
    case 'leaves':
      return control(7, Buffer.alloc(8))
  }
}

/** What was read, with what was one frame of data in one again. */
function joined(frames: readonly SpdyFrame[]): readonly Sent[] {
  const all: Sent[] = []
  let held = Buffer.alloc(0)
  for (const frame of frames)
    switch (frame.kind) {
      case 'opens':
        all.push({ kind: 'opens', stream: frame.stream, pairs: [...frame.headers] })
        break
      case 'data':
        held = Buffer.concat([held, frame.data])
        if (!frame.isWhole) break
        all.push({ kind: 'data', stream: frame.stream, data: held, isLast: frame.isLast })
        held = Buffer.alloc(0)
        break
      case 'widens':
        assert.fail('nobody has written it')
        break
      default:
        all.push(frame)
    }
  return all
}

function cut(whole: Buffer, places: readonly number[]): readonly Buffer[] {
  const ends = [...places.map((place) => place % (whole.length + 1)), whole.length].sort((a, b) => a - b)
  return ends.map((end, index) => whole.subarray(ends[index - 1] ?? 0, end))
}

describe('frames of SPDY', function () {
  this.timeout('1m')

  it('are read as they were written, however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(sent, { maxLength: 6 }), fc.array(fc.nat()), async (frames, places) => {
        const client = new SpdyClient()
        const parts: Buffer[] = []
        for (const frame of frames) parts.push(await written(client, frame))
        const whole = Buffer.concat(parts)
        using reader = new SpdyReader()
        const read: SpdyFrame[] = []
        const passed: Buffer[] = []
        for (const chunk of cut(whole, places)) {
          const pushed = await reader.push(chunk)
          assert.ok(pushed.ok)
          for (const { bytes: some, frame } of pushed.value) {
            passed.push(Buffer.from(some))
            read.push(frame)
          }
        }
        assert.deepEqual(
          joined(read),
          frames.map((frame) => ({ ...frame })),
        )
        assert.ok(Buffer.concat(passed).equals(whole))
      }),
      { numRuns: 200 },
    )
  })

  it('are an error where they are none, and nothing else', async () => {
    // most of what begins like a frame is one, as far as it goes
    const chunk = fc.oneof(
      bytes(40),
      fc.tuple(fc.constantFrom(1, 2, 3, 4, 6, 7, 8, 9), bytes(40)).map(([type, body]) => control(type, body)),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 6 }), async (chunks) => {
        using reader = new SpdyReader()
        for (const each of chunks) {
          const read = await reader.push(each)
          if (read.ok) continue
          assert.equal(typeof read.error, 'string')
          return
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('give a program what its client wrote to its input, and nothing else', async () => {
    const order = ['error', 'stdin', 'stdout', 'stderr'] as const
    const frame = fc.record({
      kind: fc.constant('data' as const),
      // of those that there are, mostly
      stream: fc.nat(9),
      data: bytes(50),
      isLast: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat()), async (frames, places) => {
        const client = new SpdyClient()
        using channels = new SpdyChannels(order)
        for (const [index, name] of order.entries()) {
          const opened = await channels.read(await client.opens(2 * index + 1, [['streamtype', name]]))
          assert.ok(opened.ok && opened.value.answer && opened.value.answer.length > 0)
        }
        const parts: Buffer[] = []
        for (const each of frames) parts.push(await written(client, each))
        const messages: Message[] = []
        for (const chunk of cut(Buffer.concat(parts), places)) {
          const read = await channels.read(chunk)
          if (!read.ok) break
          messages.push(...read.value.messages)
        }
        const given = Buffer.concat(
          messages.map((message) => {
            assert.ok(message.kind === 'data' && (message.bytes[0] === 0 || message.bytes[0] === 255))
            return message.bytes[0] === 0 ? message.bytes.subarray(1) : Buffer.alloc(0)
          }),
        )
        const over = new Set<number>()
        let isAllowed = true
        let input = Buffer.alloc(0)
        for (const { stream, data, isLast } of frames) {
          const isThere = [1, 3, 5, 7].includes(stream) && !over.has(stream)
          isAllowed &&= isThere && (stream === 3 || data.length === 0)
          if (isLast) over.add(stream)
          if (isAllowed && stream === 3) input = Buffer.concat([input, data])
        }
        // of what came before what is not, some may be lost
        assert.ok(input.subarray(0, given.length).equals(given))
        if (isAllowed) assert.equal(given.length, input.length)
      }),
      { numRuns: 300 },
    )
  })
})
