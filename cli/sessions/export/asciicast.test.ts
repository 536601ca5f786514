/** Terminals of programs that real clients start through a real gateway, in the form that asciinema's own player reads. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import {
  MemorySink,
  newReaderKey,
  newSigner,
  sourceOf,
  startWriter,
} from '@firebreak/sidecar/recording/testdata/recordings.ts'
import type { RecordingWriter } from '@firebreak/sidecar/recording/writer.ts'
import fc from 'fast-check'
import { everythingOfPods, execQuery, PodPrograms, PodStream } from '../../../test/pod-programs.ts'
import type { Guard } from '../../../test/shop.ts'
import { python } from '../../../tools/clients.ts'
import { asciicast, terminalsOf } from './asciicast.ts'

const main = fileURLToPath(new URL('../../main.ts', import.meta.url))

/** What a program may write, which whoever looks at the file must not obey. */
const hostile = '\u001b]0;own\u0007\u009b31m\u202egnp'

type CastEvent = readonly [seconds: number, code: string, data: string]

interface Cast {
  readonly header: Readonly<Record<string, unknown>>
  readonly events: readonly CastEvent[]
}

/** Strictly what the format allows. */
function parseCast(text: string): Cast {
  assert.ok(text.endsWith('\n'))
  const [header, ...events] = text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
  const { version, width, height, timestamp } = header as Record<string, unknown>
  assert.equal(version, 2)
  for (const number of [width, height, timestamp])
    assert.ok(Number.isSafeInteger(number) && Number(number) >= 0)
  let before = 0
  for (const event of events as CastEvent[]) {
    const [seconds, code, data] = event
    assert.equal(event.length, 3)
    assert.ok(typeof seconds === 'number' && seconds >= before, 'events are in order')
    assert.match(code, /^[oirm]$/)
    assert.equal(typeof data, 'string')
    if (code === 'r') assert.match(data, /^\d+x\d+$/)
    before = seconds
  }
  return { header: header as Cast['header'], events: events as CastEvent[] }
}

const shown = ({ events }: Cast, wanted = 'o'): string =>
  events.flatMap(([, code, data]) => (code === wanted ? [data] : [])).join('')

