import assert from 'node:assert/strict'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type pg from 'pg'
import postgresJs from 'postgres'
import { anyEvent } from '../../test/audit-trail.ts'
import { manifests, type PolicyOptions } from '../../test/policies.ts'
import { RawClient } from '../../test/raw-client.ts'
import { type ReadRecording, recordingsOf } from '../../test/recordings.ts'
import { Guard, Shop } from '../../test/shop.ts'
import * as encode from '../protocols/postgresql/codec/encode.ts'
import { ResponseDecoder } from '../protocols/postgresql/replay/decode.ts'
import type { Shown } from '../protocols/replays.ts'
import type { CommandEntry, OutcomeEntry } from './entries.ts'

const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: no-drop, match: {actions: ["sql:drop"]}, effect: deny, message: Ask a person.}
    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}
`
const classification = '[{tags: [pii/email], columns: [public.customers.email]}]'

/** A command as a replay shows it. */
interface Replayed {
  readonly text: string | undefined
  readonly decision: string
  readonly shown: readonly Shown[]
  readonly outcome: OutcomeEntry | undefined
}

/** What is between two outcomes is of the second one's command. */
function replay({ entries }: ReadRecording): Replayed[] {
  const commands = new Map<string, CommandEntry>()
  const replayed: Replayed[] = []
  const decoder = new ResponseDecoder()
  let shown: Shown[] = []
  for (const { entry } of entries)
    if (entry.type === 'command') commands.set(entry.reference, entry)
    else if (entry.type === 'response') shown.push(...decoder.push(entry.bytes))
    else if (entry.type === 'cut') decoder.cut()
    else if (entry.type === 'outcome') {
      const { text, decision = '' } = commands.get(entry.reference) ?? {}
      replayed.push({ text, decision, shown, outcome: entry })
      shown = []
    }
  return replayed
}

function responsesOf({ entries }: ReadRecording): Buffer {
  return Buffer.concat(entries.flatMap(({ entry }) => (entry.type === 'response' ? [entry.bytes] : [])))
}

describe('recordings of PostgreSQL sessions', function () {
  this.timeout(300_000)
  let shop: Shop

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
  })

  after(async () => {
    await shop[Symbol.asyncDispose]()
  })

  /** Runs sessions against a gateway of its own. @returns what it recorded. */
  async function record(
    recording: string,
    use: (guard: Guard) => Promise<void>,
    more: Partial<PolicyOptions> = {},
  ): Promise<{ recordings: ReadRecording[]; audit: readonly Readonly<Record<string, unknown>>[] }> {
    const guard = await Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `127.0.0.1:${shop.postgres.port}`,
          database: 'shop',
          rules,
          classification,
          ...more,
          more: `  recording: ${recording}\n${more.more ?? ''}`,
        }),
      },
      shop.postgres.password,
    )
    await using _ = guard
    await use(guard)
    await guard.stop()
    return { recordings: await recordingsOf(guard.directory), audit: await guard.auditLines(anyEvent) }
  }

  async function only(...recorded: Parameters<typeof record>): Promise<ReadRecording> {
    const { recordings } = await record(...recorded)
    assert.equal(recordings.length, 1)
    const [recording] = recordings
    assert.ok(recording)
    assert.equal(recording.verified.state, 'whole')
    return recording
  }

  async function using(guard: Guard, use: (client: pg.Client) => Promise<unknown>): Promise<void> {
    const client = await shop.connect(guard.address, 'shop')
    await use(client)
    await client.end()
  }

  it('hold commands, decisions and answers, each with its own', async () => {
    const recording = await only('{mode: full}', (guard) =>
      using(guard, async (client) => {
        await client.query('SELECT id, email FROM customers WHERE id = $1', [1])
        await assert.rejects(client.query('DROP TABLE orders'))
        await client.query('SELECT 1 AS one; SELECT 2 AS two')
      }),
    )
    const [start] = recording.entries
    assert.ok(start?.entry.type === 'start')
    const { identity, resource, role, remote, mode } = start.entry
    assert.deepEqual(
      { identity, resource, role, remote, mode },
      {
        identity: 'default/tester',
        resource: 'default/shop',
        role: 'agent',
        remote: '127.0.0.1',
        mode: 'full',
      },
    )
    const replayed = replay(recording)
    assert.deepEqual(
      replayed.map(({ text, decision, shown }) => [
        text,
        decision,
        shown.map((one) =>
          one.kind === 'row'
            ? one.values
            : one.kind === 'columns'
              ? one.columns.map(({ name }) => name)
              : one.kind === 'complete'
                ? one.tag
                : one.kind === 'error'
                  ? one.message
                  : one.kind,
        ),
      ]),
      [
        [
          'SELECT id, email FROM customers WHERE id = $1',
          'allow',
          [['id', 'email'], ['1', '********'], 'SELECT 1'],
        ],
        ['DROP TABLE orders', 'deny', ['denied by policy default/guard, rule no-drop']],
        ['SELECT 1 AS one', 'allow', [['one'], ['1'], 'SELECT 1']],
        ['SELECT 2 AS two', 'allow', [['two'], ['2'], 'SELECT 1']],
      ],
    )
    assert.deepEqual(replayed[0]?.outcome?.masked, ['email'])
    const end = recording.entries.at(-1)
    assert.equal(end?.entry.type === 'end' && end.entry.commands, 3)
  })

  it('hold the bytes that the client got, all of them and no others', async () => {
    const received: Buffer[] = []
    const recording = await only('{mode: full}', async (guard) => {
      const { client } = await RawClient.open(guard.address, { user: 'agent', database: 'shop' })
      client.socket.on('data', (chunk: Buffer) => received.push(Buffer.from(chunk)))
      const pipeline = [
        encode.parse('', 'SELECT n, email FROM customers, generate_series(1, 3000) n'),
        encode.bind('', ''),
        encode.execute(''),
        encode.parse('refused', 'DROP TABLE orders'),
        encode.bind('', 'refused'),
        encode.execute(''),
        encode.sync,
      ]
      for (const message of [
        encode.query("SELECT repeat('x', 300000); DO $$BEGIN RAISE NOTICE 'told'; END$$; SELECT 1/0"),
        encode.query('COPY customers (id, email) TO STDOUT'),
        encode.query("SET application_name = 'x'; LISTEN l; NOTIFY l, 'y'"),
        Buffer.concat(pipeline),
        encode.query(''),
      ]) {
        client.send(message)
        await client.until('Z')
      }
      client.socket.end(encode.terminate)
      while (!client.closed) await new Promise((resolve) => setTimeout(resolve, 5))
    })
    assert.ok(responsesOf(recording).equals(Buffer.concat(received)))
    const [last] = replay(recording).slice(-1)
    assert.equal(last?.decision, 'deny')
    assert.deepEqual(
      last?.shown.map(({ kind }) => kind),
      ['error'],
    )
  })

  it('hold no value that was masked, in any form', async () => {
    const { recordings } = await record('{mode: full}', (guard) =>
      using(guard, async (client) => {
        await client.query('SELECT * FROM customers')
        await client.query('SELECT email FROM customers').catch(() => {})
        await client.query("SELECT 'x' || email FROM customers").catch(() => {})
        await client.query('SELECT email::int FROM customers').catch(() => {})
      }),
    )
    const [recording] = recordings
    assert.ok(recording && responsesOf(recording).length > 100)
    const all = JSON.stringify(recording.entries) + responsesOf(recording).toString('latin1')
    assert.doesNotMatch(all, /person[123]@/)
  })

  it('show commands as the policy lets them be shown', async () => {
    for (const [text, shown] of [
      ['normalized', 'select $1'],
      ['digest', undefined],
    ] as const) {
      const recording = await only(
        '{mode: full}',
        (guard) =>
          using(guard, async (client) => {
            await client.query("select 'hunter2'")
            await client.query("select 'hunter2'::int").catch(() => {})
          }),
        { more: `  audit: {text: ${text}}\n` },
      )
      const [first, second] = replay(recording)
      assert.equal(first?.text, shown)
      assert.deepEqual(second?.outcome?.error, { code: '22P02' })
    }
  })

  it('hold no responses where the policy says so, and nothing at all where none asks', async () => {
    const recording = await only('{mode: commands}', (guard) =>
      using(guard, (client) => client.query('SELECT 1')),
    )
    assert.deepEqual(
      recording.entries.map(({ entry }) => entry.type),
      ['start', 'command', 'outcome', 'end'],
    )
    await using guard = await Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `127.0.0.1:${shop.postgres.port}`,
          database: 'shop',
          more: '  recording: {mode: "off"}\n',
        }),
      },
      shop.postgres.password,
    )
    await using_(guard)
    assert.equal(statSync(join(guard.directory, 'recordings'), { throwIfNoEntry: false }), undefined)
  })

  async function using_(guard: Guard): Promise<void> {
    await using(guard, (client) => client.query('SELECT 1'))
  }

  it('say where an answer is cut, and how much of it is left out', async () => {
    const recording = await only('{mode: full, bytesPerCommand: 1000}', (guard) =>
      using(guard, async (client) => {
        await client.query("SELECT repeat('x', 50) FROM generate_series(1, 100)")
        await client.query('SELECT 1')
      }),
    )
    const [cut, whole] = replay(recording)
    const bytes = recording.entries.flatMap(({ entry }) =>
      entry.type === 'response' ? [entry.bytes.length] : [],
    )
    assert.ok(bytes.reduce((a, b) => a + b) > 1000 && bytes.reduce((a, b) => a + b) < 1200)
    assert.ok((cut?.outcome?.responseLeftOut ?? 0) > 4000)
    assert.equal(whole?.outcome?.responseLeftOut, undefined)
    assert.deepEqual(recording.entries.find(({ entry }) => entry.type === 'cut')?.entry, {
      type: 'cut',
      what: 'response',
      limit: 1000,
    })
  })

  it('hold what a client sends into a COPY', async () => {
    await shop.admin('shop', 'CREATE TABLE copied (a text)')
    const recording = await only('{mode: full}', async (guard) => {
      const sql = postgresJs({ ...guard.address, database: 'shop', user: 'agent', max: 1 })
      const sink = await sql`COPY copied FROM STDIN`.writable()
      await pipeline(Readable.from(['one\n', 'two\n']), sink)
      await sql.end()
    })
    const input = recording.entries.flatMap(({ entry }) => (entry.type === 'input' ? [entry.bytes] : []))
    assert.equal(Buffer.concat(input).toString(), 'one\ntwo\n')
  })

  it('begin when the policy asks for one, and follow what it asks for', async () => {
    const text = (recording: string): string =>
      manifests({
        address: `127.0.0.1:${shop.postgres.port}`,
        database: 'shop',
        more: `  recording: {mode: ${recording}}\n`,
      })
    await using guard = await Guard.start({ 'firebreak.yaml': text('"off"') }, shop.postgres.password)
    const change = async (recording: string): Promise<void> => {
      const before = await guard.auditLines('configuration.applied')
      writeFileSync(join(guard.directory, 'firebreak.yaml'), text(recording))
      await guard.auditLines('configuration.applied', before.length + 1)
    }
    await using(guard, async (client) => {
      await client.query("SELECT 'unrecorded'")
      await change('commands')
      await client.query("SELECT 'first'")
      await change('full')
      await client.query("SELECT 'second'")
      await change('"off"')
      await client.query("SELECT 'unrecorded'")
    })
    await guard.stop()
    const [recording] = await recordingsOf(guard.directory)
    assert.ok(recording)
    assert.deepEqual(
      recording.entries.map(({ entry }) =>
        entry.type === 'command' ? entry.text : entry.type === 'mode' ? entry.mode : entry.type,
      ),
      [
        'start',
        "SELECT 'first'",
        'outcome',
        'full',
        "SELECT 'second'",
        'response',
        'outcome',
        'response',
        'off',
        'end',
      ],
    )
  })

  it('end at their largest size, say so everywhere, and end the session with them if policy says so', async () => {
    for (const [onLimit, consequence] of [
      ['end', 'ends'],
      ['continue', 'continues'],
    ] as const) {
      const { recordings, audit } = await record(
        `{mode: full, maxBytes: 65536, onLimit: ${onLimit}}`,
        async (guard) => {
          const client = await shop.connect(guard.address, 'shop')
          const noise = "SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 20000)"
          let ended: unknown
          const query = (): Promise<unknown> =>
            client.query(noise).catch((error: unknown) => {
              ended = error
            })
          await query()
          await guard.auditLines('recording.limit')
          // those who end with it have a moment
          for (let count = 0; count < (onLimit === 'end' ? 600 : 2) && ended === undefined; count++) {
            await query()
            await new Promise((resolve) => setTimeout(resolve, 100))
          }
          if (onLimit === 'continue') assert.equal(ended, undefined)
          else assert.match(String(ended), /largest size of 65536 bytes|terminated/)
          await client.end()
        },
      )
      const [recording] = recordings
      assert.equal(recording?.verified.state, 'whole')
      assert.deepEqual(recording?.entries.at(-1)?.entry, {
        type: 'limit',
        bytes: 65536,
        session: consequence,
      })
      const line = audit.find(({ event }) => event === 'recording.limit')
      assert.deepEqual([line?.bytes, line?.consequence], [65536, consequence])
    }
  })

  it('are tied to the audit trail: whose key, how many blocks, and the hash of the last head', async () => {
    const { recordings, audit } = await record('{mode: full}', (guard) => using_(guard))
    const [recording] = recordings
    assert.ok(recording?.verified.state === 'whole')
    const { proven } = recording.verified
    const started = audit.find(({ event }) => event === 'recording.started')
    const ended = audit.find(({ event }) => event === 'recording.ended')
    assert.equal(started?.signer, proven.header.signer)
    assert.deepEqual(
      [ended?.session, ended?.blocks, ended?.commands, ended?.bytes, ended?.hash],
      [recording.id, proven.blocks, proven.commands, proven.length, proven.hash],
    )
    const references = audit.filter(({ event }) => event === 'command').map(({ reference }) => reference)
    assert.deepEqual(
      replay(recording).map(({ outcome }) => outcome?.reference),
      references,
    )
  })

  it('refuse a session that they can not be made of, unless policy says otherwise', async () => {
    for (const onFailure of ['refuse', 'continue'] as const) {
      await using guard = await Guard.start(
        {
          'firebreak.yaml': manifests({
            address: `127.0.0.1:${shop.postgres.port}`,
            database: 'shop',
            more: `  recording: {mode: full, onFailure: ${onFailure}}\n`,
          }),
          taken: 'a file',
        },
        shop.postgres.password,
        { recordings: { kind: 'directory', path: join(import.meta.dirname, 'sessions.test.ts') } },
      )
      const attempt = using_(guard)
      if (onFailure === 'continue') await attempt
      else
        await assert.rejects(attempt, {
          code: '08001',
          message: /can't be recorded, which policy asks for: .*sessions\.test\.ts/,
        })
      const event = onFailure === 'refuse' ? 'session.refused' : 'recording.lost'
      const [line] = await guard.auditLines(event)
      assert.match(String(line?.reason), /sessions\.test\.ts/)
    }
  })

  it('are for their owner alone', async () => {
    await record('{mode: full}', async (guard) => {
      await using_(guard)
      const mode = (path: string): number => statSync(join(guard.directory, path)).mode & 0o777
      assert.equal(mode('recordings'), 0o700)
      assert.equal(mode('recording-keys'), 0o700)
      assert.equal(mode('recording-keys/reader.txt'), 0o600)
      assert.equal(mode('recording-keys/signer.pem'), 0o600)
      assert.match(readFileSync(join(guard.directory, 'recording-keys/reader.txt'), 'utf8'), /AGE-SECRET-KEY/)
    })
  })
})
