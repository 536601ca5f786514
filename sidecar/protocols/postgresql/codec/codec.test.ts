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
import { FrameReader } from './frame-reader.ts'
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

const frames = fc.array(
  fc.tuple(fc.constantFrom(...'123ACDEINSTZdn'), fc.uint8Array({ maxLength: 40 })).map(([type, payload]) => {
    const fixed: Record<string, number> = { '1': 0, '2': 0, '3': 0, I: 0, n: 0, Z: 1 }
    const body = payload.subarray(0, fixed[type] ?? payload.length)
    const padded = Buffer.concat([body, Buffer.alloc(Math.max(0, (fixed[type] ?? 0) - body.length))])
    const header = Buffer.alloc(5)
    header.write(type, 'latin1')
    header.writeInt32BE(padded.length + 4, 1)
    return Buffer.concat([header, padded])
  }),
  { maxLength: 12 },
)

describe('PostgreSQL codec', () => {
  it('sees the same frames however the bytes are cut', () => {
    fc.assert(
      fc.property(
        frames,
        fc.array(fc.integer({ min: 1, max: 30 })),
        fc.boolean(),
        (messages, cuts, streaming) => {
          const bytes = Buffer.concat(messages)
          const chunks: Buffer[] = []
          let position = 0
          for (const cut of [...cuts, bytes.length]) {
            if (position < bytes.length)
              chunks.push(bytes.subarray(position, Math.min(bytes.length, position + cut)))
            position += cut
          }
          assert.deepEqual(
            read(chunks, serverRules, streaming),
            messages.map((message) => message.toString('hex')),
          )
        },
      ),
    )
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
