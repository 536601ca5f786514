import assert from 'node:assert/strict'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { lineStart, type Sink } from './sink.ts'
import { Spool } from './spool.ts'
import { AuditWriter, type AuditWriterEvents } from './writer.ts'

/** What a sink does when it is written to; afterwards it takes everything. */
type Answer =
  | { readonly kind: 'takes'; readonly bytes: number }
  /** Only whole lines, as files do. */
  | { readonly kind: 'takesLines'; readonly bytes: number }
  | { readonly kind: 'busy' | 'fails' | 'moves' }

class ScriptedSink implements Sink {
  /** Another one each time it moved; the newest first. */
  readonly files: Buffer[] = [Buffer.alloc(0)]
  readonly #answers: Answer[]

  constructor(answers: readonly Answer[]) {
    this.#answers = [...answers]
  }

  async write(lines: Buffer, from: number): Promise<number> {
    await Promise.resolve()
    const answer = this.#answers.shift() ?? { kind: 'takes', bytes: lines.length }
    switch (answer.kind) {
      case 'busy':
        return from
      case 'fails':
        throw new Error('no space')
      case 'moves':
        this.files.unshift(Buffer.alloc(0))
        return lineStart(lines, from)
      default: {
        const end = Math.min(lines.length, from + answer.bytes)
        const to = answer.kind === 'takes' ? end : Math.max(from, lineStart(lines, end))
        this.files[0] = Buffer.concat([this.files[0] ?? lines, lines.subarray(from, to)])
        return to
      }
    }
  }

  close(): void {}
}

const answers = fc.oneof(
  fc.record({
    kind: fc.constantFrom('takes' as const, 'takesLines' as const),
    bytes: fc.integer({ min: 1, max: 90 }),
  }),
  fc.record({ kind: fc.constantFrom('busy' as const, 'fails' as const, 'moves' as const) }),
)

/** In milliseconds; the long one is enough for a failed sink to be tried again. */
const pauses = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: 12 }) },
  { weight: 1, arbitrary: fc.constant(280) },
)

const silent: AuditWriterEvents = { failed() {}, recovered() {}, dropped() {} }

describe('AuditWriter', function () {
  this.timeout(120_000)
  let directory: string
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-audit-'))
  })
  after(() => rmSync(directory, { recursive: true }))

  it('brings every line to the sink or the spool once and in order, whatever the sink does', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(answers, { maxLength: 12 }),
        fc.array(pauses, { maxLength: 20 }),
        fc.integer({ min: 60, max: 600 }),
        fc.boolean(),
        async (script, waits, spoolLimit, leftOver) => {
          const path = join(directory, 'property.spool')
          if (leftOver) writeFileSync(path, 'left 1\nleft 2\n')
          const sink = new ScriptedSink(script)
          const writer = new AuditWriter(sink, new Spool(path, spoolLimit), silent)
          const expected = leftOver ? ['left 1', 'left 2'] : []
          for (const [index, pause] of waits.entries()) {
            const line = `line ${index} ${'é'.repeat(index)}`
            expected.push(line)
            writer.write(`${line}\n`)
            await new Promise((resolve) => setTimeout(resolve, pause))
          }
          const lost = await writer.close()
          const spooled = existsSync(path) ? readFileSync(path, 'utf8') : ''
          rmSync(path, { force: true })
          // a pipe that moved may have got the first part of a line, which the next one gets whole
          const parts = sink.files
            .map(String)
            .reverse()
            .map((text, index) =>
              index < sink.files.length - 1 || spooled !== '' || lost > 0
                ? text.slice(0, text.lastIndexOf('\n') + 1)
                : text,
            )
          const lines = [...parts, spooled].join('').split('\n').slice(0, -1)
          assert.deepEqual(lines, expected.slice(0, expected.length - lost))
        },
      ),
      { numRuns: 40, interruptAfterTimeLimit: 15_000 },
    )
  })

  it('holds sessions up when 4 MiB wait, and lets them go on when they are written', async () => {
    let take: () => void = () => {}
    let text = 0
    const sink: Sink = {
      async write(lines) {
        await new Promise<void>((resolve) => {
          take = resolve
        })
        text += lines.length
        return lines.length
      },
      close() {},
    }
    const writer = new AuditWriter(sink, undefined, silent)
    const line = `${'x'.repeat(1023)}\n`
    let count = 0
    for (; writer.ready('block') === undefined; count++) writer.write(line)
    assert.ok(count > 4 * 1024 && count < 4 * 1024 + 200, `${count}`)
    const ready = writer.ready('spool')
    assert.ok(ready)
    await new Promise((resolve) => setTimeout(resolve, 20))
    take()
    await new Promise((resolve) => setTimeout(resolve, 20))
    take()
    await ready
    assert.equal(writer.ready('block'), undefined)
    assert.equal(await writer.close(), 0)
    assert.equal(text, count * line.length)
  })

  it('writes lines together: one write in 10 ms, or for 64 KiB', async () => {
    let writes = 0
    const sink: Sink = {
      async write(lines) {
        writes++
        return lines.length
      },
      close() {},
    }
    const writer = new AuditWriter(sink, undefined, silent)
    for (let count = 0; count < 60; count++) writer.write(`${'x'.repeat(999)}\n`)
    await new Promise((resolve) => setTimeout(resolve, 30))
    assert.equal(writes, 1)
    await writer.close()
  })

  it('says once that the sink fails, once that the spool does, and once that it is over', async () => {
    const events: string[] = []
    const path = join(directory, 'events.spool')
    const sink = new ScriptedSink(Array(4).fill({ kind: 'fails' }))
    const writer = new AuditWriter(sink, new Spool(path, 10), {
      failed: ({ message }) => events.push(message),
      recovered: () => events.push('recovered'),
      dropped() {},
    })
    writer.write('more than ten bytes\n')
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.notEqual(writer.ready('spool'), undefined, 'the spool is full')
    await writer.ready('block')
    assert.deepEqual(events, [
      'no space',
      `${path}: the spool has reached its limit of 10 bytes`,
      'recovered',
    ])
    await writer.close()
    assert.deepEqual(sink.files.map(String), ['more than ten bytes\n'])
  })

  it('says so when a line comes after the end', async () => {
    const messages: string[] = []
    const writer = new AuditWriter(new ScriptedSink([]), undefined, {
      ...silent,
      failed: ({ message }) => messages.push(message),
    })
    await writer.close()
    writer.write('late\n')
    assert.deepEqual(messages, ['a line came after the end of the audit'])
  })
})

