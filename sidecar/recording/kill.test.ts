import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { GatewayProcess } from '../../test/gateway-process.ts'
import { manifests } from '../../test/policies.ts'
import { type ReadRecording, recordingsIn, recordingsOf } from '../../test/recordings.ts'
import { Shop } from '../../test/shop.ts'
import { ObjectStore } from '../../tools/object-store.ts'
import { keyFiles } from './installation-keys.ts'
import { parseIdentities } from './keys.ts'
import { RecordingReader } from './reader.ts'
import { openStore } from './stores/open-store.ts'
import { newReaderKey } from './testdata/recordings.ts'

describe('recordings of a gateway that is killed', function () {
  this.timeout(600_000)
  let shop: Shop
  let directory: string

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    process.env.SHOP_PASSWORD = shop.postgres.password
  })

  after(async () => {
    await shop[Symbol.asyncDispose]()
  })

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-kill-'))
    writeFileSync(
      join(directory, 'firebreak.yaml'),
      manifests({
        address: `127.0.0.1:${shop.postgres.port}`,
        database: 'shop',
        more: '  recording: {mode: full}\n',
      }),
    )
  })

  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  /** Runs numbered commands until the gateway is gone. @returns how many were answered. */
  async function runUntilGone(gateway: GatewayProcess): Promise<number> {
    let answered = 0
    try {
      const client = await shop.connect(gateway.address, 'shop')
      for (;;) {
        await client.query(`SELECT ${answered + 1} AS number, repeat(md5('${answered}'), 20)`)
        answered++
      }
    } catch {
      return answered
    }
  }

  /** What was recorded is the beginning of what was run: @returns how much of it. */
  function recorded({ entries }: ReadRecording): number {
    const commands = entries.flatMap(({ entry }) => (entry.type === 'command' ? [entry.text ?? ''] : []))
    for (const [index, text] of commands.entries()) assert.match(text, new RegExp(`^SELECT ${index + 1} AS`))
    return commands.length
  }

  it('verify as far as they go, whenever that was, and the next gateway goes on', async () => {
    const audit = join(directory, 'audit.jsonl')
    let recordings: ReadRecording[] = []
    const killedAfter = async (milliseconds: number): Promise<void> => {
      const gateway = await GatewayProcess.start(directory, ['--audit', audit])
      const running = runUntilGone(gateway)
      await delay(milliseconds)
      await gateway.end('SIGKILL')
      const answered = await running
      const { length: before } = recordings
      // the keys are made with the first recording
      if (existsSync(join(directory, 'recording-keys', keyFiles.trusted)))
        recordings = await recordingsOf(directory)
      for (const recording of recordings.slice(before)) assert.ok(recorded(recording) <= answered + 1)
    }
    for (const milliseconds of [1, 150, 480, 520, 1_100, 1_900]) await killedAfter(milliseconds)
    // a busy machine takes longer until there is one
    for (let milliseconds = 4_000; recordings.length < 3 && milliseconds < 64_000; milliseconds *= 2)
      await killedAfter(milliseconds)
    assert.ok(recordings.length >= 3)
    for (const { verified } of recordings) assert.equal(verified.state, 'unfinished')
  })

  it('hold what was answered, but for the last moment', async () => {
    await using gateway = await GatewayProcess.start(directory, ['--audit', join(directory, 'audit.jsonl')])
    const client = await shop.connect(gateway.address, 'shop')
    for (let number = 1; number <= 10; number++) await client.query(`SELECT ${number} AS number`)
    // nothing more happens, and still they get there
    const count = async (): Promise<number> => {
      const [recording] = await recordingsOf(directory)
      return recording ? recorded(recording) : 0
    }
    while ((await count()) < 10) await delay(50)
    await gateway.end('SIGKILL')
    await client.end().catch(() => {})
    assert.equal(await count(), 10)
  })

  it('hold what masks hid of what they hold, and of nothing else', async () => {
    writeFileSync(
      join(directory, 'firebreak.yaml'),
      manifests({
        address: `127.0.0.1:${shop.postgres.port}`,
        database: 'shop',
        rules: `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: hide, match: {tags: [pii]}, effect: mask, mask: {strategy: redact}}
`,
        classification: '[{tags: [pii], columns: [public.customers.email]}]',
        more: '  recording: {mode: full, unmasked: true}\n',
      }),
    )
    const { identity, recipient } = await newReaderKey()
    const words = ['--audit', join(directory, 'audit.jsonl'), '--unmasked-key', recipient]
    await using gateway = await GatewayProcess.start(directory, words)
    const client = await shop.connect(gateway.address, 'shop')
    const running = (async () => {
      for (;;) await client.query('SELECT email FROM customers')
    })().catch(() => {})
    await using store = await openStore({ kind: 'directory', path: join(directory, 'recordings') })
    /** Of how many answers masks hid something, and of how many it is there. */
    const count = async (): Promise<readonly [masked: number, hidden: number]> => {
      const [stored] = await Array.fromAsync(store.list())
      await using source = stored && (await store.open(stored.id))
      if (!source) return [0, 0]
      const keys = parseIdentities(readFileSync(join(directory, 'recording-keys', keyFiles.reader), 'utf8'))
      const reader = await RecordingReader.open(source, [...keys, identity])
      let [masked, hidden] = [0, 0]
      for await (const { entry, unmasked } of reader.entries()) {
        if (entry.type !== 'response' || !entry.bytes.includes('********')) continue
        masked++
        if (unmasked?.includes('person1@')) hidden++
      }
      return [masked, hidden]
    }
    await delay(1_500)
    while ((await count())[0] <= 10) await delay(100)
    await gateway.end('SIGKILL')
    await running
    const [recording] = await recordingsOf(directory)
    assert.equal(recording?.verified.state, 'unfinished')
    const [masked, hidden] = await count()
    assert.ok(masked > 10)
    assert.equal(hidden, masked)
  })

  it('are in an object store as well', async () => {
    await using objects = await ObjectStore.start()
    Object.assign(process.env, objects.credentials)
    const { bucket, endpoint, region } = objects
    const place = `s3://${bucket},endpoint=${endpoint},region=${region}`
    const more = ['--audit', join(directory, 'audit.jsonl'), '--recordings', place]
    await using gateway = await GatewayProcess.start(directory, more)
    const running = runUntilGone(gateway)
    await using store = await openStore({ kind: 's3', bucket, prefix: '', endpoint, region })
    const read = (): Promise<ReadRecording[]> => recordingsIn(store, join(directory, 'recording-keys'))
    for (let found = 0; found < 50; await delay(100)) {
      const [recording] = await read()
      found = recording ? recorded(recording) : 0
    }
    await gateway.end('SIGKILL')
    await running
    const [recording] = await read()
    assert.equal(recording?.verified.state, 'unfinished')
    assert.ok(recorded(recording) >= 50)
  })
})

