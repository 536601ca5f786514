import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Retention, type Tombstone } from './retention.ts'
import { DirectoryStore } from './stores/directory.ts'
import { newReaderKey, newSigner, recordingName, startWriter } from './testdata/recordings.ts'

const now = Date.UTC(2026, 0, 1)
const names = ['A', 'B', 'C', 'D'].map((letter) => recordingName.slice(0, -1) + letter)

describe('retention', () => {
  let directory: string
  let store: DirectoryStore
  let tombstones: Tombstone[]

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-retention-'))
    store = await DirectoryStore.open(join(directory, 'recordings'))
    tombstones = []
    const [reader, signer] = [await newReaderKey(), newSigner()]
    for (const [index, recording] of names.entries()) {
      const sink = await store.create(recording)
      await (await startWriter({ sink, reader, signer, recording })).end()
      // each is kept for an hour: the first two are over that
      const changed = new Date(now - (index < 2 ? 3_601_000 : 3_599_000))
      utimesSync(join(directory, 'recordings', `${recording}.fbrec`), changed, changed)
    }
  })

  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  async function run(live?: string): Promise<string[]> {
    const clock = { wall: () => now, monotonic: () => 0 }
    await new Retention(store, clock, (tombstone) => tombstones.push(tombstone)).run((id) => id === live)
    return (await Array.fromAsync(store.list())).map(({ id }) => id.slice(-1))
  }

  it('deletes what was kept long enough, and says whose it was', async () => {
    assert.deepEqual(await run(), ['C', 'D'])
    const [first] = tombstones
    assert.ok(first)
    const { bytes, ...rest } = first
    assert.ok(bytes > 0)
    assert.deepEqual(rest, {
      session: names[0],
      reason: 'it was kept for 3600 s, as policy says',
      startedAt: '1970-01-01T00:00:00.000Z',
      identity: 'agents/worker',
      resource: 'agents/orders',
      role: 'reader',
    })
  })

  it('ends between two recordings when it is told to', async () => {
    const stop = new AbortController()
    const clock = { wall: () => now, monotonic: () => 0 }
    const retention = new Retention(store, clock, (tombstone) => {
      tombstones.push(tombstone)
      stop.abort()
    })
    await retention.run(() => false, stop.signal)
    assert.deepEqual(
      tombstones.map(({ session }) => session),
      [names[0]],
    )
    assert.equal((await Array.fromAsync(store.list())).length, 3)
  })

  it('deletes nothing that is held, nor what is being written', async () => {
    await store.hold(names[0] ?? '', 'case 42')
    assert.deepEqual(await run(names[1]), ['A', 'B', 'C', 'D'])
    await store.release(names[0] ?? '')
    assert.deepEqual(await run(), ['C', 'D'])
  })

  it('deletes what somebody wants deleted, with the reason', async () => {
    await store.askDeletion(names[2] ?? '', 'it holds a password')
    assert.deepEqual(await run(), ['D'])
    assert.equal(tombstones.at(-1)?.reason, 'it holds a password')
  })

  it('deletes nothing of which it can not be told how long it is to be kept', async () => {
    await store.create(recordingName).then(async (sink) => {
      await sink.append(Buffer.from('no recording'))
      await sink.close()
    })
    const old = new Date(0)
    utimesSync(join(directory, 'recordings', `${recordingName}.fbrec`), old, old)
    assert.deepEqual(await run(), ['C', 'D', 'F'])
  })
})
