import assert from 'node:assert/strict'
import { applyMask } from '@firebreak/policy'
import fc from 'fast-check'
import { parseJson, plainValue } from '../documents/json.ts'
import { looksMasked, writtenBack } from './written-back.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')

const cases = [
  { name: 'text', kind: 'configmaps', sent: { data: { a: '********', b: 'b' } }, found: ['data.a'] },
  { name: 'the end of a value', kind: 'configmaps', sent: { data: { a: '****1111' } }, found: ['data.a'] },
  {
    name: 'what ends as a value does that was masked before',
    kind: 'configmaps',
    sent: { a: '***1111' },
    found: [],
  },
  { name: 'an asterisk', kind: 'configmaps', sent: { data: { origin: '*', files: '**/*.ts' } }, found: [] },
  { name: 'bytes', kind: 'secrets', sent: { data: { a: base64('********') } }, found: ['data.a'] },
  {
    name: 'bytes of a config map',
    kind: 'configmaps',
    sent: { binaryData: { a: base64('****') } },
    found: ['binaryData.a'],
  },
  {
    name: 'text that would be a mask as bytes',
    kind: 'configmaps',
    sent: { data: { a: base64('********') } },
    found: [],
  },
  {
    name: 'an element of a list',
    kind: 'pods',
    sent: { spec: { env: [{ name: 'A', value: '********' }] } },
    found: ['spec.env.value'],
  },
  {
    name: 'null in a list that is written whole',
    kind: 'pods',
    sent: { env: [{ value: null }] },
    found: ['env.value'],
  },
  {
    name: 'null that removes from an element',
    kind: 'pods',
    sent: { env: [{ value: null }] },
    removes: true,
    found: [],
  },
  { name: 'null that removes', kind: 'pods', sent: { metadata: { labels: { a: null } } }, found: [] },
  { name: 'numbers', kind: 'pods', sent: { spec: { ports: [{ port: 0 }] } }, found: [] },
]

describe('what was read masked and is sent again', () => {
  for (const { name, kind, sent, removes = false, found } of cases)
    it(`${name}: ${found.length > 0 ? 'is found' : 'is not it'}`, () => {
      const parsed = parseJson(Buffer.from(JSON.stringify(sent)))
      assert.ok(parsed.ok)
      const names = [...writtenBack(plainValue(parsed.value), kind, removes)]
      assert.deepEqual(
        names.map((each) => each.join('.')),
        found,
      )
    })

  it('is found whatever was masked, where asterisks stand for it and it is no shorter than three characters', () => {
    const values = fc.string({ minLength: 3, unit: 'grapheme' })
    fc.assert(
      fc.property(values, fc.nat({ max: 8 }), (value, keepLast) => {
        for (const strategy of [{ kind: 'redact' }, { kind: 'partial', keepLast }] as const) {
          const masked = applyMask(strategy, value, Buffer.from('key')) ?? ''
          assert.ok(looksMasked(masked), masked)
        }
      }),
    )
  })
})
