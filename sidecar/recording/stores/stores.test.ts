import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ObjectStore } from '../../../tools/object-store.ts'
import { type Postgres, startPostgres } from '../../../tools/postgres.ts'
import { RecordingReader } from '../reader.ts'
import { Retention } from '../retention.ts'
import type { RecordingStore } from '../store.ts'
import type { RecordingTarget } from '../target.ts'
import {
  appendCommands,
  newReaderKey,
  newSigner,
  type ReaderKey,
  recordIn,
  recordingName,
  startWriter,
} from '../testdata/recordings.ts'
import { verifyRecording } from '../verify.ts'
import { openSinks, openStore } from './open-store.ts'
import { blockKey } from './s3.ts'
import { S3Bucket } from './s3-bucket.ts'

/** A place of each kind, made for the tests. */
interface Place extends AsyncDisposable {
  readonly target: RecordingTarget
}

const places: Readonly<Record<string, () => Promise<Place>>> = {
  async 'a directory'() {
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-store-'))
    return {
      target: { kind: 'directory', path: join(directory, 'recordings') },
      async [Symbol.asyncDispose]() {
        rmSync(directory, { recursive: true, force: true })
      },
    }
  },
  async 'an object store'() {
    const store = await ObjectStore.start()
    Object.assign(process.env, store.credentials)
    const { bucket, endpoint, region } = store
    return {
      target: { kind: 's3', bucket, endpoint, region, prefix: 'agents/' },
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    }
  },
  async 'a database'() {
    const postgres: Postgres = await startPostgres()
    const { user, host, port, password } = postgres
    return {
      target: { kind: 'postgresql', url: `postgresql://${user}@${host}:${port}/postgres`, password },
      [Symbol.asyncDispose]: () => postgres[Symbol.asyncDispose](),
    }
  },
}

for (const [kind, make] of Object.entries(places))
  describe(`recordings in ${kind}`, function () {
    this.timeout(600_000)
    let place: Place
    let store: RecordingStore
    let reader: ReaderKey
    let signer: KeyObject

    before(async () => {
      place = await make()
      store = await openStore(place.target)
      reader = await newReaderKey()
      signer = newSigner()
    })

    after(async () => {
      await store[Symbol.asyncDispose]()
      await place[Symbol.asyncDispose]()
    })

    async function idsOf(): Promise<string[]> {
      return (await Array.fromAsync(store.list())).map(({ id }) => id)
    }

    async function stateOf(id: string): Promise<string> {
      await using source = await store.open(id)
      assert.ok(source)
      return (await verifyRecording(source, id)).state
    }

    it('are read back as they were written, while they are written and when they are done', async () => {
      const writer = await startWriter({ sink: await store.create(recordingName), reader, signer })
      await appendCommands(writer, 20)
      assert.equal(await stateOf(recordingName), 'unfinished')
      await appendCommands(writer, 5, 20)
      await writer.end()
      assert.equal(await stateOf(recordingName), 'whole')
      await using source = await store.open(recordingName)
      assert.ok(source)
      assert.equal(source.size, writer.written)
      const recording = await RecordingReader.open(source, [reader.identity])
      const [first] = await Array.fromAsync(recording.entries({ command: 22 }))
      assert.equal(first?.entry.type === 'command' && first.entry.reference, 'R22')
      assert.deepEqual(await recording.extent().then(({ commands }) => commands), 25)
      const [listed] = await Array.fromAsync(store.list())
      assert.deepEqual([listed?.id, listed?.bytes], [recordingName, writer.written])
      assert.ok(Math.abs(Date.now() - (listed?.changedAt.getTime() ?? 0)) < 60_000)
    })

    it('may be large', async () => {
      const id = '01ABCDEFGH0123456789LARGE0'
      const writer = await startWriter({ sink: await store.create(id), recording: id, reader, signer })
      const noise = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * index * 7919) >> 5))
      for (let count = 0; count < 180; count++) {
        noise.writeUInt32LE(count, (count * 31) % 90_000)
        writer.append(
          'response',
          Buffer.from(noise.map((byte) => (byte + count * 37 + Math.random() * 256) & 255)),
        )
        if (writer.full) await writer.drained()
      }
      await writer.end()
      assert.ok(writer.written > 12 * 1024 * 1024)
      assert.equal(await stateOf(id), 'whole')
      await store.delete(id)
    })

    it('are never written over', async () => {
      const attempt = async (): Promise<void> => {
        const sink = await store.create(recordingName)
        await sink.append(Buffer.from('x')).finally(() => sink.close())
      }
      await assert.rejects(attempt(), /already|duplicate|exist/i)
      assert.equal(await stateOf(recordingName), 'whole')
    })

    it('are held against deletion until they are released', async () => {
      await store.hold(recordingName, 'case 42')
      const [held] = await Array.fromAsync(store.list())
      assert.equal(held?.hold, 'case 42')
      await assert.rejects(store.delete(recordingName), /held: case 42/)
      await assert.rejects(store.askDeletion(recordingName, 'why not'), /held: case 42/)
      await store.release(recordingName)
      await store.askDeletion(recordingName, 'somebody wants it gone')
      const [released] = await Array.fromAsync(store.list())
      assert.deepEqual([released?.hold, released?.deletion], [undefined, 'somebody wants it gone'])
      await store.delete(recordingName)
      assert.deepEqual(await idsOf(), [])
      assert.equal(await store.open(recordingName), undefined)
      await assert.rejects(store.delete(recordingName))
      await assert.rejects(store.hold(recordingName, 'too late'))
    })

    it('are listed in the order of their beginnings, and named by nothing but references', async () => {
      const names = ['01ABCDEFGH0123456789ABCDE3', '01ABCDEFGH0123456789ABCDE1', '01ABCDEFGH0123456789ABCDE2']
      for (const id of names) {
        const writer = await startWriter({ sink: await store.create(id), recording: id, reader, signer })
        await writer.end()
      }
      assert.deepEqual(await idsOf(), names.toSorted())
      for (const name of ['../x', 'a/b', '', 'SHORT']) await assert.rejects(store.create(name))
      for (const id of names) await store.delete(id)
    })
  })

