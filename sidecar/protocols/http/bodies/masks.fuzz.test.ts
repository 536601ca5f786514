import assert from 'node:assert/strict'
import { applyMask } from '@firebreak/policy'
import fc from 'fast-check'
import { bodyTerms, openMask, runMask } from './testing.ts'

const terms = bodyTerms({ masks: { '$.email': 'redact', '$.a.email': 'hash', '$.list': { keepLast: 1 } } })
const nothingMasked = bodyTerms({ masks: { '$.never': 'redact' } })
const type: Record<string, string> = {
  json: 'application/json',
  csv: 'text/csv',
  form: 'application/x-www-form-urlencoded',
  events: 'text/event-stream',
  text: 'text/plain',
  ndjson: 'application/x-ndjson',
}

const run = (body: Buffer, cuts: readonly number[], mediaType: string, using = terms) => {
  const opened = openMask(using, [['content-type', mediaType]])
  assert.ok(opened.ok)
  const places = [0, ...cuts.map((cut) => cut % (body.length + 1)).sort((a, b) => a - b), body.length]
  return runMask(
    opened.value,
    places.slice(1).map((end, index) => body.subarray(places[index], end)),
  )
}

const name = fc.oneof(
  fc.constantFrom('email', 'a', 'list', 'id', '__proto__'),
  fc.string({ unit: 'grapheme' }),
)
const { document } = fc.letrec<{ document: unknown; value: unknown }>((tie) => ({
  document: fc.oneof(
    { depthSize: 'small' },
    fc.array(tie('value')),
    fc.dictionary(name, tie('value'), { noNullPrototype: true }),
  ),
  value: fc.oneof(
    { depthSize: 'small' },
    // what looks like JSON that breaks is masked
    fc.string({ unit: 'binary' }).map((text) => text.replaceAll('{', '')),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.json({ stringUnit: fc.constantFrom(...'abé😀" \\[]}:,\n') }),
    fc.array(tie('value')),
    fc.dictionary(name, tie('value'), { noNullPrototype: true }),
  ),
}))
const cuts = fc.array(fc.nat(), { maxLength: 6 })
const spacing = fc.constantFrom(undefined, 1, '\t')

/** The text of JSON with some of its characters written as escapes. */
function escaped(text: string, every: number): string {
  return text.replace(/(?<=[a-z])[a-z](?=[a-z]*":)/g, (letter, at: number) =>
    at % every === 0 ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}` : letter,
  )
}

describe('masks of HTTP bodies, at random', function () {
  this.timeout(120_000)

  it('pass JSON that carries no mask byte for byte', () => {
    fc.assert(
      fc.property(document, spacing, cuts, (value, space, at) => {
        const text = JSON.stringify(value, undefined, space)
        const masked = run(Buffer.from(text), at, 'application/json', nothingMasked)
        assert.ok(masked.ok, masked.ok ? '' : masked.error)
        assert.equal(masked.value.text, text)
      }),
      { numRuns: 500 },
    )
  })

  it('hide the same from whoever compares two documents that differ in what is masked', () => {
    const secret = fc.oneof(fc.string({ unit: 'binary' }), fc.dictionary(fc.string(), fc.string()))
    const wherever = (value: unknown, hidden: unknown): unknown => ({ a: 1, email: hidden, rest: value })
    fc.assert(
      fc.property(
        document,
        fc.tuple(secret, secret),
        cuts,
        fc.integer({ min: 1, max: 4 }),
        (value, [first, second], at, every) => {
          if (typeof first !== typeof second) return
          const texts = [first, second].map((hidden) => {
            const text = escaped(JSON.stringify(wherever(value, hidden)), every)
            const masked = run(Buffer.from(text), at, 'application/json')
            assert.ok(masked.ok, masked.ok ? '' : masked.error)
            return masked.value.text
          })
          // where the names are escaped depends on what stands before
          assert.deepEqual(JSON.parse(texts[0] ?? ''), JSON.parse(texts[1] ?? ''))
        },
      ),
      { numRuns: 500 },
    )
  })

  it('keep as much of a text as the policy says, however it is written', () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }))
    fc.assert(
      fc.property(text, fc.nat({ max: 5 }), cuts, (value, keepLast, at) => {
        const kept = bodyTerms({ masks: { '$.a': { keepLast } } })
        const masked = run(Buffer.from(JSON.stringify({ a: value })), at, 'application/json', kept)
        assert.ok(masked.ok)
        const expected = applyMask({ kind: 'partial', keepLast }, value, kept.maskKey)
        assert.equal(masked.value.text, JSON.stringify({ a: expected }))
      }),
      { numRuns: 1_000 },
    )
  })

  it('take exactly what is JSON', () => {
    const broken = fc
      .tuple(document, fc.nat(), fc.constantFrom(...'{}[]",:0-e.\\ut \n/NI', ''))
      .map(([value, place, put]) => {
        const text = JSON.stringify(value)
        const at = place % (text.length + 1)
        return text.slice(0, at) + put + text.slice(at + 1)
      })
    fc.assert(
      fc.property(broken, cuts, (text, at) => {
        const body = Buffer.from(text)
        const masked = run(body, at, 'application/json', nothingMasked)
        assert.equal(masked.ok, isJson(body.toString()), text)
        if (masked.ok) JSON.parse(masked.value.text)
      }),
      { numRuns: 3_000 },
    )
  })

  it('give the same for any bytes of any type, however they come cut', () => {
    const pieces = fc.array(
      fc.oneof(
        fc.constantFrom(
          'data: ',
          '\n',
          '\r',
          '\r\n',
          '"',
          ',',
          '&',
          '=',
          '%',
          '{"email":"x"}',
          'email',
          '\ufeff',
          '-----BEGIN',
          ' ',
        ),
        fc.string({ unit: 'binary' }),
      ),
    )
    const body = fc.oneof(
      pieces.map((parts) => Buffer.from(parts.join(''))),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    )
    const using = fc.constantFrom(terms, bodyTerms({ detectors: ['email', 'private-key', 'card'] }))
    fc.assert(
      fc.property(
        body,
        cuts,
        fc.constantFrom(...Object.values(type)),
        using,
        (bytes, at, mediaType, those) => {
          const whole = run(bytes, [], mediaType, those)
          const cut = run(bytes, at, mediaType, those)
          assert.equal(cut.ok, whole.ok)
          if (cut.ok && whole.ok) assert.deepEqual(cut.value, whole.value)
        },
      ),
      { numRuns: 3_000 },
    )
  })
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
