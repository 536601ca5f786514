import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as encode from '@firebreak/sidecar/protocols/postgresql/codec/encode.ts'
import { RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import { DirectoryStore } from '@firebreak/sidecar/recording/stores/directory.ts'
import { newReaderKey } from '@firebreak/sidecar/recording/testdata/recordings.ts'
import { parse } from 'yaml'
import { manifests } from '../test/policies.ts'
import { RawClient } from '../test/raw-client.ts'
import { type ReadRecording, recordingsOf } from '../test/recordings.ts'
import { attacksDirectory, Guard, Shop, type ShopValues } from '../test/shop.ts'
import { isRoot } from '../tools/cache.ts'

interface Evasion {
  readonly name: string
  readonly sql: readonly string[]
  readonly shows: string
  readonly answer?: string
  readonly leftOut?: boolean
}

interface Reach {
  readonly name: string
  readonly command: readonly string[]
}

type Holder = 'reader' | 'unmasked' | 'author' | 'gateway'

interface Hidden {
  readonly name: string
  readonly asks: boolean
  /** What the other policy says of recording. */
  readonly beside?: string
  readonly masksBeside?: boolean
  /** Whether the place names somebody for what masks hid. */
  readonly named?: boolean
  readonly refused?: boolean
  readonly holds: readonly Holder[]
  readonly sees: boolean
}

const read = (name: string): unknown => parse(readFileSync(new URL(name, attacksDirectory), 'utf8'))
const { evasions, hidden, reaches, looks } = read('recording.yaml') as {
  evasions: readonly Evasion[]
  hidden: readonly Hidden[]
  reaches: readonly Reach[]
  looks: readonly Reach[]
}
const masking = read('postgresql-masking.yaml') as {
  values: { first: ShopValues }
  canaries: readonly string[]
  attacks: readonly { readonly sql: string | readonly string[] }[]
}

const mask = `    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}
`

/** A policy that applies beside the other one. */
const policyBeside = (recording: string, masks: boolean): string => `---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: beside}
spec:
  rules:
    - {name: nothing, match: {actions: ["sql:truncate"]}, effect: deny}
${masks ? mask : ''}  recording: ${recording}
`

const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: no-drop, match: {actions: ["sql:drop"]}, effect: deny}
`

/** Sends queries one after the other, each once the one before it is answered. */
async function send(guard: Guard, database: string, texts: readonly string[]): Promise<void> {
  const { client } = await RawClient.open(guard.address, { user: 'agent', database })
  using session = client
  for (const text of texts) {
    session.send(encode.query(text))
    await session.until('Z')
  }
  session.socket.end(encode.terminate)
  await session.until('nothing')
}

/** Whatever could be a private key, in whatever file. */
function keysIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap(
      (entry) =>
        readFileSync(join(entry.parentPath, entry.name), 'latin1').match(/AGE-SECRET-KEY-\S+/g) ?? [],
    )
}

function responsesOf({ entries }: ReadRecording): string {
  const bytes = entries.flatMap(({ entry }) => (entry.type === 'response' ? [entry.bytes] : []))
  return Buffer.concat(bytes).toString('latin1')
}

describe('attacks on recordings', function () {
  this.timeout(300_000)
  let shop: Shop

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    await shop.create('canaries', masking.values.first)
  })
  after(() => shop[Symbol.asyncDispose]())

  function guarded(): Promise<Guard> {
    const address = `127.0.0.1:${shop.postgres.port}`
    const recording = '  recording: {mode: full}\n'
    const text = manifests({ address, database: 'shop', rules, more: recording })
    return Guard.start({ 'firebreak.yaml': text }, shop.postgres.password)
  }

  for (const { name, sql, shows, answer, leftOut = false } of evasions)
    it(`show what is done ${name}`, async () => {
      await using guard = await guarded()
      const texts = sql.map((text) =>
        text.replace(/\{pad (\d+)\}/, (_, kilobytes: string) => ' '.repeat(Number(kilobytes) * 1000)),
      )
      await send(guard, 'shop', texts)
      await guard.stop()
      const [recording] = await recordingsOf(guard.directory)
      assert.ok(recording?.verified.state === 'whole')
      const commands = recording.entries.flatMap(({ entry }) => (entry.type === 'command' ? [entry] : []))
      assert.ok(commands.some(({ text = '' }) => text.includes(shows)))
      if (answer !== undefined) assert.ok(responsesOf(recording).includes(answer), answer)
      const left = recording.entries.some(
        ({ entry }) => entry.type === 'outcome' && (entry.responseLeftOut ?? 0) > 0,
      )
      if (leftOut) assert.equal(left, true)
    })

  for (const { name, asks, beside, masksBeside = false, named = true, refused, holds, sees } of hidden)
    it(`${sees ? 'show' : 'do not show'} what masks hid to ${name}`, async () => {
      const keys = {
        reader: await newReaderKey(),
        unmasked: await newReaderKey(),
        author: await newReaderKey(),
      }
      const text = manifests({
        address: `127.0.0.1:${shop.postgres.port}`,
        database: 'shop',
        rules: rules + mask,
        classification: '[{tags: [pii/email], columns: [public.customers.email]}]',
        more: `  recording: {mode: full, unmasked: ${asks}}\n`,
      })
      const other = beside === undefined ? '' : policyBeside(beside, masksBeside)
      await using guard = await Guard.start({ 'firebreak.yaml': text + other }, shop.postgres.password, {
        recordingRecipients: [keys.reader.recipient],
        ...(named && { unmaskedRecipients: [keys.unmasked.recipient] }),
      })
      await send(guard, 'shop', ['SELECT id, email FROM customers'])
      await guard.stop()
      const directory = join(guard.directory, 'recordings')
      const files = existsSync(directory) ? readdirSync(directory) : []
      assert.equal(files.length, refused ? 0 : 1)
      const identities = holds.flatMap((holder) =>
        holder === 'gateway' ? keysIn(guard.directory) : [keys[holder].identity],
      )
      let seen = readdirSync(guard.directory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
        .join()
      await using store = await DirectoryStore.open(directory)
      for (const file of files) {
        await using source = await store.open(file.replace('.fbrec', ''))
        assert.ok(source)
        const reader = await RecordingReader.open(source, identities).catch(() => undefined)
        if (reader)
          for await (const { entry, unmasked } of reader.entries())
            seen +=
              (entry.type === 'response' ? entry.bytes : '').toString('latin1') + unmasked?.toString('latin1')
      }
      assert.equal(/person\d+@/.test(seen), sees)
    })

  it('hold nothing that attacks on masked values are after', async () => {
    const policy = readFileSync(new URL('postgresql-masking-policy/firebreak.yaml', attacksDirectory), 'utf8')
    const text = policy
      .replace('  database: shop\n', '')
      .replace('ADDRESS', `${shop.postgres.host}:${shop.postgres.port}`)
    const files = { 'firebreak.yaml': `${text.trimEnd()}\n  recording: {mode: full}\n` }
    await using guard = await Guard.start(files, shop.postgres.password)
    const left = masking.attacks.values()
    const attackOn = async (): Promise<void> => {
      for (const { sql } of left) await send(guard, 'canaries', [sql].flat())
    }
    await Promise.all(Array.from({ length: 8 }, attackOn))
    await guard.stop()
    const recordings = await recordingsOf(guard.directory)
    assert.equal(recordings.length, masking.attacks.length)
    for (const recording of recordings) {
      const errors = recording.entries.flatMap(({ entry }) => (entry.type === 'outcome' ? [entry.error] : []))
      const all = responsesOf(recording) + JSON.stringify(errors)
      for (const canary of masking.canaries) assert.ok(!all.includes(canary), `${canary} is in a recording`)
    }
  })

  it('fail from the user of an agent, and work from the own', async function () {
    // an ordinary user can't become another one
    if (!isRoot) this.skip()
    await using guard = await guarded()
    await send(guard, 'shop', ["SELECT 'seen by nobody else'"])
    await guard.stop()
    const [recording] = await recordingsOf(guard.directory)
    assert.ok(recording)
    // agents may look at the manifests
    chmodSync(guard.directory, 0o755)
    const attempt = ({ command }: Reach, as?: number): { status: number | null; output: string } => {
      const [program = '', ...words] = command.map((word) =>
        word.replace('{recording}', `recordings/${recording.id}.fbrec`),
      )
      const { status, stdout } = spawnSync(program, words, {
        cwd: guard.directory,
        encoding: 'latin1',
        ...(as !== undefined && { uid: as, gid: as }),
      })
      return { status, output: stdout }
    }
    for (const look of looks) assert.equal(attempt(look).status, 0, look.name)
    for (const reach of reaches) {
      const { status, output } = attempt(reach, 65_534)
      assert.notEqual(status, 0, reach.name)
      assert.equal(output, '', reach.name)
    }
    const [after] = await recordingsOf(guard.directory)
    assert.equal(after?.verified.state, 'whole')
  })
})