describe('firebreak sessions export --asciicast', function () {
  this.timeout(600_000)
  let pods: PodPrograms
  let guard: Guard
  let id: string
  let file: string

  before(async () => {
    pods = await PodPrograms.start()
    guard = await pods.guard(everythingOfPods, '  recording: {mode: full}\n')
    const cat = await new PodStream(guard, execQuery(['cat'], '&tty=true&stdin=true')).open()
    cat.send(4, '{"Width":132,"Height":50}')
    cat.send(0, `typed ä ${hostile}\n`)
    await cat.shows(1, /gnp/)
    cat.send(4, '{"Width":100,"Height":30}')
    cat.send(0, 'after\n')
    await cat.shows(1, /after/)
    cat.send(255, Buffer.of(0))
    await cat.closed
    await guard.stop()
    const recordings = join(guard.directory, 'recordings')
    id = readdirSync(recordings)[0]?.replace('.fbrec', '') ?? ''
    file = join(guard.directory, 'terminal.cast')
  })
  after(async () => {
    await guard[Symbol.asyncDispose]()
    await pods[Symbol.asyncDispose]()
  })

  function firebreak(...words: string[]): { status: number | null; stdout: string; stderr: string } {
    const all = [main, 'sessions', 'export', ...words, '--config', guard.directory]
    return spawnSync(process.execPath, all, { encoding: 'utf8' })
  }

  function exported(...words: string[]): string {
    const { status, stderr } = firebreak(id, '--asciicast', file, ...words)
    assert.equal(stderr, '')
    assert.equal(status, 0)
    return readFileSync(file, 'utf8')
  }

  it('writes what a terminal showed, with its sizes, for its owner alone', () => {
    writeFileSync(file, 'what was there before', { mode: 0o644 })
    const cast = parseCast(exported())
    assert.equal(statSync(file).mode & 0o777, 0o600)
    assert.deepEqual([cast.header.width, cast.header.height], [132, 50])
    assert.match(String(cast.header.command), /exec/)
    assert.equal(shown(cast), `typed ä ${hostile}\nafter\n`)
    assert.equal(shown(cast, 'r'), '100x30')
    assert.ok(cast.events.every(([, code]) => code === 'o' || code === 'r'))
  })

  it('has what was typed only where it is asked for', () => {
    assert.equal(shown(parseCast(exported('--input')), 'i'), `typed ä ${hostile}\nafter\n`)
  })

  it('holds no character that whoever looks at the file would obey', () => {
    assert.doesNotMatch(exported('--input'), /[^\P{C}\n]|\p{Zl}|\p{Zp}/u)
  })

  it('has a replay beside it that obeys nothing', () => {
    const words = [main, 'replay', id, '--config', guard.directory]
    const { status, stdout } = spawnSync(process.execPath, words, {
      encoding: 'utf8',
      env: { ...process.env, NO_COLOR: '1' },
    })
    assert.equal(status, 0)
    assert.match(stdout, /HTTP 101.*typed ä \\u\{1b\}/s)
    assert.doesNotMatch(stdout, /[^\P{C}\n]|\p{Zl}|\p{Zp}/u)
  })

  it('is read and played by asciinema', async function () {
    // it is fetched the first time
    this.timeout('20m')
    const cast = parseCast(exported())
    const interpreter = await python(['asciinema==2.4.0'])
    const played = execFileSync(interpreter, ['-m', 'asciinema', 'cat', file], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C.UTF-8', HOME: guard.directory },
    })
    assert.equal(played, shown(cast))
  })

  it('refuses what ran in no terminal, and what is not asked for in one piece', async () => {
    await using other = await pods.guard(everythingOfPods, '  recording: {mode: full}\n')
    const forged = 'HTTP 101\\ncontent-type: application/vnd.firebreak.terminal\\nterminal-tty: true\\n\\n'
    await new PodStream(other, execQuery(['printf', forged])).closed
    await other.stop()
    const [name = ''] = readdirSync(join(other.directory, 'recordings'))
    const words = [main, 'sessions', 'export', name.replace('.fbrec', ''), '--asciicast', file]
    const { status, stderr } = spawnSync(process.execPath, [...words, '--config', other.directory], {
      encoding: 'utf8',
    })
    assert.equal(status, 1)
    assert.match(stderr, /nothing in recording \w+ ran in a terminal/)
    assert.match(firebreak(id, '--asciicast', file, '--command', '7').stderr, /command 7 ran in no terminal/)
    assert.match(firebreak(id, '--json', file, '--input').stderr, /--input go with --asciicast/)
    assert.match(firebreak(id, '--json', file, '--asciicast', file).stderr, /takes one of/)
  })

  describe('of what is recorded', () => {
    const head = Buffer.from(
      'HTTP 101\ncontent-type: application/vnd.firebreak.terminal\nterminal-tty: true\n\n',
    )

    /** @returns its blocks. */
    async function recorded(write: (writer: RecordingWriter) => unknown) {
      const reader = await newReaderKey()
      const sink = new MemorySink()
      let milliseconds = 0
      const writer = await startWriter({
        ...{ sink, reader, signer: newSigner(), protocol: 'kubernetes' as const },
        now: () => milliseconds++,
      })
      const json = (type: 'command' | 'outcome', value: object): void =>
        writer.append(type, JSON.stringify(value))
      json('command', { reference: 'R0', decision: 'allow', actions: [], objects: [] })
      writer.append('response', head)
      await write(writer)
      json('outcome', { reference: 'R0', rows: 0, bytes: 0, milliseconds: 1 })
      await writer.end()
      return { blocks: sink.blocks, identity: reader.identity }
    }

    async function castOf(bytes: Buffer, identity: string): Promise<Cast> {
      const reader = await RecordingReader.open(sourceOf(bytes), [identity])
      const [terminal] = await terminalsOf(reader)
      assert.ok(terminal)
      return parseCast((await Array.fromAsync(asciicast(reader, terminal, false))).join(''))
    }

    it('gives back any text, wherever its bytes were cut', async () => {
      const pieces = fc.tuple(fc.string({ unit: 'grapheme' }), fc.array(fc.nat(40), { maxLength: 6 }))
      await fc.assert(
        fc.asyncProperty(pieces, async ([text, cuts]) => {
          const bytes = Buffer.from(text)
          const { blocks, identity } = await recorded((writer) => {
            let from = 0
            for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
              if (cut > from) writer.append('response', bytes.subarray(from, cut))
              from = Math.max(from, cut)
            }
          })
          assert.equal(shown(await castOf(Buffer.concat(blocks), identity)), text)
        }),
        { numRuns: 100 },
      )
    })

    it('says where it breaks off, and where it was altered', async () => {
      const { blocks, identity } = await recorded(async (writer) => {
        writer.append('response', Buffer.from('shown'))
        await writer.flush()
        writer.append('response', Buffer.from('gone'))
      })
      const [header, first, second, ...others] = blocks as [Buffer, Buffer, Buffer, ...Buffer[]]
      const cut = await castOf(Buffer.concat([header, first]), identity)
      assert.deepEqual([shown(cut), shown(cut, 'm')], ['shown', 'the recording breaks off here'])
      second.writeUInt8(second.readUInt8(200) ^ 1, 200)
      const altered = await castOf(Buffer.concat([header, first, second, ...others]), identity)
      assert.equal(shown(altered), 'shown')
      assert.match(shown(altered, 'm'), /was altered at byte \d+, in block 2/)
    })
  })
})
