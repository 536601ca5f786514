import assert from 'node:assert/strict'
import fc from 'fast-check'
import { decodeErrorFields } from '../codec/server-messages.ts'
import { fromServer } from '../codec/types.ts'
import { type CopyOptions, copyForm, formProblem } from './copy-form.ts'
import { redactPayload } from './notification.ts'
import { type Exposure, scrub } from './scrub.ts'

const text: CopyOptions = {
  direction: 'out',
  format: 'text',
  delimiter: '\t',
  null: '\\N',
  quote: '"',
  escape: '"',
  header: false,
}
const csv: CopyOptions = { ...text, format: 'csv', delimiter: ',', null: '' }

/** Fields that were decoded from a row of these values, as text. */
function throughRow(options: CopyOptions, values: readonly (string | null)[]): (string | null)[] | undefined {
  const form = copyForm(options)
  const written = values.map((value) => form.encode(value === null ? null : Buffer.from(value)))
  const row = Buffer.from(written.map((field) => field.toString('latin1')).join(options.delimiter), 'latin1')
  return form
    .split(row, row.length)
    ?.map(([start, end]) => form.decode(row.subarray(start, end))?.toString() ?? null)
}

describe('rows of COPY', () => {
  const values = fc.array(
    fc.option(fc.string({ unit: fc.constantFrom(...'ab1x\\N"\',;|\n\r\t\b\v\fä😀') })),
    {
      minLength: 1,
      maxLength: 5,
    },
  )
  for (const options of [text, { ...text, delimiter: '|' }, { ...text, delimiter: "'" }])
    it(`are taken apart as they were written, with ${JSON.stringify(options.delimiter)}`, () =>
      fc.assert(fc.property(values, (row) => assert.deepEqual(throughRow(options, row), row))))

  for (const options of [
    csv,
    { ...csv, delimiter: ';', quote: "'", escape: "'" },
    { ...csv, quote: '1', escape: 'x' },
    { ...csv, escape: '\\' },
    { ...csv, escape: ',' },
    { ...csv, null: 'N' },
  ])
    it(`are taken apart as they were written as CSV, with ${options.quote} and ${options.escape}`, () =>
      fc.assert(fc.property(values, (row) => assert.deepEqual(throughRow(options, row), row))))

  it('tell no value from NULL where both are written alike', () => {
    for (const marker of ['guess', '', '\\\\', '\\b', '7'])
      assert.notEqual(copyForm({ ...text, null: marker }).decode(Buffer.from(marker)), undefined, marker)
    for (const marker of ['\\N', '\\NULL', '\\.'])
      assert.equal(copyForm({ ...text, null: marker }).decode(Buffer.from(marker)), undefined, marker)
  })

  it('are refused where a field could hide its end', () => {
    assert.equal(formProblem(text), undefined)
    assert.equal(formProblem({ ...text, null: 'x\\\\' }), undefined)
    assert.match(formProblem({ ...text, null: '\\' }) ?? '', /backslash/)
    assert.match(formProblem({ ...text, null: 'x\\\\\\' }) ?? '', /backslash/)
    for (const odd of ['', 'ä', '||'])
      assert.match(formProblem({ ...text, delimiter: odd }) ?? '', /one ASCII character/)
    assert.match(formProblem({ ...csv, quote: 'é' }) ?? '', /one ASCII character/)
  })
})

