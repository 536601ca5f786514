/** Recordings in a real database, written by who may only write. */
import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import pg from 'pg'
import { startPostgres } from '../../../tools/postgres.ts'
import { headLength } from '../blocks.ts'
import { nameOfSigner } from '../header.ts'
import { Retention } from '../retention.ts'
import {
  appendCommands,
  MemorySink,
  newReaderKey,
  newSigner,
  type ReaderKey,
  recordIn,
  startWriter,
} from '../testdata/recordings.ts'
import { verifyRecording } from '../verify.ts'
import { openSinks, openStore } from './open-store.ts'

describe('recordings by who may only write', function () {
  this.timeout(300_000)
  const stack = new AsyncDisposableStack()
  let reader: ReaderKey
  let signer: KeyObject

  before(async () => {
    reader = await newReaderKey()
    signer = newSigner()
  })
  after(() => stack.disposeAsync())

  it('are whole in a database, with the rights that the documentation grants', async () => {
    const postgres = stack.use(await startPostgres())
    const { user, host, port, password } = postgres
    const url = (name: string): string => `postgresql://${name}@${host}:${port}/postgres`
    await using store = await openStore({ kind: 'postgresql', url: url(user), password })
    const documented = readFileSync(new URL('../../../docs/recording.md', import.meta.url), 'utf8')
    const [, grants = ''] = /```sql\n(CREATE ROLE[^`]+)```/.exec(documented) ?? []
    const client = new pg.Client({ host, port, user, password, database: 'postgres' })
    await client.connect()
    await client.query(grants)
    await client.query("ALTER ROLE firebreak_recorder PASSWORD 'recorder-password'")
    const recorder = {
      kind: 'postgresql',
      url: url('firebreak_recorder'),
      password: 'recorder-password',
    } as const
    await using sinks = await openSinks(recorder)
    const id = await recordIn(sinks, reader, signer)
    await using source = await store.open(id)
    assert.ok(source)
    assert.equal((await verifyRecording(source, id)).state, 'whole')
    await store.hold(id, 'case 42')
    await client.end()
    const others = new pg.Client({
      host,
      port,
      user: 'firebreak_recorder',
      password: 'recorder-password',
      database: 'postgres',
    })
    await others.connect()
    const inThePast = "(recording, position, block, written_at) VALUES ($1, 900, 'x', 'epoch')"
    for (const [statement, ...values] of [
      ['SELECT block FROM firebreak_recording_blocks'],
      [`INSERT INTO firebreak_recording_blocks ${inThePast}`, id],
      ["UPDATE firebreak_recording_blocks SET written_at = 'epoch'"],
      ["INSERT INTO firebreak_recordings (id, deletion) VALUES ('01ABCDEFGH0123456789FORGED', 'x')"],
      ["UPDATE firebreak_recordings SET deletion = 'x'"],
      ['DELETE FROM firebreak_recordings'],
      ['UPDATE firebreak_recordings SET hold = NULL'],
      ["UPDATE firebreak_recording_blocks SET block = ''"],
      ['TRUNCATE firebreak_recordings CASCADE'],
    ] as const)
      await assert.rejects(others.query(statement, [...values]), /permission denied/, statement)
    // what is added where the header's content begins
    const forged = JSON.stringify({ signer: nameOfSigner(signer), chain: [], recipients: [], keepSeconds: 0 })
    await others.query(
      'INSERT INTO firebreak_recording_blocks (recording, position, block) VALUES ($1, $2, $3)',
      [id, headLength, forged.padEnd(source.size)],
    )
    await others.end()
    await store.release(id)
    const now = { wall: () => Date.now(), monotonic: () => 0 }
    await new Retention(store, now, () => assert.fail('nothing is due')).run(() => false)
    assert.deepEqual(
      (await Array.fromAsync(store.list())).map((stored) => stored.id),
      [id],
    )
  })

  it('are kept in tables in which their writers said when it was, and can say so no longer', async () => {
    const postgres = stack.use(await startPostgres())
    const { user, host, port, password } = postgres
    const client = new pg.Client({ host, port, user, password, database: 'postgres' })
    await client.connect()
    stack.defer(() => client.end())
    await client.query(`
      CREATE TABLE firebreak_recordings (
        id text COLLATE "C" PRIMARY KEY, bytes bigint NOT NULL, changed_at timestamptz NOT NULL DEFAULT now(),
        hold text, deletion text);
      CREATE TABLE firebreak_recording_blocks (
        recording text NOT NULL REFERENCES firebreak_recordings ON DELETE CASCADE, position bigint NOT NULL,
        block bytea STORAGE EXTERNAL NOT NULL, PRIMARY KEY (recording, position));
      CREATE ROLE firebreak_recorder LOGIN PASSWORD 'recorder-password';
      GRANT INSERT (id, bytes), SELECT (id), UPDATE (bytes, changed_at) ON firebreak_recordings TO firebreak_recorder;
      GRANT INSERT, SELECT (recording, position) ON firebreak_recording_blocks TO firebreak_recorder`)
    const older = '01ABCDEFGH01234567890OLDER'
    const sink = new MemorySink()
    const writer = await startWriter({ sink, reader, signer, recording: older })
    await appendCommands(writer, 1)
    await writer.end()
    await client.query("INSERT INTO firebreak_recordings VALUES ($1, $2, 'epoch')", [
      older,
      sink.bytes.length,
    ])
    await client.query('INSERT INTO firebreak_recording_blocks VALUES ($1, 0, $2)', [older, sink.bytes])
    const url = (name: string): string => `postgresql://${name}@${host}:${port}/postgres`
    const recorder = {
      kind: 'postgresql',
      url: url('firebreak_recorder'),
      password: 'recorder-password',
    } as const
    await assert.rejects(openSinks(recorder), /must be owner/)
    await using store = await openStore({ kind: 'postgresql', url: url(user), password })
    await using sinks = await openSinks(recorder)
    const id = await recordIn(sinks, reader, signer)
    for (const name of [older, id]) {
      await using source = await store.open(name)
      assert.equal(source && (await verifyRecording(source, name)).state, 'whole')
    }
    const enforcer = new pg.Client({
      ...{ host, port, database: 'postgres' },
      ...{ user: 'firebreak_recorder', password: 'recorder-password' },
    })
    await enforcer.connect()
    stack.defer(() => enforcer.end())
    await enforcer.query(
      "INSERT INTO firebreak_recording_blocks (recording, position, block, written_at) VALUES ($1, 1, '', 'epoch')",
      [id],
    )
    const now = { wall: () => Date.now(), monotonic: () => 0 }
    await new Retention(store, now, () => assert.fail('nothing is due')).run(() => false)
  })
})