describe('recordings whose place fails', function () {
  this.timeout(600_000)

  it('wait for it and lose nothing, or end the session when it does not come back', async () => {
    await using shop = await Shop.start()
    await shop.create('shop')
    await using objects = await ObjectStore.start()
    Object.assign(process.env, objects.credentials, { SHOP_PASSWORD: shop.postgres.password })
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-kill-'))
    writeFileSync(
      join(directory, 'firebreak.yaml'),
      manifests({
        address: `127.0.0.1:${shop.postgres.port}`,
        database: 'shop',
        more: '  recording: {mode: full}\n',
      }),
    )
    try {
      const place = `s3://${objects.bucket},endpoint=${objects.endpoint},region=${objects.region}`
      const more = ['--audit', join(directory, 'audit.jsonl'), '--recordings', place]
      await using gateway = await GatewayProcess.start(directory, more)
      const client = await shop.connect(gateway.address, 'shop')
      let ended: Error | undefined
      client.on('error', (error) => {
        ended = error
      })
      await client.query('SELECT 1')
      await objects.stop()
      await client.query('SELECT 2')
      // it gives up after 10 s
      const audit = (): string => readFileSync(join(directory, 'audit.jsonl'), 'utf8')
      while (!audit().includes('"event":"recording.failed"')) await delay(50)
      const [waited] = await Promise.all([
        client.query('SELECT 3'),
        delay(1_000).then(() => objects.resume()),
      ])
      assert.equal(waited.rowCount, 1)
      await objects.stop()
      await client.query('SELECT 4').catch(() => {})
      while (!ended) await delay(100)
      assert.match(ended.message, /can't be recorded any longer|terminated/)
      await assert.rejects(shop.connect(gateway.address, 'shop'), /can't be recorded, which policy asks for/)
      await client.end().catch(() => {})
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
