import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { DetectorKind, MaskStrategy } from './decision.ts'
import { detect, maskDetected } from './detection/detect.ts'
import { applyMask } from './masking/apply.ts'
import { luhnSum } from './masking/format.ts'

const key = Buffer.from('a secret of the installation')
const all: DetectorKind[] = ['card', 'ssn', 'email', 'iban', 'cloud-key', 'jwt', 'private-key']

describe('masks', () => {
  const cases: readonly [strategy: MaskStrategy, value: string, masked: string | undefined][] = [
    [{ kind: 'redact' }, 'anything', '********'],
    [{ kind: 'null' }, 'anything', undefined],
    [{ kind: 'partial', keepLast: 4 }, '411-22-6789', '*******6789'],
    [{ kind: 'partial', keepLast: 4 }, '12345', '***45'],
    [{ kind: 'partial', keepLast: 4 }, 'x', '*'],
    [{ kind: 'partial', keepLast: 2 }, 'naïve😀', '****e😀'],
  ]
  for (const [strategy, value, masked] of cases)
    it(`${strategy.kind} of ${value}`, () => assert.equal(applyMask(strategy, value, key), masked))

  it('never show more than half of a value by a partial mask', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 16 }), (value, keepLast) => {
        const masked = applyMask({ kind: 'partial', keepLast }, value, key) ?? ''
        assert.ok([...masked].filter((character) => character === '*').length >= [...value].length / 2)
      }),
    )
  })

  it('hash equal values alike, and only with the key', () => {
    assert.equal(applyMask({ kind: 'hash' }, 'a', key), applyMask({ kind: 'hash' }, 'a', key))
    assert.notEqual(
      applyMask({ kind: 'hash' }, 'a', key),
      applyMask({ kind: 'hash' }, 'a', Buffer.from('another')),
    )
  })

  it('keep the form of cards, social security numbers, phones and addresses', () => {
    const card = applyMask({ kind: 'format', format: 'card' }, '4111 1111 1111 1111', key) ?? ''
    assert.match(card, /^\d{4} \d{4} \d{4} \d{4}$/)
    assert.equal(luhnSum(card.replaceAll(' ', '')) % 10, 0)
    assert.notEqual(card, '4111 1111 1111 1111')
    assert.match(applyMask({ kind: 'format', format: 'ssn' }, '411-22-6789', key) ?? '', /^9\d\d-\d\d-\d{4}$/)
    assert.match(
      applyMask({ kind: 'format', format: 'phone' }, '+1 (555) 010-0199', key) ?? '',
      /^\+\d \(\d{3}\) \d{3}-\d{4}$/,
    )
    assert.match(
      applyMask({ kind: 'format', format: 'email' }, 'a@b.org', key) ?? '',
      /^[a-z]+@[a-z]+\.example$/,
    )
  })
})

describe('a kept format', () => {
  for (const [format, value] of [
    ['phone', 'call Ada at home'],
    ['phone', 'Ada 555 010 0199'],
    ['phone', '++--'],
    ['card', 'no card yet'],
    ['card', '4111'],
    ['ssn', 'A-1234567'],
    ['ssn', '١٢٣-٤٥-٦٧٨٩'],
    ['ssn', ''],
  ] as const)
    it(`keeps nothing of ${value || 'an empty text'}, which is no ${format}`, () =>
      assert.equal(applyMask({ kind: 'format', format }, value, key), '********'))
})

describe('detectors', () => {
  const positives: readonly [DetectorKind, string][] = [
    ['card', '4111 1111 1111 1111'],
    ['card', '5500-0000-0000-0004'],
    ['card', '340000000000009'],
    ['ssn', '411-22-6789'],
    ['email', "o'brien+x@mail.example.co.uk"],
    ['iban', 'DE89 3704 0044 0532 0130 00'],
    ['iban', 'GB82WEST12345698765432'],
    ['cloud-key', 'AKIAIOSFODNN7EXAMPLE'],
    ['cloud-key', 'ghp_abcdefghijklmnopqrstuvwxyz0123456789'],
    ['jwt', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl'],
    ['private-key', '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----'],
  ]
  for (const [kind, value] of positives) {
    it(`find ${value.slice(0, 40)}`, () => {
      const text = `before ${value} after`
      assert.deepEqual(
        detect(text, all).map((finding) => [finding.kind, text.slice(finding.start, finding.end)]),
        [[kind, value]],
      )
      assert.equal(maskDetected(text, all), `before <${kind}> after`)
    })
  }

  for (const value of [
    '4111 1111 1111 1112',
    '000-12-3456',
    '912-12-3456',
    '411-00-6789',
    'user@localhost',
    'DE88 3704 0044 0532 0130 00',
    'AKIA123',
    'eyJ.x.y',
    '2026-11-21 10:00:00',
    'order 1234567890123',
    '127.0.0.1',
    '550e8400-e29b-41d4-a716-446655440000',
  ]) {
    it(`let ${value} be`, () => assert.equal(maskDetected(value, all), value))
  }

  it('take linear time', function () {
    this.timeout(300_000)
    const before = process.cpuUsage().user
    const pieces = [
      '1 ',
      '1-',
      'a@',
      'eyJ',
      'A',
      '-----BEGIN ',
      "a.'",
      'a@b.co ',
      '-----BEGIN PRIVATE KEY-----',
    ]
    for (const piece of [...pieces, 'eyJaaaaaaaaaa.eyJaa. ', '411-22-6789 ']) {
      detect(piece.repeat(40_000), all)
      // of the processor, not of the clock, which others let run; were it quadratic, one piece would take longer
      assert.ok(process.cpuUsage().user - before < 20_000_000, piece)
    }
  })

  it('find a hundred thousand values in one text', () => {
    assert.equal(detect('a@b.co '.repeat(100_000), all).length, 100_000)
  })
})