describe('Spool', function () {
  this.timeout(60_000)
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-spool-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('gives whole lines back, longer ones than it reads at once too', async () => {
    const path = join(directory, 'spool')
    const lines = ['a', 'b'.repeat(3_000_000), 'c'.repeat(600_000), 'd'.repeat(600_000)].map(
      (line) => `${line}\n`,
    )
    const spool = new Spool(path)
    for (const line of lines) await spool.append(Buffer.from(line))
    let text = ''
    while (!spool.empty) {
      const piece = await spool.next()
      assert.equal(piece.at(-1), 0x0a)
      text += piece
      spool.delivered(piece.length)
    }
    assert.ok(text === lines.join(''))
    assert.equal(existsSync(path), false)
  })

  it('passes over what the sink has already', async () => {
    const path = join(directory, 'spool')
    for (const [lastLines, rest] of [
      [[], '1\n22\n3\n'],
      [['0', '2'], '1\n22\n3\n'],
      [['22', '1'], '3\n'],
      [['torn', '1'], '22\n3\n'],
      [['3', '22'], ''],
    ] as const) {
      writeFileSync(path, '1\n22\n3\n')
      const spool = new Spool(path)
      await spool.passOver(lastLines.map((line) => Buffer.from(line)))
      assert.equal(spool.empty ? '' : (await spool.next()).toString(), rest)
      assert.equal(existsSync(path), rest !== '')
      spool.close()
      rmSync(path, { force: true })
    }
  })

  it('leaves the next process what is still to be delivered, and no more', async () => {
    const path = join(directory, 'spool')
    const spool = new Spool(path)
    await spool.append(Buffer.from('1\n2\n3\n'))
    spool.delivered(2)
    spool.close()
    assert.deepEqual(readdirSync(directory), ['spool'])
    assert.equal(readFileSync(path, 'utf8'), '2\n3\n')
  })

  it('does not follow a link that somebody put in its place', () => {
    const path = join(directory, 'spool')
    const target = join(directory, 'target')
    writeFileSync(target, 'x\n')
    symlinkSync(target, path)
    assert.throws(() => new Spool(path), /ELOOP/)
    assert.equal(readFileSync(target, 'utf8'), 'x\n')
  })

  it('goes on when somebody else emptied it', async () => {
    const path = join(directory, 'spool')
    const spool = new Spool(path)
    await spool.append(Buffer.from('gone\n'))
    writeFileSync(path, '')
    await assert.rejects(spool.next(), /was changed by somebody else; 5 bytes of it are gone/)
    await spool.append(Buffer.from('there\n'))
    assert.equal((await spool.next()).toString(), 'there\n')
    spool.close()
  })
})
