import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type pg from 'pg'
import { parse } from 'yaml'
import { Shop } from '../../../../test/shop.ts'
import { type Requirement, totalFunctions } from './totality.ts'

/** Types → SQL expressions of their nastiest values. */
const nasty = parse(readFileSync(new URL('testdata/nasty-values.yaml', import.meta.url), 'utf8')) as Record<
  string,
  string[]
>

interface Signature {
  readonly name: string
  readonly kind: 'f' | 'a' | 'w'
  readonly types: readonly string[]
}

const failing = `CREATE FUNCTION pg_temp.failure_of(query text) RETURNS text LANGUAGE plpgsql AS $$
  BEGIN EXECUTE query; RETURN NULL; EXCEPTION WHEN OTHERS THEN RETURN sqlstate || ' ' || sqlerrm; END$$`

const signatures = `SELECT p.proname AS name, p.prokind AS kind,
    ARRAY(SELECT t.typname FROM unnest(p.proargtypes) WITH ORDINALITY u (oid, n) JOIN pg_type t ON t.oid = u.oid ORDER BY n)::text[] AS types
  FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace`

function combinations(lists: readonly (readonly string[])[]): string[][] {
  return lists.reduce<string[][]>(
    (rows, list) => rows.flatMap((row) => list.map((value) => [...row, value])),
    [[]],
  )
}

/** Values of an argument that a call may have, given what is required of it. */
function allowedValues(
  types: readonly string[],
  index: number,
  requirements: readonly Requirement[],
): readonly string[] {
  const argument = index + 1
  const all = nasty[types[index] ?? ''] ?? assert.fail(`no values of type ${types[index]}`)
  for (const requirement of requirements) {
    if (requirement.kind === 'oneOf' && requirement.argument === argument)
      return [...requirement.words].map((word) => `'${word}'`)
    if (requirement.kind === 'notZero' && requirement.argument === argument)
      return all.filter((value) => value !== '0')
    if (requirement.kind === 'notLonger' && requirement.argument === argument)
      return ["''::text", "'b'::text"]
    if (requirement.kind === 'notLonger' && requirement.than === argument) return ["'a'::text", "'bc'::text"]
  }
  return requirements.some(({ kind }) => kind === 'noJson')
    ? all.filter((value) => !/::json\b/.test(value))
    : all
}

/** Queries that apply a function to nasty values. */
function calls({ name, kind, types }: Signature, requirements: readonly Requirement[]): string[] {
  const called = `pg_catalog."${name}"`
  if (requirements.some((requirement) => requirement.kind === 'keysAreConstant'))
    return (nasty.any ?? []).map((value) => `SELECT ${called}('a', ${value}, 'b', ${value})`)
  if (types.length === 0) return [kind === 'a' ? `SELECT ${called}(*)` : `SELECT ${called}()`]
  const rows = combinations(types.map((_, index) => allowedValues(types, index, requirements)))
  if (kind === 'f') return rows.map((row) => `SELECT ${called}(${row.join(', ')})`)
  if (kind === 'w')
    return rows.map((row) => `SELECT ${called}(${row.join(', ')}) OVER () FROM generate_series(1, 2)`)
  const names = types.map((_, index) => `a${index}`).join(', ')
  const values = types.length === 1 && !mixed.has(types[0] ?? '') ? rows.flat() : []
  return [
    ...rows.map((row) => `SELECT ${called}(${names}) FROM (VALUES (${row}), (${row})) v (${names})`),
    // of two values, and of frames that move over them, which takes values back out
    ...values.flatMap((one) =>
      values.flatMap((other) => [
        `SELECT ${called}(a0) FROM (VALUES (${one}), (${other})) v (a0)`,
        `SELECT ${called}(a0) OVER (ORDER BY n ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING)
         FROM (VALUES (1, ${one}), (2, ${other}), (3, ${one})) v (n, a0)`,
      ]),
    ),
  ]
}

/** Types of which the nasty values can't stand in one column. */
const mixed = new Set(['any', 'anyelement', 'anynonarray'])

describe('functions that are said never to fail', function () {
  this.timeout(120_000)
  let shop: Shop
  let client: pg.Client
  let all: Signature[]

  before(async () => {
    shop = await Shop.start()
    const { postgres } = shop
    client = await shop.connect(postgres, 'postgres', postgres.user, postgres.password)
    await client.query("CREATE TYPE nasty_enum AS ENUM ('red', 'blue')")
    await client.query(failing)
    all = (await client.query(signatures)).rows as Signature[]
  })

  after(async () => {
    await client.end()
    await shop[Symbol.asyncDispose]()
  })

  for (const [key, requirements] of totalFunctions) {
    it(key, async () => {
      const [name, types] = key.split(/[()]/)
      const matching = all.filter(
        (each) => each.name === name && (types === undefined || each.types.join(',') === types),
      )
      assert.ok(matching.length > 0, 'there is no such function')
      const queries = matching.flatMap((signature) => calls(signature, requirements))
      const failures = await client.query(
        'SELECT q, pg_temp.failure_of(q) AS failure FROM unnest($1::text[]) q',
        [queries],
      )
      assert.deepEqual(
        (failures.rows as { q: string; failure: string | null }[]).filter(({ failure }) => failure !== null),
        [],
      )
    })
  }
})
