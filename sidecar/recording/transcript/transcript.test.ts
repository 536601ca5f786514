import assert from 'node:assert/strict'
import type { EntryType } from '../entries.ts'
import { type From, RecordingReader } from '../reader.ts'
import { MemorySink, newReaderKey, newSigner, sourceOf, startWriter } from '../testdata/recordings.ts'
import type { RecordingWriter } from '../writer.ts'
import { type Event, exchanges } from './exchanges.ts'
import { transcript } from './transcript.ts'

const all = { rows: 100, characters: 10_000 }
function message(type: string, content: Buffer): Buffer {
  const head = Buffer.from(`${type}....`)
  head.writeInt32BE(4 + content.length, 1)
  return Buffer.concat([head, content])
}
const complete = (tag: string): Buffer => message('C', Buffer.from(`${tag}\0`))
/** One column with `12345` in it. */
const row = message('D', Buffer.from('\0\x01\0\0\0\x0512345'))

describe('A transcript', () => {
  async function eventsOf(
    write: (append: Append) => void,
    ends = true,
    extent = all,
    from?: From,
  ): Promise<Event[]> {
    const reader = await newReaderKey()
    const sink = new MemorySink()
    const writer: RecordingWriter = await startWriter({ sink, reader, signer: newSigner() })
    write((type, content, of) =>
      writer.append(type, Buffer.isBuffer(content) ? content : JSON.stringify(content), undefined, of),
    )
    if (ends) writer.append('end', JSON.stringify({ commands: 1, seconds: 1 }))
    await writer.end()
    const opened = await RecordingReader.open(sourceOf(sink.bytes), [reader.identity])
    return await Array.fromAsync(exchanges(transcript(opened, extent, from)))
  }
  type Append = (type: EntryType, content: object | Buffer, of?: string) => void

  const command = (reference: string, decision = 'allow'): object => ({
    reference,
    decision,
    actions: [],
    objects: [],
  })
  const outcome = (reference: string): object => ({ reference, rows: 0, bytes: 0, milliseconds: 1 })

  /** What it is, of which command, decided how, answered with what. */
  const inWords = (events: readonly Event[]): string[] =>
    events.map((event) => {
      if (event.kind !== 'exchange') return event.kind
      const { command, answer } = event
      const answers = answer?.results.map(
        ({ tag, messages }) => tag ?? messages.map(({ kind }) => kind).join(),
      )
      return `${command?.entry.reference} ${command?.entry.decision}: ${answers?.join() ?? 'nothing'}${answer && !answer.outcome ? ', breaks off' : ''}`
    })

  it('gives each command of a pipeline its own answer', async () => {
    const events = await eventsOf((append) => {
      append('command', command('A'))
      append('command', command('B'))
      append('response', complete('FIRST'))
      append('outcome', outcome('A'))
      append('response', complete('SECOND'))
      append('outcome', outcome('B'))
    })
    assert.deepEqual(inWords(events), ['A allow: FIRST', 'B allow: SECOND', 'end'])
  })

  it('tells of a held command that it was held, and what was decided then', async () => {
    const events = await eventsOf((append) => {
      append('command', command('A', 'hold'))
      append('command', command('A'))
      append('response', complete('DONE'))
      append('outcome', outcome('A'))
    })
    assert.deepEqual(inWords(events), ['A hold: nothing', 'A allow: DONE', 'end'])
  })

  it('goes on after bytes that no server sends, and after a cut', async () => {
    const events = await eventsOf((append) => {
      append('command', command('A'))
      append('response', Buffer.from('what is this?'))
      append('response', complete('HIDDEN'))
      append('outcome', outcome('A'))
      append('command', command('B'))
      append('response', complete('SECOND').subarray(0, 7))
      append('cut', { what: 'response', limit: 7 })
      append('outcome', outcome('B'))
      append('command', command('C'))
      append('response', complete('THIRD'))
      append('outcome', outcome('C'))
    })
    assert.deepEqual(inWords(events), ['A allow: unreadable', 'B allow: ', 'C allow: THIRD', 'end'])
  })

  /** Two that are answered at once, the first of them in several blocks. */
  const atOnce = (append: Append): void => {
    append('command', command('A'))
    append('response', complete('A1'), 'A')
    append('command', command('B'))
    append('response', complete('B1'), 'B')
    for (let block = 0; block < 3; block++)
      append('response', message('N', Buffer.from(`M${'x'.repeat(100_000)}\0\0`)), 'A')
    append('response', complete('B2'), 'B')
    append('command', command('C'))
    append('response', complete('A2'), 'A')
    append('outcome', outcome('B'))
    append('outcome', outcome('C'))
  }

  it('gives commands that are answered at once each its own answer, and none to others', async () => {
    const events = await eventsOf((append) => {
      atOnce(append)
      append('outcome', outcome('A'))
    })
    assert.deepEqual(inWords(events), ['B allow: B1,B2', 'C allow: ', 'A allow: A1,A2', 'end'])
  })

  it('says of what is answered at once that it breaks off, each by itself', async () => {
    const whole = ['B allow: B1,B2', 'C allow: ', 'A allow: A1,A2, breaks off']
    assert.deepEqual(inWords(await eventsOf(atOnce)), [...whole, 'end'])
    assert.deepEqual(inWords(await eventsOf(atOnce, false)), [...whole, 'broken off'])
  })

  it('shows what came for one command under no other where it is read from the middle on', async () => {
    const events = await eventsOf(atOnce, true, all, { command: 2 })
    assert.deepEqual(inWords(events), [
      'undefined undefined: B2',
      'C allow: ',
      'undefined undefined: A2, breaks off',
      'end',
    ])
  })

  it('says that it breaks off: at a limit, or without any word', async () => {
    const begun = (append: Append): void => {
      append('command', command('A'))
      append('response', complete('FIRST'))
    }
    const limited = await eventsOf((append) => {
      begun(append)
      append('limit', { bytes: 100, session: 'ends' })
    }, false)
    assert.deepEqual(inWords(limited), ['A allow: FIRST, breaks off', 'limit'])
    assert.deepEqual(inWords(await eventsOf(begun, false)), ['A allow: FIRST, breaks off', 'broken off'])
    const two = await eventsOf((append) => {
      append('command', command('B'))
      begun(append)
    }, false)
    assert.deepEqual(inWords(two).toSorted(), [
      'A allow: nothing',
      'B allow: nothing',
      'broken off',
      'undefined undefined: FIRST, breaks off',
    ])
  })

  it('keeps no more of an answer than it is told, and says how much there is', async () => {
    const write = (append: Append): void => {
      append('command', command('A'))
      append('response', Buffer.concat([row, row, row, complete('SELECT 3')]))
      append('outcome', outcome('A'))
    }
    for (const extent of [
      { rows: 1, characters: 1000 },
      { rows: 10, characters: 9 },
    ]) {
      const [event] = await eventsOf(write, true, extent)
      assert.ok(event?.kind === 'exchange')
      const [result] = event.answer?.results ?? []
      assert.deepEqual([result?.rows, result?.rowsLeftOut, result?.tag], [[['12345']], 2, 'SELECT 3'])
    }
  })
})
