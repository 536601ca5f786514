import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { maximumLine } from '@firebreak/sidecar/audit/lengths.ts'
import { LogServer } from '@firebreak/sidecar/audit/remote/testdata/log-server.ts'
import { verifyTrail } from '@firebreak/sidecar/audit/verify.ts'
import { parse } from 'yaml'
import { eventuallyWith } from '../test/eventually.ts'
import { manifests } from '../test/policies.ts'
import { recordingsOf } from '../test/recordings.ts'
import { attacksDirectory, Guard, Shop } from '../test/shop.ts'

interface Oversized {
  readonly name: string
  readonly sql: string
  readonly values?: number
  readonly value?: string
  readonly message?: number
  readonly cut: readonly string[]
  readonly recorded: readonly string[]
}

const { commands } = parse(readFileSync(new URL('audit.yaml', attacksDirectory), 'utf8')) as {
  readonly commands: readonly Oversized[]
}

const deletion = 'DELETE FROM carts WHERE id = 1'

const eventually = eventuallyWith(() => 'the sink elsewhere does not have it', 60)

/** Fields that say that something is left out, those of an error too. */
function leftOut(...parts: readonly object[]): string[] {
  return parts
    .flatMap((part) => [
      ...Object.keys(part),
      ...Object.keys(Object(Reflect.get(part, 'error'))).map((name) => `error.${name}`),
    ])
    .filter((name) => name.endsWith('LeftOut') || name === 'tooLong')
}

describe('attacks on the audit trail', function () {
  this.timeout(300_000)
  let shop: Shop
  let directory: string

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
  })
  after(() => shop[Symbol.asyncDispose]())
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-audit-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  for (const { name, sql, values: count = 0, value = '', message, cut, recorded } of commands)
    it(`leave a line of ${name}, and of what comes after it`, async () => {
      await using sink = await LogServer.start()
      const text = sql
        .replace(/\{(control|plain) (\d+)\}/, (_, kind, length) =>
          (kind === 'control' ? '\u0001' : 'x').repeat(Number(length)),
        )
        .replace('{values}', Array.from({ length: count }, (_, index) => `$${index + 1}`).join())
      const bound = Array.from({ length: count }, () => value.repeat(1_024))
      await using guard = await guarded(sink.url)
      const client = await shop.connect(guard.address, 'shop')
      const answer = await client.query(text, bound).catch((error: Error) => error)
      if (message === undefined) assert.ok(!(answer instanceof Error), String(answer).slice(0, 200))
      else assert.equal(answer instanceof Error && answer.message.length, message)
      await client.query(deletion)
      await client.end()
      // at its end a gateway has little time for what is to be sent
      await eventually(() => sink.lines.slice(-3).join('\n'), new RegExp(deletion))
      await guard.stop()

      const written = readFileSync(join(directory, 'audit.jsonl'), 'utf8').split('\n').slice(0, -1)
      assert.ok(sink.lines.join('\n') === written.join('\n'), 'the sink elsewhere has every line')
      for (const line of written) assert.ok(Buffer.byteLength(line) < maximumLine)
      const stream = Readable.from([Buffer.from(written.map((line) => `${line}\n`).join(''))])
      assert.deepEqual((await verifyTrail([{ name: 'written', stream }])).problems, [])
      const [line, next, ...others] = written
        .map((one) => JSON.parse(one) as Readonly<Record<string, unknown>>)
        .filter(({ event }) => event === 'command')
      assert.ok(line && next && others.length === 0)
      assert.equal(line.digest, hash('sha256', text))
      assert.deepEqual(leftOut(line), cut)
      assert.equal(next.text, deletion)

      const [recording] = await recordingsOf(guard.directory)
      assert.ok(recording?.verified.state === 'whole')
      const entries = recording.entries.map(({ entry }) => entry)
      const began = entries.filter((entry) => entry.type === 'command')
      const [outcome] = entries.filter((entry) => entry.type === 'outcome')
      assert.ok(began[0] && outcome)
      assert.ok(text.startsWith(began[0].text ?? ' '))
      // how much of a response is kept is the policy's to say
      const { responseLeftOut, ...rest } = outcome
      assert.equal(responseLeftOut !== undefined, (message ?? 0) > 1_048_576)
      assert.deepEqual(leftOut(began[0], rest), recorded)
      assert.equal(began[1]?.text, deletion)
    })

  function guarded(sink: string): Promise<Guard> {
    const address = `127.0.0.1:${shop.postgres.port}`
    const text = manifests({ address, database: 'shop', more: '  recording: {mode: full}\n' })
    const spool = { directory: join(directory, 'spool'), limit: 2 ** 20 }
    return Guard.start({ 'firebreak.yaml': text }, shop.postgres.password, {
      audit: [
        { kind: 'file', path: join(directory, 'audit.jsonl') },
        { kind: 'http', url: sink, secret: 'a secret of both sides', format: 'lines', spool },
      ],
    })
  }
})
