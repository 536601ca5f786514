import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newReaderKey } from '@firebreak/sidecar/recording/testdata/recordings.ts'
import type pg from 'pg'
import { RecordedShop } from '../../test/recorded-shop.ts'

const long = 'SELECT email, n FROM customers, generate_series(1, 400) n'

async function session(client: pg.Client): Promise<void> {
  await client.query('SELECT id, email FROM customers ORDER BY id')
  await client.query({ text: 'SELECT email FROM customers WHERE id = $1', values: [2], name: 'prepared' })
  await client.query('COPY customers (id, email) TO STDOUT')
  await client.query('SELECT 1 AS nothing_hidden')
  await client.query(long)
}

describe('sessions whose recording has what masks hid', function () {
  this.timeout(600_000)
  let shop: RecordedShop
  let id: string
  let keys: { readonly reader: string; readonly unmasked: string }

  before(async () => {
    const { identity, recipient } = await newReaderKey()
    const recording = '{mode: full, unmasked: true, bytesPerCommand: 35000}'
    shop = await RecordedShop.start([session], recording, undefined, [recipient])
    id = readdirSync(join(shop.directory, 'recordings'))[0]?.replace('.fbrec', '') ?? ''
    keys = {
      reader: join(shop.directory, 'recording-keys/reader.txt'),
      unmasked: join(shop.directory, 'unmasked.txt'),
    }
    writeFileSync(keys.unmasked, identity, { mode: 0o600 })
  })
  after(() => shop[Symbol.asyncDispose]())

  const both = (): string[] => ['--key', keys.reader, '--key', keys.unmasked]

  function run(...words: string[]): string {
    const { status, output, stderr } = shop.firebreak(...words)
    assert.equal(status, 0, stderr)
    return output
  }

  it('are replayed masked for readers, who see no trace of it', () => {
    const output = run('replay', id)
    assert.match(output, /email \(masked\)/)
    assert.doesNotMatch(output, /person\d+@|unmasked$/m)
    assert.doesNotMatch(output, /what masks hid from the agent is shown/)
  })

  it('are replayed unmasked for who has both keys, and marked', () => {
    const output = run('replay', id, ...both())
    assert.match(output, /── what masks hid from the agent is shown, as far as it was kept ──/)
    assert.match(output, /id │ email \(unmasked\)/)
    assert.match(output, /person1@.*\n.*person2@/)
    assert.match(output, /unmasked: email/)
    assert.doesNotMatch(output, /\(masked\)/)
    assert.match(output, /^\s+1 +person1@/m)
    assert.match(output, /cut here: more of what masks hid of this answer/)
  })

  it('are replayed unmasked from any command on', () => {
    const output = run('replay', id, '--command', '2', ...both())
    assert.match(output, /email \(unmasked\)\n.*\n\s+person2@/)
  })

  it('are exported either way', () => {
    const file = join(shop.directory, 'session.html')
    run('sessions', 'export', id, '--html', file)
    assert.doesNotMatch(readFileSync(file, 'utf8'), /person\d+@|as far as it was kept/)
    run('sessions', 'export', id, '--html', file, ...both())
    const page = readFileSync(file, 'utf8')
    assert.match(page, /<td class="unmasked">person1@/)
    assert.match(page, /what masks hid from the agent is shown, as far as it was kept/)
    const lines = run('sessions', 'export', id, '--json', '-', ...both())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { kind: string; unmasked?: unknown })
    assert.equal(lines[0]?.unmasked, undefined, 'of the header nothing but what can be known')
    assert.deepEqual(
      lines.filter(({ kind }) => kind === 'exchange').map(({ unmasked }) => unmasked),
      [true, true, true, undefined, true],
    )
  })

  it('are found by what was hidden as long as there is the key for it, and not in the index of others', () => {
    const index = join(shop.directory, 'index')
    const found = (...words: string[]): boolean =>
      shop.firebreak('sessions', 'search', 'person1', '--index', index, ...words).output.includes('SELECT')
    assert.equal(found(), false)
    assert.equal(found(...both()), true)
    assert.match(readFileSync(index, 'latin1'), /person1@/)
    assert.equal(found('--as-indexed'), true)
    assert.equal(found(), false)
    assert.doesNotMatch(readFileSync(index, 'latin1'), /person1@/)
  })

  it('verify, and tell in the audit trail for whom it is', () => {
    assert.match(run('sessions', 'verify', id), /: whole, unaltered/)
    const lines = readFileSync(join(shop.directory, 'audit.jsonl'), 'utf8').trimEnd().split('\n')
    const started = lines.map((line) => JSON.parse(line) as { event: string; unmasked?: string[] })
    assert.match(started.find(({ event }) => event === 'recording.started')?.unmasked?.join() ?? '', /^age1/)
  })
})