describe('a place for recordings', () => {
  it('that others may look into is refused', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-store-'))
    try {
      chmodSync(directory, 0o755)
      await assert.rejects(openStore({ kind: 'directory', path: directory }), /other users may look into it/)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  it('that is not there is refused in words', async () => {
    const nowhere = 'http://127.0.0.1:9'
    await assert.rejects(
      openStore({ kind: 's3', bucket: 'none', prefix: '', endpoint: nowhere, region: 'x' }),
      /^Error: s3:\/\/none\/: .*ECONNREFUSED/,
    )
    await assert.rejects(
      openStore({ kind: 'postgresql', url: 'postgresql://u@127.0.0.1:9/d' }),
      /^Error: postgresql:\/\/127\.0\.0\.1:9\/d: .*ECONNREFUSED/,
    )
  })
})

describe('a directory of recordings', () => {
  it('loses what killed processes left of recordings that never began, and nothing else', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-store-'))
    const left = (name: string, age: number): string => {
      const path = join(directory, name)
      writeFileSync(path, '')
      const time = Date.now() / 1000 - age
      utimesSync(path, time, time)
      return name
    }
    try {
      left(`${recordingName}.new`, 7_200)
      const kept = [
        left('01ABCDEFGH0123456789YOUNGX.new', 60),
        left('notes.new', 7_200),
        left('01ABCDEFGH0123456789WHOLEX.fbrec', 7_200),
      ]
      await using _store = await openStore({ kind: 'directory', path: directory })
      assert.deepEqual(readdirSync(directory).sort(), kept.sort())
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})

describe('recordings of one who may only write', function () {
  this.timeout(600_000)
  let reader: ReaderKey
  let signer: KeyObject
  const stack = new AsyncDisposableStack()

  before(async () => {
    reader = await newReaderKey()
    signer = newSigner()
  })
  after(() => stack.disposeAsync())

  it('are whole in an object store, with the right to put objects', async () => {
    const objects = stack.use(await ObjectStore.start())
    const { bucket, endpoint, region, writer: credentials } = objects
    const place = { kind: 's3', bucket, endpoint, region, prefix: 'agents/' } as const
    await using sinks = await openSinks({ ...place, credentials })
    const id = await recordIn(sinks, reader, signer)
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = objects.credentials
    const keeper = { ...place, credentials: { accessKeyId, secretAccessKey } }
    await using store = await openStore(keeper)
    await using source = await store.open(id)
    assert.ok(source)
    assert.equal((await verifyRecording(source, id)).state, 'whole')
    await assert.rejects(openStore({ ...place, credentials }), /AccessDenied/, 'listing takes another right')
    for (const taken of ['get', 'remove'] as const) {
      const bucketOfWriter = new S3Bucket({ ...place, credentials })
      const attempt =
        taken === 'get' ? bucketOfWriter.get(blockKey(id, 0), 0, 1) : bucketOfWriter.remove(blockKey(id, 0))
      await assert.rejects(attempt, /AccessDenied/)
    }

    const unended = '01ABCDEFGH0123456789KILLED'
    const writer = await startWriter({
      sink: await sinks.create(unended),
      reader,
      signer,
      recording: unended,
    })
    await appendCommands(writer, 2)
    const later = { wall: () => Date.now() + 120_000, monotonic: () => 0 }
    const tidying = new Retention(store, later, () => assert.fail())
    await tidying.run(() => false)
    await tidying.run(() => false)
    const keys = async (): Promise<string[]> =>
      (await Array.fromAsync(new S3Bucket(keeper).list(''))).map(({ key }) => key)
    assert.deepEqual(
      (await keys()).filter((key) => key.startsWith(id)),
      [`${id}.fbrec`],
      'what has ended is one object now',
    )
    assert.equal((await keys()).filter((key) => key.startsWith(`${unended}/`)).length, 3)
    for (const [name, state] of [
      [id, 'whole'],
      [unended, 'unfinished'],
    ] as const) {
      await using kept = await store.open(name)
      assert.equal(kept && (await verifyRecording(kept, name)).state, state)
    }
  })
})
