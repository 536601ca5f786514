/**
 * Two databases that differ only in masked values look alike, whatever is asked.
 *
 * `TWIN_RUNS` and `TWIN_SEED` in the environment make the search longer or go elsewhere; what it finds belongs into
 * `postgresql-masking.yaml` or into `postgresql-masking-twins/found.yaml`.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Address } from '@firebreak/sidecar'
import * as encode from '@firebreak/sidecar/protocols/postgresql/codec/encode.ts'
import fc from 'fast-check'
import { parse } from 'yaml'
import { errorIn, RawClient, type ReceivedFrame } from '../test/raw-client.ts'
import { attacksDirectory, type Guard, Shop } from '../test/shop.ts'
import { comparable } from './postgresql-masking-twins/frames.ts'
import { sessions } from './postgresql-masking-twins/generator.ts'

const runs = Number(process.env.TWIN_RUNS ?? 150)
const seed = Number(process.env.TWIN_SEED ?? 1)
const folder = new URL('postgresql-masking-twins/', attacksDirectory)
const found = parse(readFileSync(new URL('found.yaml', folder), 'utf8')) as readonly (readonly string[])[]

/** A session on one of the databases that is opened again when it has ended. */
class Twin implements Disposable {
  readonly #address: Address
  readonly #database: string
  #client: RawClient | undefined

  constructor(address: Address, database: string) {
    this.#address = address
    this.#database = database
  }

  /** @param binary whether values are asked for in binary, by the extended protocol. */
  async play(statements: readonly string[], binary = false): Promise<readonly ReceivedFrame[]> {
    if (!this.#client || this.#client.closed) {
      const { client, greeting } = await RawClient.open(this.#address, {
        user: 'agent',
        database: this.#database,
      })
      assert.equal(errorIn(greeting), undefined)
      this.#client = client
    }
    const answers: ReceivedFrame[] = []
    const messages = statements.map((statement) => (binary ? inBinary(statement) : encode.query(statement)))
    const after = ['ROLLBACK', 'CLOSE ALL', 'DEALLOCATE ALL', ...(writes(statements) ? [vacuum] : [])].map(
      encode.query,
    )
    for (const message of [encode.query('BEGIN'), ...messages, ...after]) {
      if (this.#client.closed) break
      this.#client.send(message)
      answers.push(...(await this.#client.until('Z')))
    }
    return answers
  }

  [Symbol.dispose](): void {
    this.#client?.[Symbol.dispose]()
  }
}

/** Dead rows of longer values would take more pages, by which the planner would go. */
const vacuum = 'VACUUM person, visit'

function writes(statements: readonly string[]): boolean {
  return statements.some((statement) => /\b(INSERT|UPDATE|DELETE|MERGE)\b/.test(statement))
}

function inBinary(statement: string): Buffer {
  // no parameters, all results in format 1
  const bind = Buffer.from([0x42, 0, 0, 0, 14, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1])
  return Buffer.concat([
    encode.parse('', statement),
    bind,
    encode.describe('portal', ''),
    encode.execute(''),
    encode.sync,
  ])
}

/** `psql`'s variables. */
function withValues(sql: string, values: Readonly<Record<string, string>>): string {
  return sql.replace(/:'([a-z])'/g, (_, name: string) => `'${values[name] ?? ''}'`)
}

describe('twins of PostgreSQL that differ only in masked values', function () {
  this.timeout(300_000 + runs * 1_000)
  let shop: Shop
  let guard: Guard | undefined
  let one: Twin | undefined
  let other: Twin | undefined
  /** How often commands were answered, and how. */
  const outcomes = { rows: 0, refused: 0, failed: 0 }

  before(async () => {
    shop = await Shop.start()
    const [definitions = '', rows = ''] = readFileSync(new URL('schema.sql', folder), 'utf8').split(
      /^(?=INSERT)/m,
      2,
    )
    const text = readFileSync(new URL('schema.sql', folder), 'utf8')
    assert.ok(definitions && rows)
    await shop.admin('postgres', 'ALTER SYSTEM SET autovacuum = off')
    await shop.admin('postgres', 'SELECT pg_reload_conf()')
    await shop.admin('postgres', 'CREATE DATABASE nobody')
    await shop.admin('nobody', definitions)
    for (const [name, values] of [
      ['one', { m: 'x', k: '7' }],
      ['two', { m: 'other longer ', k: '1234' }],
    ] as const) {
      // of one template, so that even the OIDs are the same
      await shop.copy('nobody', name)
      await shop.admin(name, withValues(text.slice(definitions.length), values))
    }
    guard = await shop.guard('postgresql-masking-twins')
    one = new Twin(guard.address, 'one')
    other = new Twin(guard.address, 'two')
  })

  after(async () => {
    one?.[Symbol.dispose]()
    other?.[Symbol.dispose]()
    await guard?.[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  const looksAlike = async (statements: readonly string[], binary = false): Promise<void> => {
    assert.ok(one && other)
    const [left, right] = await Promise.all([one.play(statements, binary), other.play(statements, binary)])
    const error = errorIn(left)
    if (!error) outcomes.rows++
    else if (error.get('C') === '42501') outcomes.refused++
    else outcomes.failed++
    assert.deepEqual(comparable(left), comparable(right))
  }

  for (const statements of found)
    it(`look alike to ${statements.join('; ').slice(0, 100)}`, () => looksAlike(statements))

  it(`look alike to ${runs} random sessions`, async () => {
    await fc.assert(fc.asyncProperty(sessions, fc.boolean(), looksAlike), { numRuns: runs, seed })
    // the search is worth something only while much of it reaches the data
    assert.ok(outcomes.rows > runs / 5, JSON.stringify(outcomes))
  })
})
