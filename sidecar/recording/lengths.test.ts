import assert from 'node:assert/strict'
import { type KeyObject, randomBytes } from 'node:crypto'
import type { Field, SessionTerms } from '@firebreak/policy'
import fc from 'fast-check'
import { Audit } from '../audit/audit.ts'
import { command, everything } from '../audit/testdata/every-line.ts'
import type { CommandAudit, RecordedCommand } from '../session.ts'
import { type CommandEntry, entryHeadLength, type OutcomeEntry, type StartEntry } from './entries.ts'
import { SessionRecording, type ShowCommand } from './session-recording.ts'
import {
  entriesOf,
  MemorySink,
  newReaderKey,
  newSigner,
  type ReaderKey,
  recordingName,
  sourceOf,
  startWriter,
} from './testdata/recordings.ts'
import { verifyRecording } from './verify.ts'
import { maximumEntry, type RecordingWriter } from './writer.ts'

const start: Omit<StartEntry, 'type'> = {
  session: recordingName,
  identity: 'agents/worker',
  chain: ['agents/worker'],
  groups: [],
  resource: 'agents/orders',
  role: 'reader',
  remote: '10.0.0.1',
  proof: {},
  mode: 'full',
  revision: 'abc',
}

const terms: SessionTerms = {
  limits: {},
  detectors: [],
  masks: false,
  signals: [],
  audit: { text: 'full', onFailure: 'block' },
  recording: {
    mode: 'full',
    unmasked: false,
    keepSeconds: 3_600,
    bytesPerCommand: 1_000_000,
    maxBytes: 2 ** 40,
    onLimit: 'end',
    onFailure: 'refuse',
  },
  revision: 'abc',
}

const entry = { ...everything, text: 'select 1', parameters: [] }

describe('an entry of a recording', function () {
  this.timeout(300_000)
  let reader: ReaderKey
  let signer: KeyObject
  let show: ShowCommand
  let sink: MemorySink
  let writer: RecordingWriter

  before(async () => {
    reader = await newReaderKey()
    signer = newSigner()
    const language = { normalize: (text: string) => text, mayHoldSecret: () => false }
    const events = { failed: assert.fail, recovered() {}, undelivered() {}, delivered() {} }
    const audit = await Audit.open([], language, events)
    show = (recorded, policy) => audit.shown(recorded, policy)
  })
  beforeEach(async () => {
    sink = new MemorySink()
    writer = await startWriter({ sink, reader, signer })
  })

  /** Records commands, each with its outcome. @returns their entries as they are read back. */
  async function recorded(
    ...entries: readonly (CommandAudit & RecordedCommand)[]
  ): Promise<{ commands: CommandEntry[]; outcomes: OutcomeEntry[] }> {
    const recording = new SessionRecording(writer, start, terms, show, () => {})
    for (const entry of entries) {
      recording.began(entry)
      recording.finished(entry)
      recording.mark(0, true)
    }
    await recording.end({ commands: entries.length, seconds: 1 })
    assert.equal((await verifyRecording(sourceOf(sink.bytes), recordingName)).state, 'whole')
    const read = (await entriesOf(sink.bytes, reader)).map(({ entry }) => entry)
    assert.deepEqual([read[0]?.type, read.at(-1)?.type], ['start', 'end'])
    return {
      commands: read.filter((entry) => entry.type === 'command'),
      outcomes: read.filter((entry) => entry.type === 'outcome'),
    }
  }

  it('can be read again, whatever a client sent and a target answered, and says what is not in it', async () => {
    const character = fc.constantFrom('a', '"', '\u0001', '€', '😀', '\ud83d')
    const text = fc
      .tuple(character, fc.constantFrom(1, 1_000, 3_000_000, 9_000_000))
      .map(([one, times]) => one.repeat(times))
    const texts = fc
      .tuple(fc.constantFrom('a', '\u0001', '€'), fc.constantFrom(0, 3, 12_000))
      .map(([one, times]) => Array.from({ length: times }, (_, index) => one.repeat(1_000) + index))
    const parts = fc.record({ text, parameters: texts, labels: texts, message: text, maskedFields: texts })
    await fc.assert(
      fc.asyncProperty(parts, async ({ text: own, parameters, labels, message, maskedFields }) => {
        sink = new MemorySink()
        writer = await startWriter({ sink, reader, signer })
        const fields = labels.map((label): Field => ({ label, sources: [], derivation: 'copy' }))
        const { commands, outcomes } = await recorded(
          {
            ...entry,
            command: command(own, { fields }),
            text: own,
            parameters,
            outcome: { ...entry.outcome, maskedFields, error: { code: '22P02', message } },
          },
          { ...entry, reference: 'R2', text: 'drop table customers' },
        )
        const [began, after] = commands
        const [outcome] = outcomes
        assert.ok(began && outcome)
        assert.equal((began.text?.length ?? 0) + (began.textLeftOut ?? 0), own.length)
        assert.ok(own.startsWith(began.text ?? ''))
        assert.equal((began.parameters?.length ?? 0) + (began.parametersLeftOut ?? 0), parameters.length)
        assert.equal((began.columns?.length ?? 0) + (began.columnsLeftOut ?? 0), labels.length)
        assert.equal((outcome.masked?.length ?? 0) + (outcome.maskedLeftOut ?? 0), maskedFields.length)
        const { message: shown = '', messageLeftOut = 0 } = outcome.error ?? {}
        assert.equal(shown.length + messageLeftOut, message.length)
        assert.equal(after?.text, 'drop table customers')
      }),
      { numRuns: 12 },
    )
  })

  it('is whole where it is long and not too long', async () => {
    const long = 'x'.repeat(8_000_000)
    const parameters = Array.from({ length: 4_000 }, () => 'y'.repeat(1_000))
    const error = { code: '22P02', message: 'z'.repeat(8_000) }
    const outcome = { ...entry.outcome, error }
    const { commands, outcomes } = await recorded({ ...entry, text: long, parameters, outcome })
    assert.ok(commands[0]?.text === long)
    assert.deepEqual(commands[0].parameters, parameters)
    assert.deepEqual(outcomes[0]?.error, error)
    const names = [...Object.keys(commands[0]), ...Object.keys(outcomes[0] ?? {})]
    assert.deepEqual(
      names.filter((name) => name.endsWith('LeftOut')),
      [],
    )
  })

  it('can be read again where it is as long as one may be, though it can not be compressed', async () => {
    const longest = randomBytes(maximumEntry - entryHeadLength)
    writer.append('response', longest)
    await writer.end()
    assert.equal((await verifyRecording(sourceOf(sink.bytes), recordingName)).state, 'whole')
    const [read] = await entriesOf(sink.bytes, reader)
    assert.ok(read?.entry.type === 'response' && read.entry.bytes.equals(longest))
  })

  it('that is longer is refused, and the recording goes on as if there had been none', async () => {
    writer.append('response', Buffer.from('before'))
    assert.throws(() => writer.append('response', Buffer.alloc(maximumEntry)), RangeError)
    assert.throws(() => writer.append('command', '\u20ac'.repeat(maximumEntry / 3)), RangeError)
    writer.append('response', Buffer.from('after'))
    await writer.end()
    assert.equal((await verifyRecording(sourceOf(sink.bytes), recordingName)).state, 'whole')
    const read = await entriesOf(sink.bytes, reader)
    assert.deepEqual(
      read.map(({ entry }) => entry.type === 'response' && entry.bytes.toString()),
      ['before', 'after'],
    )
  })
})
