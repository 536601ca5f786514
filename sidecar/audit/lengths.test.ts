import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import type { CommandAudit } from '../session.ts'
import { Audit } from './audit.ts'
import { cutList, cutText, lineLengths, maximumLine } from './lengths.ts'
import { ocsfEvent } from './remote/ocsf.ts'
import { exportRequest } from './remote/otlp.ts'
import { allowed, command, everything, who } from './testdata/every-line.ts'

type Line = Readonly<Record<string, unknown>>

/** Characters by how many bytes they take: as they are, escaped in two ways, halves of a pair, and several bytes. */
const character = fc.constantFrom(
  'a',
  '"',
  '\\',
  '\n',
  '\u0001',
  '\u007f',
  'ä',
  '€',
  '😀',
  '\ud83d',
  '\udc00',
)
const text = fc
  .tuple(fc.array(character, { maxLength: 12 }), fc.constantFrom(1, 90, 1_000, 20_000))
  .map(([characters, times]) => characters.join('').repeat(times))
const texts = fc
  .tuple(fc.array(text, { maxLength: 3 }), fc.constantFrom(1, 20, 3_000))
  .filter(([values, times]) => values.join('').length * times < 3_000_000)
  .map(([values, times]) => Array.from({ length: times }, () => values).flat())

describe('what is cut', () => {
  it('of a text is as long as it may be in JSON, and says how much it is not', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 0, max: 200_000 }), (whole, maximum) => {
        const { text: cut, leftOut } = cutText(whole, maximum)
        const bytes = (one: string): number => Buffer.byteLength(JSON.stringify(one)) - 2
        assert.ok(bytes(cut) <= maximum)
        assert.equal(cut, whole.slice(0, cut.length))
        assert.equal(cut.length + (leftOut ?? 0), whole.length)
        if (leftOut === undefined) return
        const next = String.fromCodePoint(whole.codePointAt(cut.length) ?? 0)
        assert.ok(bytes(cut + next) > maximum, 'one more would have been too much')
      }),
    )
  })

  it('of a list is whole values from the first one on, and says how many are not there', () => {
    const values = fc.array(fc.oneof(text, fc.constant(null)), { maxLength: 30 })
    fc.assert(
      fc.property(values, fc.integer({ min: 0, max: 200_000 }), (whole, maximum) => {
        const { values: cut, leftOut } = cutList(whole, maximum)
        // each with a comma; the brackets are not counted
        const bytes = (some: readonly (string | null)[]): number =>
          some.length === 0 ? 0 : Buffer.byteLength(JSON.stringify(some)) - 1
        assert.ok(bytes(cut) <= maximum)
        assert.deepEqual(cut, whole.slice(0, cut.length))
        assert.equal(cut.length + (leftOut ?? 0), whole.length)
        if (leftOut !== undefined) assert.ok(bytes(whole.slice(0, cut.length + 1)) > maximum)
      }),
    )
  })
})

/** In bytes: of a request that brings a receiver this line alone. */
function sentLength(line: Line): number {
  const text = JSON.stringify(line)
  const requests = [[ocsfEvent(text)], exportRequest([text])]
  return Math.max(...requests.map((request) => Buffer.byteLength(JSON.stringify(request))))
}

