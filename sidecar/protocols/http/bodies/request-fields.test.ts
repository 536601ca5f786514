import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { parse } from 'yaml'
import { readBodyFields } from './request-fields.ts'
import { anyRequest } from './testing.ts'

interface Case {
  readonly name: string
  readonly type?: string
  readonly encoding?: string
  readonly in: string
  readonly fields?: readonly (readonly [path: string, value: unknown])[]
  readonly refused?: string
}

const cases = parse(readFileSync(new URL('request-fields.test.yaml', import.meta.url), 'utf8')) as Case[]

const read = (body: Buffer, type: string, encoding?: string) =>
  readBodyFields({
    ...anyRequest,
    method: 'POST',
    headers: [
      ...(type === '' ? [] : [['content-type', type] as const]),
      ...(encoding === undefined ? [] : [['content-encoding', encoding] as const]),
    ],
    body,
  })

describe('fields of requests', function () {
  this.timeout(60_000)

  for (const { name, type = 'application/json', encoding, in: text, fields, refused } of cases)
    it(`${refused === undefined ? 'are read from' : 'are not read from'} ${name}`, () => {
      const result = read(Buffer.from(text), type, encoding)
      if (refused === undefined) {
        assert.ok(result.ok, result.ok ? '' : result.error)
        assert.deepEqual(
          result.value.map(({ path, value }) => [path.join('.'), value]),
          fields,
        )
      } else {
        assert.ok(!result.ok, 'it was read')
        assert.ok(result.error.includes(refused), result.error)
      }
    })

  it('are bounded in their number', () => {
    const result = read(Buffer.from(`[${'1,'.repeat(10_001)}1]`), 'application/json')
    assert.ok(!result.ok)
  })

  it('never crash on bytes', () => {
    const types = ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']
    const piece = fc.constantFrom(
      '--x',
      '\r\n',
      '\r\n\r\n',
      '--',
      'Content-Disposition: form-data; name="',
      '"',
      '&',
      '=',
      '%',
      '{',
      ':',
    )
    const text = fc.array(fc.oneof(piece, fc.string({ unit: 'binary' }))).map((parts) => parts.join(''))
    fc.assert(
      fc.property(text, fc.constantFrom(...types), (body, type) => {
        read(Buffer.from(body), type)
      }),
      { numRuns: 1_000 },
    )
  })
})
