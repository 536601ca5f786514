/** The tests that node-postgres ships: they end the same through the gateway as they do directly. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { findClient, nodePackages } from '../../../tools/clients.ts'
import { type Postgres, startPostgres } from '../../../tools/postgres.ts'
import { Guard } from '../../shop.ts'
import { driverSuite, mochaSuite, type Results, type Suite } from './suites.ts'

/** Not run at all. */
const leftOut: Readonly<Record<string, string>> = {
  'test/integration/client/heroku-pgpass-tests.js': 'it asks a server on the Internet',
  'test/integration/client/heroku-ssl-tests.js': 'it asks a server on the Internet',
  'test/pauses.js': 'it needs a package that is no longer published',
}

/** They fail with any server of today, and have to fail in the same way through the gateway. */
const failing: Readonly<Record<string, string>> = {
  'test/integration/client/type-coercion-tests.js':
    'years before Christ were counted otherwise by the driver of then',
  'test/async-iterator.js: Async iterator only returns rows on first iteration':
    'Node ends a stream that is read again with an error since then',
}

/** Some tests measure time, and the machine may be busy: what differs, or fails as it should not, is tried again. */
const patience = [1, 10, 40, 40]

const isExpected = ([test, reason]: readonly [string, string | undefined]): boolean =>
  reason === undefined || failing[test] !== undefined

describe("node-postgres' own tests", function () {
  this.timeout('20m')
  let nodeModules: string
  let programs: string
  let direct: Postgres
  let guarded: Postgres
  let guard: Guard

  before(async () => {
    nodeModules = await nodePackages(new URL('.', import.meta.url))
    programs = dirname(await findClient('psql'))
    // the oldest of the drivers knows no SCRAM, and each side has a server of its own: a test ends all other sessions
    const trusting = { hba: ['host all all 127.0.0.1/32 trust'] }
    ;[direct, guarded] = await Promise.all([startPostgres(trusting), startPostgres(trusting)])
    const manifests = readFileSync(new URL('firebreak.yaml', import.meta.url), 'utf8')
    guard = await Guard.start(
      { 'firebreak.yaml': manifests.replace('ADDRESS', `${guarded.host}:${guarded.port}`) },
      guarded.password,
    )
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await Promise.all([direct[Symbol.asyncDispose](), guarded[Symbol.asyncDispose]()])
  })

  /** The results of one file on both sides: those of the last attempt. */
  async function both(suite: Suite, file: string): Promise<readonly [Results, Results]> {
    let results: readonly [Results, Results] = [{}, {}]
    for (const times of patience) {
      results = await Promise.all([suite.run(file, direct, times), suite.run(file, guard.address, times)])
      if (isDeepStrictEqual(...results) && Object.entries(results[0]).every(isExpected)) break
    }
    return results
  }

  const suites: readonly (readonly [name: string, atLeast: number, suite: () => Suite])[] = [
    ['pg 4.5', 50, () => driverSuite(nodeModules, programs)],
    ['pg-pool 3.8', 60, () => mochaSuite(nodeModules, 'pg-pool')],
    ['pg-cursor 2.12', 30, () => mochaSuite(nodeModules, 'pg-cursor')],
    ['pg-query-stream 3.0', 20, () => mochaSuite(nodeModules, 'pg-query-stream')],
  ]
  for (const [name, atLeast, make] of suites) {
    it(name, async () => {
      const suite = make()
      const results: Record<string, string | undefined> = {}
      for (const file of suite.files.filter((candidate) => leftOut[candidate] === undefined)) {
        const [here, there] = await both(suite, file)
        assert.deepEqual(there, here, `${file}, through the gateway (actual) and directly (expected)`)
        Object.assign(results, here)
      }
      const names = Object.keys(results)
      const failed = names.filter((test) => results[test] !== undefined)
      console.log(
        `\n  ${name}: ${names.length - failed.length} pass and ${failed.length} fail, directly and guarded alike`,
      )
      for (const test of failed) console.log(`    fails: ${test} (${failing[test]})`)
      assert.ok(names.length >= atLeast, `only ${names.length} tests ran`)
      assert.deepEqual(
        failed.filter((test) => failing[test] === undefined),
        [],
      )
    })
  }
})