describe('an audit line', function () {
  this.timeout(120_000)
  let directory: string
  let audit: Audit
  let path: string

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-audit-'))
    path = join(directory, 'audit.jsonl')
    const language = { normalize: (normalized: string) => normalized, mayHoldSecret: () => false }
    const events = { failed: assert.fail, recovered() {}, undelivered() {}, delivered() {} }
    audit = await Audit.open([{ kind: 'file', path }], language, events)
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  /** @returns the lines that were written between the first and the last of the run, each of which is short enough. */
  async function written(): Promise<Line[]> {
    await audit.close()
    const lines = readFileSync(path, 'utf8').split('\n').slice(1, -2)
    for (const line of lines) assert.ok(Buffer.byteLength(line) < maximumLine, `${Buffer.byteLength(line)}`)
    return lines.map((line) => JSON.parse(line) as Line)
  }

  const full = { text: 'full', onFailure: 'block' } as const

  it('is no longer than it may be, whatever the command holds', async () => {
    const { text: usual = '', ...withoutText } = everything
    const entry = fc.record({
      own: fc.option(fc.oneof(text, fc.constant(usual)), { nil: undefined }),
      command: fc.record({ text, opaque: texts, objects: texts }).map(({ text: own, opaque, objects }) =>
        command(own, {
          opaque,
          touches: objects.map((name, index) => ({
            action: 'sql:select',
            object: { kind: 'table', path: [`${index}`, name.slice(0, 300)] },
            origin: 'direct',
          })),
        }),
      ),
      parameters: texts,
      outcome: fc
        .record({ code: text, message: text, maskedFields: texts })
        .map(({ code, message, maskedFields }) => ({
          ...everything.outcome,
          maskedFields,
          error: { code, message },
        })),
      reason: text,
      alerts: texts,
    })
    const entries: CommandAudit[] = []
    fc.assert(
      fc.property(entry, ({ own, reason, alerts, ...more }) => {
        const decision = {
          ...everything.decision,
          reason,
          alerts: alerts.map((rule) => ({ policy: 'agents/guard' as const, rule })),
        }
        const one = { ...withoutText, ...more, ...(own !== undefined && { text: own }), decision }
        entries.push(one)
        audit.command(who, one, full)
      }),
      { numRuns: 60 },
    )
    const lines = await written()
    assert.equal(lines.length, entries.length)
    for (const [index, { text: own, command: about, parameters = [], outcome }] of entries.entries()) {
      const line = lines[index] as {
        readonly text?: string
        readonly textLeftOut?: number
        readonly parameters?: readonly string[]
        readonly parametersLeftOut?: number
        readonly masked?: readonly string[]
        readonly maskedLeftOut?: number
        readonly error?: { readonly message: string; readonly messageLeftOut?: number }
        readonly digest: string
        readonly tooLong?: readonly string[]
      }
      const whole = own ?? about.text
      assert.equal(line.digest, hash('sha256', whole))
      const has = (name: string): boolean => !line.tooLong?.includes(name)
      if (has('text')) assert.equal((line.text?.length ?? 0) + (line.textLeftOut ?? 0), whole.length)
      if (has('parameters'))
        assert.equal((line.parameters?.length ?? 0) + (line.parametersLeftOut ?? 0), parameters.length)
      if (has('masked'))
        assert.equal((line.masked?.length ?? 0) + (line.maskedLeftOut ?? 0), outcome.maskedFields.length)
      if (has('error'))
        assert.equal(
          (line.error?.message.length ?? 0) + (line.error?.messageLeftOut ?? 0),
          outcome.error?.message.length,
        )
    }
  })

  it('of all that a client and a target can make long has something of each', async () => {
    const nasty = '\u0001'.repeat(1_000)
    const many = Array.from({ length: 2_000 }, (_, index) => `${nasty}${index}`)
    const touches = many.map((name) => ({
      action: 'sql:select' as const,
      object: { kind: 'table' as const, path: [name] },
      origin: 'direct' as const,
    }))
    audit.command(
      who,
      {
        ...everything,
        command: command('select 1', { opaque: many, touches }),
        decision: allowed,
        text: nasty.repeat(2_000),
        parameters: many,
        outcome: {
          ...everything.outcome,
          maskedFields: many,
          error: { code: nasty, message: nasty.repeat(60) },
        },
      },
      full,
    )
    const [line = {}] = await written()
    assert.equal('tooLong' in line, false)
    assert.ok(sentLength(line) < 2 ** 21)
    const { code, message, messageLeftOut } = line.error as Record<string, string | number>
    assert.equal(String(code).length, Math.floor(lineLengths.code / 6))
    assert.equal(String(message).length + Number(messageLeftOut), 60_000)
    assert.equal(String(line.text).length, Math.floor(lineLengths.text / 6))
    assert.equal(String(line.text).length + Number(line.textLeftOut), 2_000_000)
    for (const name of ['parameters', 'objects', 'opaque', 'masked'])
      assert.equal((line[name] as unknown[]).length + Number(line[`${name}LeftOut`]), 2_000, name)
  })

  it('is no longer than receivers are told, whatever has to be escaped once more', async () => {
    const quotes = '"'.repeat(lineLengths.text / 2)
    const problems = Array.from({ length: 400 }, () => '"'.repeat(500))
    audit.command(who, { ...everything, text: quotes }, full)
    audit.notice('configuration.refused', { revision: 'abc', problems })
    const [line = {}, notice = {}] = await written()
    assert.equal(line.text, quotes)
    assert.deepEqual(notice.problems, problems)
    for (const one of [line, notice]) assert.ok(sentLength(one) < 2 ** 21, `${sentLength(one)}`)
  })

  it('is whole where it is long and not too long', async () => {
    const long = `select '${'x'.repeat(100_000)}', "a"\n`
    const parameters = Array.from({ length: 60 }, () => 'y'.repeat(1_000))
    const error = { code: '22P02', message: 'z'.repeat(8_000) }
    audit.command(
      who,
      { ...everything, text: long, parameters, outcome: { ...everything.outcome, error } },
      full,
    )
    const [line = {}] = await written()
    assert.equal(line.text, long)
    assert.deepEqual(line.parameters, parameters)
    assert.deepEqual(line.error, error)
    assert.deepEqual(
      Object.keys(line).filter((name) => name.endsWith('LeftOut') || name === 'tooLong'),
      [],
    )
  })

  it('that is about no command goes without what is too long, and names it', async () => {
    const problems = Array.from({ length: 20_000 }, (_, index) => `policy.yaml:${index}: this is not known`)
    audit.notice('configuration.refused', { revision: 'abc', problems })
    const [line = {}] = await written()
    assert.equal(line.revision, 'abc')
    assert.equal('problems' in line, false)
    assert.deepEqual(line.tooLong, ['problems'])
  })
})