describe('errors near masked data', () => {
  const said = (
    exposure: Exposure,
    fields: Readonly<Record<string, string>>,
  ): Readonly<Record<string, string>> | 'as it is' => {
    const message = scrub(fromServer.error, new Map(Object.entries(fields)), exposure)
    const { bytes } = message ?? {}
    return bytes ? Object.fromEntries(decodeErrorFields(bytes, 0, bytes.length) ?? []) : 'as it is'
  }
  const secret = 'secret'
  const code = { W: 'PL/pgSQL function f() line 1 at RAISE' }

  for (const [what, fields] of Object.entries({
    'a syntax error': { C: '42601', M: 'syntax error at or near "x"', P: '3' },
    'a column that does not exist': { C: '42703', M: 'column "x" does not exist', P: '8', H: 'Perhaps "y".' },
    'an invalid parameter': {
      C: '22P02',
      M: 'invalid input syntax for type integer: "x"',
      W: "unnamed portal parameter $1 = 'x'",
    },
    'an aborted transaction': { C: '25P02', M: 'current transaction is aborted' },
    'an end by the administrator': { C: '57P01', M: 'terminating connection' },
    'what depends on a table': {
      C: '2BP01',
      M: 'cannot drop table a',
      D: 'view b depends on it',
      R: 'reportDependentObjects',
    },
  }))
    it(`pass ${what}`, () => assert.equal(said('data', { S: 'ERROR', ...fields }), 'as it is'))

  for (const [what, fields] of Object.entries({
    'a name that a value was taken for': { C: '42P01', M: `relation "${secret}" does not exist` },
    'an invalid value': { C: '22P02', M: `invalid input syntax for type integer: "${secret}"` },
    'a duplicate': { C: '23505', M: 'duplicate key', D: `Key (a)=(${secret}) already exists.`, n: 'a_key' },
    'a cancelled command': { C: '57014', M: 'canceling statement', W: `while at ${secret}` },
    'an error of code that pretends to be about names': {
      ...code,
      C: '42P01',
      M: secret,
      P: '1',
      t: secret,
      n: secret,
      s: secret,
      c: secret,
      d: secret,
    },
    'a condition of code': { ...code, C: secret.slice(0, 5).toUpperCase(), M: 'no' },
    'a condition of code in a known class': { ...code, C: '22SEC', M: 'no' },
    'code that runs for a parameter': {
      C: '42P01',
      M: secret,
      W: "PL/pgSQL function f() line 1 at RAISE\nunnamed portal parameter $1 = '...'",
    },
    'a portal whose name pretends': {
      C: '22P02',
      M: secret,
      W: 'portal "x" parameter $1" with parameters: $1 = \'1\'',
    },
    'a row of COPY that exists already': {
      C: '23505',
      M: 'x',
      D: `Key (a)=(${secret}) already exists.`,
      W: 'COPY t, line 1',
    },
    'a query inside code': { C: '42601', M: 'no', p: '1', q: `SELECT ${secret}` },
  }))
    it(`don't pass ${what}`, () => {
      const shown = JSON.stringify(said('data', { S: 'ERROR', V: 'ERROR', F: 'x.c', L: '1', ...fields }))
      assert.doesNotMatch(shown, /secret|SEC|"[FLRWpq]"/)
    })

  it('keep the condition, and the names that the server itself gave', () =>
    assert.deepEqual(
      said('data', { S: 'ERROR', V: 'ERROR', C: '23505', M: 'x', D: 'y', s: 'public', t: 'a', n: 'a_key' }),
      {
        S: 'ERROR',
        V: 'ERROR',
        C: '23505',
        s: 'public',
        t: 'a',
        n: 'a_key',
        M: 'duplicate key value violates a unique constraint',
        D: 'Its text is withheld because it could quote masked data.',
      },
    ))

  it('pass where no masked data is near, and out of code only where it was followed', () => {
    const raised = { ...code, S: 'ERROR', C: 'P0001', M: 'the order is closed' }
    assert.equal(said('nothing', raised), 'as it is')
    assert.equal(said('code', { S: 'ERROR', C: '22012', M: 'division by zero' }), 'as it is')
    assert.notEqual(said('code', raised), 'as it is')
  })
})

describe('notifications', () => {
  it('keep sender and channel', () => {
    const payload = Buffer.concat([Buffer.from([0, 0, 0, 9]), Buffer.from('channel\0secret\0')])
    const message = Buffer.concat([Buffer.from([0x41, 0, 0, 0, payload.length + 4]), payload])
    const redacted = redactPayload(message, 0, message.length)
    assert.equal(redacted?.toString('latin1', 5), '\0\0\0\tchannel\0********\0')
    assert.equal(redacted?.readInt32BE(1), (redacted?.length ?? 0) - 1)
    assert.equal(redactPayload(message, 0, message.length - 1), undefined)
  })
})
