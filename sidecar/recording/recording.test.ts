import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import fc from 'fast-check'
import { headLength, readHead } from './blocks.ts'
import { type EntryType, entryHeadLength, readEntries, writeEntryHead } from './entries.ts'
import { nameOfSigner } from './header.ts'
import { RecordingReader } from './reader.ts'
import {
  appendCommands,
  entriesOf,
  MemorySink,
  newReaderKey,
  newSigner,
  type ReaderKey,
  recordingName,
  sourceOf,
  startWriter,
} from './testdata/recordings.ts'
import { type Verification, verifyRecording } from './verify.ts'

describe('a recording', function () {
  this.timeout(120_000)
  let reader: ReaderKey
  let signer: KeyObject

  before(async () => {
    reader = await newReaderKey()
    signer = newSigner()
  })

  async function record(commands: number, recording = recordingName): Promise<Buffer[]> {
    const sink = new MemorySink()
    const writer = await startWriter({ sink, reader, signer, recording })
    await appendCommands(writer, commands)
    await writer.end()
    return sink.blocks
  }

  function verify(bytes: Buffer, recording = recordingName): Promise<Verification> {
    return verifyRecording(sourceOf(bytes), recording, [nameOfSigner(signer)])
  }

  it('is read as it was written, with its times', async () => {
    const sink = new MemorySink()
    let milliseconds = 1_000
    const writer = await startWriter({ sink, reader, signer, now: () => milliseconds })
    writer.append('command', JSON.stringify({ reference: 'R1', text: "select 'ä\u0000\ud83d\ude00'" }))
    milliseconds += 1.5
    writer.append('response', Buffer.from([0, 255, 1]))
    await writer.flush()
    milliseconds += 2_000
    writer.append('end', JSON.stringify({ commands: 1, seconds: 2 }))
    await writer.end()
    const read = await entriesOf(sink.bytes, reader)
    assert.deepEqual(
      read.map(({ time, entry }) => ({ time, entry })),
      [
        { time: 0, entry: { type: 'command', reference: 'R1', text: "select 'ä\u0000\ud83d\ude00'" } },
        { time: 1_500, entry: { type: 'response', bytes: Buffer.from([0, 255, 1]) } },
        { time: 2_001_500, entry: { type: 'end', commands: 1, seconds: 2 } },
      ],
    )
  })

  it('takes entries of any size, in any number, whenever it is flushed', async () => {
    const appended = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.integer({ min: 1, max: 300_000 }).map((length) => Buffer.alloc(length, 'x')),
      fc.constant('flush' as const),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(appended, { maxLength: 20 }), async (steps) => {
        const sink = new MemorySink()
        const writer = await startWriter({ sink, reader, signer })
        const flushes: Promise<void>[] = []
        for (const step of steps)
          if (step === 'flush') flushes.push(writer.flush())
          else writer.append('response', step)
        await writer.end()
        await Promise.all(flushes)
        assert.equal((await verify(sink.bytes)).state, 'whole')
        const read = await entriesOf(sink.bytes, reader)
        assert.deepEqual(
          read.map(({ entry }) => (entry.type === 'response' ? entry.bytes.toString('latin1') : entry.type)),
          steps.filter((step) => step !== 'flush').map((step) => step.toString('latin1')),
        )
      }),
      { numRuns: 30 },
    )
  })

  it('can be read by nobody but those it is for', async () => {
    const bytes = Buffer.concat(await record(2))
    const other = await newReaderKey()
    await assert.rejects(
      RecordingReader.open(sourceOf(bytes), [other.identity]),
      new RegExp(`is for the keys of ${reader.recipient}`),
    )
    assert.equal(bytes.includes('select 1'), false)
    assert.equal(bytes.includes('answer 1'), false)
  })

  it('is read on from a moment or a command, with and without its index', async () => {
    const sink = new MemorySink()
    let milliseconds = 0
    const writer = await startWriter({ sink, reader, signer, now: () => milliseconds++ * 100 })
    await appendCommands(writer, 50)
    const unfinished = sink.bytes
    await writer.end()
    const whole = sink.bytes
    for (const bytes of [unfinished, whole]) {
      const recording = await RecordingReader.open(sourceOf(bytes), [reader.identity])
      for (const command of [0, 1, 33, 49]) {
        const [first] = await Array.fromAsync(recording.entries({ command }))
        assert.equal(first?.entry.type === 'command' && first.entry.reference, `R${command}`)
        assert.deepEqual((await Array.fromAsync(recording.entries({ time: first?.time ?? 0 })))[0], first)
      }
      const { commands, finished } = await recording.extent()
      assert.deepEqual([commands, finished], [50, bytes === whole])
    }
  })

  it('that nobody altered is whole, and says what is proven', async () => {
    const blocks = await record(3)
    const verified = await verify(Buffer.concat(blocks))
    assert.equal(verified.state, 'whole')
    assert.equal(verified.proven?.commands, 3)
    assert.equal(verified.proven?.blocks, blocks.length)
    assert.equal(verified.proven?.header.identity, 'agents/worker')
  })

  it('names the block and the part of it in which a bit was changed, wherever that is', async () => {
    const blocks = await record(6)
    const whole = Buffer.concat(blocks)
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(7), async (position, bit) => {
        const altered = Buffer.from(whole)
        altered[position] = (altered[position] ?? 0) ^ (1 << bit)
        const verified = await verify(altered)
        if (verified.state !== 'broken') return assert.fail(`${verified.state} with byte ${position} altered`)
        const { fault } = verified
        assert.equal(fault.block, blockAt(blocks, position))
        assert.ok(fault.position <= position && position < fault.position + fault.length, fault.what)
      }),
      { numRuns: 1_000 },
    )
  })

  it('that was cut off anywhere is unfinished, and everything before the cut is proven', async () => {
    const blocks = await record(5)
    const whole = Buffer.concat(blocks)
    const [header] = blocks
    assert.ok(header)
    for (let length = header.length; length < whole.length; length += 7) {
      const verified = await verify(whole.subarray(0, length))
      assert.equal(verified.state, 'unfinished', `${length}`)
      assert.equal(verified.proven?.blocks, blockAt(blocks, length))
      const read = await entriesOf(whole.subarray(0, length), reader)
      assert.equal(read.length, 3 * Math.min(5, (verified.proven?.blocks ?? 0) - 1))
    }
    assert.equal((await verify(Buffer.alloc(0))).state, 'broken')
    assert.equal((await verify(header.subarray(0, 100))).state, 'broken')
  })

  for (const [what, alter] of [
    ['two blocks changed places', ([a, b, c, d, ...rest]: Buffer[]) => [a, b, d, c, ...rest]],
    ['a block is missing', ([a, b, , ...rest]: Buffer[]) => [a, b, ...rest]],
    ['a block stands there twice', ([a, b, c, ...rest]: Buffer[]) => [a, b, b, c, ...rest]],
  ] as const)
    it(`is broken at block 2 when ${what}`, async () => {
      const altered = Buffer.concat(alter(await record(4)).filter((block) => block !== undefined))
      const verified = await verify(altered)
      assert.equal(verified.state === 'broken' && verified.fault.block, 2)
      await assert.rejects(entriesOf(altered, reader), /altered at byte \d+, in block 2/)
    })

  it('is broken where it goes over into another recording of the same key', async () => {
    const [one, other] = [await record(4), await record(4, '01ABCDEFGH0123456789ABCDEG')]
    const spliced = await verify(Buffer.concat([...one.slice(0, 3), ...other.slice(3)]))
    assert.equal(spliced.state === 'broken' && spliced.fault.block, 3)
    const changed = await verify(Buffer.concat(other))
    assert.match(changed.state === 'broken' ? changed.fault.what : '', /this is another recording/)
  })

  it('is broken when something follows its end', async () => {
    const blocks = await record(1)
    const verified = await verify(Buffer.concat([...blocks, Buffer.from('x')]))
    assert.equal(verified.state === 'broken' && verified.fault.block, blocks.length)
  })

  it('is broken when another key has signed it, however well', async () => {
    const sink = new MemorySink()
    const writer = await startWriter({ sink, reader, signer: newSigner() })
    await appendCommands(writer, 1)
    await writer.end()
    const verified = await verify(sink.bytes)
    assert.match(verified.state === 'broken' ? verified.fault.what : '', /is not trusted/)
    assert.equal((await verifyRecording(sourceOf(sink.bytes), recordingName)).state, 'whole')
  })

  it('is read past entries of a type that nobody knows', () => {
    const entries = ['end', 'limit', 'end'].map((type) => {
      const entry = Buffer.alloc(entryHeadLength + 2)
      entry.write('{}', entryHeadLength)
      writeEntryHead(entry, 0, type as EntryType, 1, 2)
      if (type === 'limit') entry.writeUInt8(200)
      return entry
    })
    const read = [...readEntries(Buffer.concat(entries))].map(({ entry }) => entry.type)
    assert.deepEqual(read, ['end', 'end'])
  })

  it('never crashes a reader, whatever the bytes are', async () => {
    const whole = Buffer.concat(await record(2))
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length), fc.uint8Array({ maxLength: 400 }), async (at, bytes) => {
        const altered = Buffer.concat([whole.subarray(0, at), bytes])
        const { state } = await verify(altered)
        assert.ok(state === 'broken' || state === 'unfinished' || altered.equals(whole))
      }),
      { numRuns: 300 },
    )
  })

  it('waits for a place that takes nothing for a while, and loses nothing', async () => {
    const sink = new MemorySink()
    const told: string[] = []
    const writer = await startWriter({
      sink,
      reader,
      signer,
      onFailed: ({ message }) => told.push(message),
      onRecovered: () => told.push('recovered'),
    })
    sink.failing = new Error('the disk is full')
    writer.append('response', Buffer.from('kept'))
    const flushed = writer.flush()
    while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.equal(writer.full, true)
    const drained = writer.drained()
    sink.failing = undefined
    await Promise.all([flushed, drained])
    assert.equal(writer.full, false)
    await writer.end()
    assert.deepEqual(told, ['the disk is full', 'recovered'])
    assert.equal((await entriesOf(sink.bytes, reader)).length, 1)
  })

  it('that is given up lets go of whoever waits', async () => {
    const sink = new MemorySink()
    const writer = await startWriter({ sink, reader, signer })
    sink.failing = new Error('gone')
    for (let count = 0; count < 4; count++) writer.append('response', Buffer.alloc(200_000))
    assert.equal(writer.full, true)
    const drained = writer.drained()
    await writer.giveUp()
    await drained
    assert.equal(writer.full, false)
    assert.equal((await verify(sink.bytes)).state, 'unfinished')
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
