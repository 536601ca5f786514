import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { blockKind, headLength, readHead } from './blocks.ts'
import { nameOfSigner } from './header.ts'
import { parseIdentities } from './keys.ts'
import { type ReadEntry, RecordingReader } from './reader.ts'
import {
  MemorySink,
  newReaderKey,
  newSigner,
  type ReaderKey,
  recordingName,
  sourceOf,
  startWriter,
} from './testdata/recordings.ts'
import { type Verification, verifyRecording } from './verify.ts'

interface Answer {
  readonly masked: Buffer
  /** Absent: nothing is masked. */
  readonly original?: Buffer
}

describe('a recording with what masks hid', function () {
  this.timeout(120_000)
  const signer = newSigner()
  let reader: ReaderKey
  let unmasked: ReaderKey

  before(async () => {
    reader = await newReaderKey()
    unmasked = await newReaderKey()
  })

  /** Each answer is of a command of its own. */
  async function record(answers: readonly Answer[], flushes = true): Promise<Buffer[]> {
    const sink = new MemorySink()
    let milliseconds = 0
    const writer = await startWriter({ sink, reader, unmasked, signer, now: () => milliseconds++ * 100 })
    for (const [number, { masked, original }] of answers.entries()) {
      writer.append('command', JSON.stringify({ reference: `R${number}`, actions: [], objects: [] }))
      writer.append('response', masked, original)
      if (flushes) await writer.flush()
    }
    await writer.end()
    return sink.blocks
  }

  const opened = (bytes: Buffer, ...keys: readonly ReaderKey[]): Promise<RecordingReader> =>
    RecordingReader.open(
      sourceOf(bytes),
      keys.map(({ identity }) => identity),
    )

  async function read(bytes: Buffer, ...keys: readonly ReaderKey[]): Promise<ReadEntry[]> {
    return await Array.fromAsync((await opened(bytes, ...keys)).entries())
  }

  const verify = (bytes: Buffer): Promise<Verification> =>
    verifyRecording(sourceOf(bytes), recordingName, [nameOfSigner(signer)])

  const answersOf = (entries: readonly ReadEntry[]): { masked: string; original?: string }[] =>
    entries.flatMap(({ entry, unmasked }) =>
      entry.type === 'response'
        ? [
            {
              masked: entry.bytes.toString('latin1'),
              ...(unmasked && { original: unmasked.toString('latin1') }),
            },
          ]
        : [],
    )

  const secrets = (count: number): Answer[] =>
    Array.from({ length: count }, (_, number) => ({
      masked: Buffer.from(`masked ${number}`),
      original: Buffer.from(`secret ${number}`),
    }))

  it('gives it with both keys, each to its own answer, whatever the sizes', async () => {
    const bytes = fc.oneof(
      fc.integer({ min: 0, max: 300 }).map((length) => Buffer.alloc(length, 'x')),
      fc.integer({ min: 60_000, max: 70_000 }).map((length) => Buffer.alloc(length, 'y')),
      fc.integer({ min: 120_000, max: 400_000 }).map((length) => Buffer.alloc(length, 'z')),
    )
    const answer = fc.record({ masked: bytes, original: bytes }, { requiredKeys: ['masked'] })
    await fc.assert(
      fc.asyncProperty(fc.array(answer, { maxLength: 12 }), fc.boolean(), async (answers, flushes) => {
        const whole = Buffer.concat(await record(answers, flushes))
        assert.equal((await verify(whole)).state, 'whole')
        const expected = answers.map(({ masked, original }) => ({
          masked: masked.toString('latin1'),
          ...(original && { original: original.toString('latin1') }),
        }))
        assert.deepEqual(answersOf(await read(whole, reader, unmasked)), expected)
        assert.deepEqual(
          answersOf(await read(whole, reader)),
          expected.map(({ masked }) => ({ masked })),
        )
      }),
      { numRuns: 30 },
    )
  })

  it('gives it to nobody else: not to readers, and not without the key of readers', async () => {
    const whole = Buffer.concat(await record(secrets(2)))
    const stranger = await newReaderKey()
    for (const keys of [[reader], [reader, stranger]]) {
      const recording = await opened(whole, ...keys)
      assert.equal(recording.readsUnmasked, false)
      assert.ok(!JSON.stringify(await Array.fromAsync(recording.entries())).includes('secret'))
    }
    await assert.rejects(opened(whole, unmasked), /is for the keys of/)
    assert.ok(!whole.includes('secret'))
  })

  it('is read on from a command or a moment with what is hidden there, with and without its index', async () => {
    const blocks = await record(secrets(40))
    for (const bytes of [Buffer.concat(blocks), Buffer.concat(blocks.slice(0, -1))]) {
      const recording = await opened(bytes, reader, unmasked)
      for (const command of [0, 1, 17, 39]) {
        const found = await Array.fromAsync(recording.entries({ command }))
        const expected = secrets(40).slice(command)
        assert.deepEqual(
          answersOf(found).map(({ original }) => original),
          expected.map(({ original }) => original?.toString()),
        )
        const moment = await Array.fromAsync(recording.entries({ time: found[0]?.time ?? 0 }))
        assert.deepEqual(answersOf(moment), answersOf(found))
      }
    }
  })

  it('names the block in which a bit was changed, wherever that is, and no reader believes it', async () => {
    const blocks = await record(secrets(4))
    const whole = Buffer.concat(blocks)
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(7), async (position, bit) => {
        const altered = Buffer.from(whole)
        altered[position] = (altered[position] ?? 0) ^ (1 << bit)
        const verified = await verify(altered)
        assert.equal(verified.state === 'broken' && verified.fault.block, blockAt(blocks, position))
        if (position >= (blocks[0]?.length ?? 0)) await assert.rejects(read(altered, reader), /altered/)
      }),
      { numRuns: 300 },
    )
  })

  it('that was cut off anywhere gives what comes before, and never what is hidden of an answer that is not there', async () => {
    const blocks = await record(secrets(4))
    const whole = Buffer.concat(blocks)
    const all = answersOf(await read(whole, reader, unmasked))
    for (let length = blocks[0]?.length ?? 0; length < whole.length; length += 101) {
      const cut = whole.subarray(0, length)
      assert.equal((await verify(cut)).state, 'unfinished', `${length}`)
      const answers = answersOf(await read(cut, reader, unmasked))
      assert.deepEqual(answers, all.slice(0, answers.length))
    }
  })

  for (const [what, alter] of [
    ['two blocks changed places', ([a, b, c, d, ...rest]: Buffer[]) => [a, b, d, c, ...rest]],
    ['what masks hid was taken out', ([a, b, c, , ...rest]: Buffer[]) => [a, b, c, ...rest]],
    ['what masks hid stands there twice', ([a, b, c, d, ...rest]: Buffer[]) => [a, b, c, d, d, ...rest]],
  ] as const)
    it(`is broken when ${what}`, async () => {
      const altered = alter(await record(secrets(4))).filter((block) => block !== undefined)
      assert.equal((await verify(Buffer.concat(altered))).state, 'broken')
      await assert.rejects(read(Buffer.concat(altered), reader), /altered/)
    })

  it('tells by its lengths no more of what is hidden than a few steps of size', async () => {
    const lengthsWith = async (original: Buffer): Promise<number[]> => {
      const answers = [{ masked: Buffer.from('masked'), original }]
      const [header, ...blocks] = await record(answers)
      assert.ok(header)
      return blocks.map(({ length }) => length)
    }
    const short = await lengthsWith(Buffer.from('x'))
    assert.deepEqual(await lengthsWith(Buffer.alloc(4_000, 'x')), short)
    assert.deepEqual(await lengthsWith(Buffer.from(crypto.getRandomValues(new Uint8Array(4_000)))), short)
    assert.notDeepEqual(await lengthsWith(Buffer.alloc(5_000, 'x')), short)
    const heads = (await record(secrets(1))).map((block) => readHead(block))
    const hidden = heads.find((head) => typeof head !== 'string' && head.kind === blockKind.unmasked)
    assert.ok(hidden && typeof hidden !== 'string')
    assert.deepEqual([hidden.commands, hidden.entries, hidden.firstTime === hidden.lastTime], [0, 0, true])
  })

  it('is of version 2, and one without it of version 1, which is read as before', async () => {
    assert.ok((await record(secrets(1))).every((block) => block.readUInt8(4) === 2))
    const file = (name: string): URL => new URL(`testdata/${name}`, import.meta.url)
    const old = readFileSync(file('version-1.fbrec'))
    assert.equal(old.readUInt8(4), 1)
    assert.equal((await verifyRecording(sourceOf(old), recordingName)).state, 'whole')
    const keys = parseIdentities(readFileSync(file('version-1.key.txt'), 'utf8'))
    const recording = await RecordingReader.open(sourceOf(old), keys)
    assert.deepEqual(
      answersOf(await Array.fromAsync(recording.entries())),
      [0, 1, 2].map((number) => ({ masked: `answer ${number}` })),
    )
    const sink = new MemorySink()
    await (await startWriter({ sink, reader, signer })).end()
    assert.ok(sink.blocks.every((block) => block.readUInt8(4) === 1))
  })

  it('is broken where a block is of another version than those before it', async () => {
    const sink = new MemorySink()
    const writer = await startWriter({ sink, reader, signer })
    await writer.end()
    const [header] = sink.blocks
    const [, ...others] = await record(secrets(1))
    const verified = await verify(Buffer.concat([header ?? Buffer.alloc(0), ...others]))
    assert.match(
      verified.state === 'broken' ? verified.fault.what : '',
      /of version 2 among blocks of version 1/,
    )
  })
})

/** Number of the block that a byte is in. */
function blockAt(blocks: readonly Buffer[], position: number): number {
  let end = 0
  return blocks.findIndex((block) => {
    const head = readHead(block)
    assert.ok(typeof head !== 'string' && headLength + head.bodyLength === block.length)
    end += block.length
    return position < end
  })
}
