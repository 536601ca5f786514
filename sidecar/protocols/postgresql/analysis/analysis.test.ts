import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describeSource, describeTouch } from '@firebreak/policy'
import fc from 'fast-check'
import { parse } from 'yaml'
import { attacksDirectory, Shop } from '../../../../test/shop.ts'
import { CatalogueCache } from '../catalogue/cache.ts'
import { sqlActions } from './actions.ts'
import { analyseText } from './analyse.ts'
import { Analyser } from './analyser.ts'
import { newSession } from './context.ts'
import { definitions } from './definitions.ts'
import { formOf } from './template.ts'
import type { SessionContext } from './types.ts'
import { utilities } from './utilities.ts'

interface Case {
  readonly sql: string
  readonly touches?: readonly string[]
  /** Output columns: label, then where it is from; `=` in front of a copy. */
  readonly fields?: readonly string[]
  readonly indirect?: readonly string[]
  readonly facts?: Readonly<Record<string, unknown>>
  readonly opaque?: string
}

const cases = parse(readFileSync(new URL('testdata/cases.yaml', import.meta.url), 'utf8')) as Case[]

describe('analysis of SQL', function () {
  this.timeout(120_000)
  let shop: Shop
  let cache: CatalogueCache
  let context: SessionContext

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    const { host, port, user, password } = shop.postgres
    cache = new CatalogueCache(
      { host, port, tls: { mode: 'disable' } },
      async () => ({ ok: true, value: { username: user, password } }),
      'shop',
    )
    const acquired = await cache.acquire(AbortSignal.timeout(60_000))
    assert.ok(acquired.ok)
    context = newSession(acquired.value, 'postgres', ['public'])
  })

  after(async () => {
    cache.release()
    await shop[Symbol.asyncDispose]()
  })

  for (const expected of cases) {
    it(expected.sql, () => {
      const [analysis, ...more] = analyseText(Buffer.from(expected.sql), context)
      assert.ok(analysis && more.length === 0)
      const { touches, fields, indirectUses, facts, opaque } = analysis.command
      if (expected.opaque === undefined) assert.deepEqual(opaque, [])
      else assert.match(opaque.join('; '), new RegExp(expected.opaque))
      if (expected.touches)
        assert.deepEqual(
          touches.map(
            (touch) => `${touch.origin === 'direct' ? '' : `${touch.origin} `}${describeTouch(touch)}`,
          ),
          expected.touches,
        )
      if (expected.fields)
        assert.deepEqual(
          fields.map((field) =>
            `${field.label} ${field.derivation === 'copy' ? '= ' : ''}${field.derivation === 'unproven' ? 'unproven' : field.sources.map(describeSource).join(' ')}`.trim(),
          ),
          expected.fields,
        )
      if (expected.indirect)
        assert.deepEqual(
          indirectUses.map(({ source, through }) => `${describeSource(source)} ${through}`),
          expected.indirect,
        )
      for (const [name, value] of Object.entries(expected.facts ?? {}))
        assert.deepEqual(facts.sql?.[name], value, name)
    })
  }

  it('knows every kind of statement of the grammar', () => {
    const types = readFileSync(
      new URL('../../../../node_modules/@pgsql/types/types.d.ts', import.meta.url),
      'utf8',
    )
    const kinds = new Set([...types.matchAll(/^ {4}(\w+Stmt): \w+Stmt;$/gm)].map((match) => match[1] ?? ''))
    // parts of statements, and what only PL/pgSQL's own parser makes
    for (const part of ['RawStmt', 'SetOperationStmt', 'ReturnStmt', 'PLAssignStmt']) kinds.delete(part)
    const handled = new Set([
      ...Object.keys(utilities),
      ...Object.keys(definitions),
      'SelectStmt',
      'InsertStmt',
      'UpdateStmt',
      'DeleteStmt',
      'MergeStmt',
      'CopyStmt',
    ])
    assert.deepEqual(
      [...kinds].filter((kind) => !handled.has(kind)),
      [],
    )
  })

  it('uses the words of its vocabulary only', () => {
    const { attacks, benign } = parse(
      readFileSync(new URL('postgresql.yaml', attacksDirectory), 'utf8'),
    ) as Record<string, { sql?: string | string[] }[]>
    for (const { sql = [] } of [...(attacks ?? []), ...(benign ?? [])]) {
      for (const statement of [sql].flat().flatMap((text) => analyseText(Buffer.from(text), context))) {
        for (const { action } of statement.command.touches) assert.ok(action in sqlActions, action)
      }
    }
  })

  it('never throws, whatever the text', () => {
    const words = fc.constantFrom(
      'SELECT',
      '*',
      'FROM',
      'customers',
      'c',
      '.',
      ',',
      '(',
      ')',
      'WITH',
      'AS',
      'x',
      '1',
      "'a'",
      'JOIN',
      'ON',
      'WHERE',
      '=',
      'DELETE',
      'UPDATE',
      'SET',
      'RETURNING',
      'DO',
      '$$',
      'ssn',
      'UNION',
      'ALL',
      'ORDER BY',
      'CASE',
      'WHEN',
      'THEN',
      'END',
      'lower',
      'LATERAL',
      'VALUES',
      ';',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(words, { maxLength: 25 }).map((parts) => parts.join(' ')),
        ),
        (text) => {
          analyseText(Buffer.from(text), context)
        },
      ),
      { numRuns: 800 },
    )
  })

  it('gives up on what is too deep, too long or not to be read as it looks', () => {
    const opaque = (text: string | Buffer, changed: Partial<SessionContext> = {}): string =>
      analyseText(Buffer.from(text), { ...context, ...changed })[0]?.command.opaque[0] ?? ''
    assert.match(opaque(`SELECT ${'('.repeat(3_000)}1${')'.repeat(3_000)}`), /nested too deeply/)
    assert.match(opaque(`SELECT 1${' + 1'.repeat(30_000)}`), /nested too deeply|stack/)
    assert.match(opaque(`SELECT 1 ${'/*'.repeat(20_000)}${'*/'.repeat(20_000)}`), /too many comments/)
    assert.match(opaque(' '.repeat(1_000_001)), /longer than/)
    const slow = /more than 40000 words and operators/
    assert.match(opaque(`SELECT ${'1=1 and '.repeat(25_000)}true`), slow)
    assert.match(opaque(`SELECT '${"''".repeat(20)}' || E'\\'', ${'a.b+'.repeat(25_000)}1`), slow)
    assert.match(opaque(`SELECT /* ' */ ${'a b, '.repeat(25_000)}1`), slow)
    for (const data of [
      `SELECT ${"(1, 'some words of a note', true), ".repeat(20_000)}1`,
      `SELECT '${"it is long, isn''t it? a = b; ".repeat(20_000)}'`,
      `SELECT 1 WHERE 1 IN (${'123,'.repeat(100_000)}1)`,
    ])
      assert.doesNotMatch(opaque(data), slow)
    assert.match(opaque('SELECT 1\0; DROP TABLE orders'), /NUL/)
    assert.match(opaque(Buffer.from([0x53, 0xff])), /can't be read/)
    assert.match(opaque("SELECT 'a\\'", { standardConformingStrings: false }), /backslashes/)
    assert.match(opaque("SELECT 'ä'", { clientEncoding: 'SJIS' }), /client_encoding SJIS/)
    assert.match(opaque('SELECT * FROM orders', { searchPath: undefined }), /search path is not known/)
    assert.match(opaque('SELECT * FROM orders', { definitionsPending: true }), /may have changed/)
  })

  it('recognises texts that differ in plain constants only', () => {
    assert.equal(
      formOf("SELECT a FROM t WHERE b = 12 AND c = 'x'"),
      formOf("SELECT a FROM t WHERE b = 3 AND c = 'yy; DROP'"),
    )
    assert.equal(
      formOf("DELETE FROM t WHERE b = 1 /*traceparent='00-a-b-01'*/"),
      formOf('DELETE FROM t WHERE b = 2 /*$$ "c" \\ -- */ ;'),
    )
    for (const [a, b] of [
      ['SELECT a FROM t', 'SELECT a FROM t /* c */'],
      ['SELECT t1.a', 'SELECT t2.a'],
      ['SELECT 1e5', 'SELECT 2e5'],
      ['SELECT 9999999999', 'SELECT 1'],
      ['SELECT 0x1F', 'SELECT 1'],
      ['SELECT 1.5', 'SELECT 1'],
    ] as const)
      assert.notEqual(formOf(a), formOf(b), `${a} | ${b}`)
    for (const text of [
      "SELECT E'a'",
      "SELECT U&'a'",
      "SELECT 'a\\'",
      'SELECT "a"',
      'SELECT $1',
      'SELECT $$a$$',
      'SELECT 1 -- c',
      'SELECT /* c */ 1',
      'SELECT 1 /* c */ WHERE false /* d */',
      'SELECT 1 /* c */; DROP TABLE t',
      'SELECT 1 /* c /* d */ */',
      'SELECT 1 /* c /* d */',
      'SELECT 1 /* c',
      'SELECT 1 /*/',
      'SELECT 1 /* c */ -- */',
      'SELECT 1 \x03',
      "SELECT 'a''b'",
      "SELECT 'a'\n'b'",
      "SELECT n'a'",
    ])
      assert.equal(formOf(text), undefined, text)
  })

  it('says of a remembered form what it would say of the text itself', () => {
    const analyser = new Analyser()
    const texts = [
      'SELECT id FROM orders WHERE id = 7',
      'SELECT id FROM orders WHERE id = 8',
      'DELETE FROM carts WHERE 1 = 1',
      'DELETE FROM carts WHERE id = 1',
      'DELETE FROM carts WHERE id = 2',
      'SELECT id, ssn FROM customers ORDER BY 1',
      'SELECT id, ssn FROM customers ORDER BY 2',
      "DELETE FROM carts WHERE note LIKE 'a%'",
      "DELETE FROM carts WHERE note LIKE '%'",
      "SELECT set_config('application_name', 'a', false)",
      "SELECT set_config('search_path', 'a', false)",
      'SELECT id FROM orders LIMIT 5',
      'SELECT id FROM orders LIMIT 50',
      "DELETE FROM carts WHERE id = 1 /*traceparent='a'*/",
      "DELETE FROM carts WHERE id = 2 /*traceparent='b'*/",
    ]
    for (const text of texts) {
      const remembered = analyser.analyse(Buffer.from(text), context, 'state').statements[0]
      const fresh = analyseText(Buffer.from(text), context)[0]
      assert.deepEqual({ ...remembered, command: { ...remembered?.command, text } }, fresh, text)
    }
  })
})
