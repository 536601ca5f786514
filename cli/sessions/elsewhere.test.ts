/** The same commands where recordings are in an object store, or in PostgreSQL. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RecordedShop, type RecordingsElsewhere } from '../../test/recorded-shop.ts'
import type { Shop } from '../../test/shop.ts'
import { ObjectStore } from '../../tools/object-store.ts'

describe('firebreak sessions elsewhere', function () {
  this.timeout(600_000)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-elsewhere-'))
  let objects: ObjectStore
  before(async function () {
    // its program is compiled the first time
    this.timeout('45m')
    objects = await ObjectStore.start()
    Object.assign(process.env, objects.credentials)
  })
  after(async () => {
    for (const name of Object.keys(objects?.credentials ?? {})) delete process.env[name]
    await objects?.[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true })
  })

  const places: Readonly<Record<string, (shop: Shop) => Promise<RecordingsElsewhere>>> = {
    's3 objects': async () => {
      const { bucket, endpoint, region } = objects
      return {
        target: { kind: 's3', bucket, prefix: 'shop/', endpoint, region },
        words: ['--recordings', `s3://${bucket}/shop,endpoint=${endpoint},region=${region}`],
        environment: objects.credentials,
      }
    },
    postgresql: async (shop) => {
      await shop.admin('postgres', "CREATE ROLE recorder LOGIN PASSWORD 'of the recorder'")
      await shop.admin('postgres', 'CREATE DATABASE recordings OWNER recorder')
      const url = `postgresql://recorder@${shop.postgres.host}:${shop.postgres.port}/recordings`
      const file = join(directory, 'password')
      writeFileSync(file, 'of the recorder\n')
      return {
        target: { kind: 'postgresql', url, password: 'of the recorder' },
        words: ['--recordings', `${url},password-file=${file}`],
      }
    },
  }

  for (const [name, placeFor] of Object.entries(places))
    it(`lists, searches, verifies, replays and exports ${name}`, async () => {
      await using shop = await RecordedShop.start(
        [
          async (client) => {
            await client.query('SELECT id, email FROM customers ORDER BY id')
            await client.query('DROP TABLE orders').catch(() => {})
          },
          (client) => client.query("SELECT 'zebra crossing' AS animal"),
        ],
        '{mode: full}',
        placeFor,
      )
      const said = (...words: string[]): string => {
        const { status, output, stderr } = shop.firebreak(...words)
        assert.equal(status, 0, stderr)
        return output
      }
      const json = (...words: string[]): Readonly<Record<string, unknown>>[] =>
        said(...words, '--json')
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as Record<string, unknown>)
      const listed = json('sessions', 'list')
      assert.deepEqual(
        listed.map(({ identity, commands, denied, state }) => [identity, commands, denied, state]),
        [
          ['default/tester', 1, 0, 'ended'],
          ['default/tester', 2, 1, 'ended'],
        ],
      )
      assert.deepEqual(
        json('sessions', 'list', '--decision', 'deny').map(({ id }) => id),
        [listed[1]?.id],
      )
      const id = String(listed[0]?.id)
      const [hit, ...more] = json('sessions', 'search', 'zebra')
      assert.equal(more.length, 0)
      assert.match(JSON.stringify(hit), new RegExp(id))
      said('sessions', 'verify', '--all')
      assert.match(said('replay', id, '--speed', '1000'), /zebra crossing/)
      const page = join(directory, `${name.replace(' ', '-')}.html`)
      said('sessions', 'export', id, '--html', page)
      assert.match(readFileSync(page, 'utf8'), /zebra crossing/)
      said('sessions', 'hold', id, '--reason', 'a case')
      assert.equal(shop.firebreak('sessions', 'delete', id, '--reason', 'x').status, 1, 'it is held')
      said('sessions', 'release', id)
      said('sessions', 'delete', id, '--reason', 'over')
    })
})
