import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  decodeBind,
  decodeExecute,
  decodeOpening,
  decodeParse,
  decodeQuery,
  decodeTarget,
} from './client-messages.ts'
import * as encode from './encode.ts'
import { FrameReader, type FrameRules } from './frame-reader.ts'
import {
  decodeBackendKey,
  decodeCommandTag,
  decodeCopyResponse,
  decodeDataRow,
  decodeErrorFields,
  decodeParameterStatus,
  decodeRowDescription,
} from './server-messages.ts'
import { clientRules, serverRules } from './types.ts'

/** What a reader makes of chunks: type letter and bytes of each frame, pieces put together, and the problem at the end. */
function read(chunks: readonly Buffer[], rules = serverRules, streaming = false): string[] {
  const reader = new FrameReader(rules)
  reader.streaming = streaming
  const seen: string[] = []
  let open = ''
  for (const chunk of chunks) {
    reader.push(chunk)
    for (;;) {
      const result = reader.next()
      if (result === 'more') break
      if (result === 'error') return [...seen, `error ${reader.problem}`]
      const bytes = reader.buffer.toString('hex', reader.start, reader.end)
      if (result === 'frame') seen.push(bytes)
      else {
        open += bytes
        if (reader.last) {
          seen.push(open)
          open = ''
        }
      }
    }
  }
  return seen
}

/** Any sequence of frames that one side may send; types of a fixed length have it. */
function framesOf(rules: FrameRules): fc.Arbitrary<Buffer[]> {
  const types = Array.from({ length: 256 }, (_, type) => type).filter((type) => rules.maximumLength(type))
  return fc.array(
    fc.tuple(fc.constantFrom(...types), fc.uint8Array({ maxLength: 40 })).map(([type, payload]) => {
      const maximum = (rules.maximumLength(type) ?? 4) - 4
      const header = Buffer.from([type, 0, 0, 0, 4 + Math.min(payload.length, maximum)])
      return Buffer.concat([header, payload.subarray(0, maximum)])
    }),
    { maxLength: 12 },
  )
}

function cutUp(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  let position = 0
  for (const cut of [...cuts, bytes.length]) {
    if (position < bytes.length) chunks.push(bytes.subarray(position, position + cut))
    position += cut
  }
  return chunks
}

describe('PostgreSQL codec', () => {
  for (const [side, rules] of [
    ['server', serverRules],
    ['client', clientRules],
  ] as const) {
    it(`sees the same frames of a ${side} however the bytes are cut`, () => {
      fc.assert(
        fc.property(
          framesOf(rules),
          fc.array(fc.integer({ min: 1, max: 30 })),
          fc.boolean(),
          (messages, cuts, streaming) => {
            assert.deepEqual(
              read(cutUp(Buffer.concat(messages), cuts), rules, streaming),
              messages.map((message) => message.toString('hex')),
            )
          },
        ),
      )
    })
  }

  it('hands out pieces of rows and COPY data of servers only, and says when one is open', () => {
    for (const type of 'Dd') {
      const server = new FrameReader(serverRules)
      server.streaming = true
      server.push(Buffer.from(`${type}\0\0\0\x08ab`, 'latin1'))
      assert.equal(server.next(), 'piece')
      assert.deepEqual([server.first, server.last, server.rest > 0], [true, false, true])
      assert.equal(server.next(), 'more')
      server.push(Buffer.from('cd'))
      assert.equal(server.next(), 'piece')
      assert.deepEqual([server.first, server.last, server.rest > 0], [false, true, false])

      const client = new FrameReader(clientRules)
      client.streaming = true
      client.push(Buffer.from(`${type}\0\0\0\x08ab`, 'latin1'))
      assert.equal(client.next(), 'more')
    }
  })

  it('never throws and never reads past a frame, whatever the bytes', () => {
    const decoders = [
      decodeQuery,
      decodeParse,
      decodeBind,
      decodeTarget,
      decodeExecute,
      decodeRowDescription,
      decodeErrorFields,
      decodeCommandTag,
      decodeParameterStatus,
      decodeBackendKey,
      decodeCopyResponse,
      decodeDataRow,
    ]
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const buffer = Buffer.from(bytes)
        read([buffer])
        read([buffer], clientRules)
        decodeOpening(Buffer.concat([Buffer.alloc(4), buffer]))
        for (const decode of decoders) decode(buffer, 0, buffer.length)
      }),
      { numRuns: 500 },
    )
  })

  it('takes a message only if every length in it agrees with its frame', () => {
    const bind = Buffer.concat([
      Buffer.from('p\0s\0', 'latin1'),
      Buffer.from([0, 1, 0, 1, 0, 1, 0, 0, 0, 2, 1, 2, 0, 1, 0, 1]),
    ])
    const frame = (payload: Buffer): Buffer => Buffer.concat([Buffer.alloc(5), payload])
    const good = frame(bind)
    assert.deepEqual(decodeBind(good, 0, good.length)?.parameters, [Buffer.from([1, 2])])
    for (let cut = 1; cut < bind.length; cut++) {
      const short = frame(bind.subarray(0, bind.length - cut))
      assert.equal(decodeBind(short, 0, short.length), undefined, `cut by ${cut}`)
    }
    const long = frame(Buffer.concat([bind, Buffer.from([0])]))
    assert.equal(decodeBind(long, 0, long.length), undefined)
    // a negative length that is not NULL's, as in CVE-2024-27304
    const lying = frame(Buffer.from(bind))
    lying.writeInt32BE(-2, 5 + 10)
    assert.equal(decodeBind(lying, 0, lying.length), undefined)
  })

  for (const [name, bytes, problem] of [
    ['an unknown type', '00000000040000', /unexpected message type 0x00/],
    ['a length below four', '5100000003', /impossible length of 3/],
    ['a negative length', '51ffffffff', /impossible length of -1/],
    ['a Sync with a payload', '530000000500', /impossible length of 5/],
    ['a length beyond all bounds', '517fffffff', /impossible length/],
  ] as const) {
    it(`refuses ${name}`, () =>
      assert.match(read([Buffer.from(bytes, 'hex')], clientRules).at(-1) ?? '', problem))
  }

  it('reads a startup message as the server does: the last of a name counts', () => {
    const packet = encode.startupMessage(0, [
      ['user', 'a'],
      ['user', 'b'],
      ['options', '-c x=y'],
    ])
    const opening = decodeOpening(packet)
    assert.ok(opening?.kind === 'startup')
    assert.deepEqual(
      [...opening.parameters],
      [
        ['user', 'b'],
        ['options', '-c x=y'],
      ],
    )
    assert.equal(decodeOpening(packet.subarray(0, -1)), undefined)
  })

  it('writes errors that it can read', () => {
    const message = encode.errorResponse({
      severity: 'ERROR',
      code: '42501',
      message: 'no',
      detail: 'why',
      hint: undefined,
      position: 3,
    })
    assert.deepEqual(
      [...(decodeErrorFields(message, 0, message.length) ?? [])],
      [
        ['S', 'ERROR'],
        ['V', 'ERROR'],
        ['C', '42501'],
        ['M', 'no'],
        ['D', 'why'],
        ['P', '3'],
      ],
    )
  })
})
