import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { endOf, runLines } from '../testdata/trail.ts'
import { Outbox } from './outbox.ts'

const limit = 2 ** 28

describe('Outbox', function () {
  this.timeout(120_000)
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-outbox-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('gives every line out in order, again at most after a crash, whatever happens in between', async () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant('write' as const), lines: fc.integer({ min: 1, max: 2_000 }) }),
        fc.record({ kind: fc.constantFrom('deliver' as const, 'crash' as const, 'restart' as const) }),
      ),
      { maxLength: 40 },
    )
    await fc.assert(
      fc.asyncProperty(steps, async (script) => {
        const place = mkdtempSync(join(directory, 'run-'))
        let outbox = await Outbox.open(place, limit)
        let written = 0
        /** All before this one are with the receiver. */
        let delivered = 0
        const deliver = async (): Promise<boolean> => {
          const piece = await outbox.next()
          const numbers = piece
            .toString()
            .split('\n')
            .slice(0, -1)
            .map((line) => Number.parseInt(line, 10))
          for (const number of numbers) {
            assert.ok(number <= delivered, `${number} after ${delivered - 1}`)
            delivered = Math.max(delivered, number + 1)
          }
          outbox.delivered(piece.length)
          return numbers.length > 0
        }
        for (const step of script) {
          if (step.kind === 'write') {
            const lines = Array.from({ length: step.lines }, () => `${written++} ${'x'.repeat(600)}\n`)
            await outbox.write(Buffer.from(lines.join('')), 0)
          } else if (step.kind === 'deliver') await deliver()
          else {
            if (step.kind === 'restart') await outbox[Symbol.asyncDispose]()
            // as if the process that holds it were gone
            else rmSync(join(place, 'lock'))
            outbox = await Outbox.open(place, limit)
          }
        }
        while (await deliver()) assert.ok(outbox.waiting >= 0)
        assert.equal(delivered, written)
        assert.equal(outbox.waiting, 0)
        await outbox[Symbol.asyncDispose]()
      }),
      { numRuns: 30, interruptAfterTimeLimit: 15_000 },
    )
  })

  it('leaves out half a line, and knows the last whole one', async () => {
    const lines = runLines(3)
    const first = await Outbox.open(directory, limit)
    await first.write(Buffer.from(lines.join('')), 0)
    await first[Symbol.asyncDispose]()
    appendFileSync(join(directory, '000000000001.jsonl'), '{"v":1,"sou')
    const second = await Outbox.open(directory, limit)
    assert.deepEqual(second.end, endOf(lines))
    await second.write(Buffer.from('next\n'), 0)
    assert.equal((await second.next()).toString(), lines.join(''))
    second.delivered(lines.join('').length)
    assert.equal((await second.next()).toString(), 'next\n')
    await second[Symbol.asyncDispose]()
  })

  it('knows the last line although all was delivered', async () => {
    const lines = runLines(3)
    const first = await Outbox.open(directory, limit)
    await first.write(Buffer.from(lines.join('')), 0)
    first.delivered((await first.next()).length)
    await first[Symbol.asyncDispose]()
    const second = await Outbox.open(directory, limit)
    assert.deepEqual(second.end, endOf(lines))
    assert.equal((await second.next()).length, 0)
    await second[Symbol.asyncDispose]()
  })

  it('keeps a second process out', async () => {
    const outbox = await Outbox.open(directory, limit)
    await assert.rejects(Outbox.open(directory, limit), /is in use by process/)
    await outbox[Symbol.asyncDispose]()
    await (await Outbox.open(directory, limit))[Symbol.asyncDispose]()
  })

  it('gives a line out whole that is longer than what is read at once', async () => {
    const outbox = await Outbox.open(directory, limit)
    const line = `${'x'.repeat(3_000_000)}\n`
    await outbox.write(Buffer.from(`a\n${line}b\n`), 0)
    let text = ''
    for (let piece = await outbox.next(); piece.length > 0; piece = await outbox.next()) {
      text += piece
      outbox.delivered(piece.length)
    }
    assert.ok(text === `a\n${line}b\n`)
    await outbox[Symbol.asyncDispose]()
  })

  it('passes over a line that is longer than all that may wait, and says which it is', async () => {
    const outbox = await Outbox.open(directory, 1_000)
    const told: unknown[] = []
    outbox.onTooLong = (line) => told.push(line && [line.source, line.seq])
    const lines = Buffer.from(
      ['before', JSON.stringify({ source: 'S', seq: 7, text: 'x'.repeat(1_000) }), 'after', ''].join('\n'),
    )
    let from = await outbox.write(lines, 0)
    assert.deepEqual(told, [])
    while (from < lines.length) from = await outbox.write(lines, from)
    assert.deepEqual(told, [['S', 7]])
    assert.equal((await outbox.next()).toString(), 'before\nafter\n')
    await outbox[Symbol.asyncDispose]()
  })

  it('takes the lines that there is room for, whole ones', async () => {
    const outbox = await Outbox.open(directory, 10)
    assert.equal(await outbox.write(Buffer.from('123\n567\n9\n'), 0), 10)
    await assert.rejects(outbox.write(Buffer.from('9\n'), 0), /has reached its limit of 10 bytes/)
    outbox.delivered((await outbox.next()).length)
    await outbox.write(Buffer.from('9\n'), 0)
    assert.equal((await outbox.next()).toString(), '9\n')
    await outbox[Symbol.asyncDispose]()
  })
})
