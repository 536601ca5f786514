/** The audit trail of the running gateway, between a real client and a real PostgreSQL. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'
import { manifests } from '../../test/policies.ts'
import { Shop } from '../../test/shop.ts'

const main = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))

interface Line {
  readonly event: string
  readonly session?: string
  readonly text?: string
  readonly parameters?: readonly string[]
}

/** `firebreak run` as a process of its own. */
class Gateway implements AsyncDisposable {
  readonly child: ChildProcess
  messages = ''
  readonly #shop: Shop

  /** @param fileLimit beyond which files can't grow, in units of 512 bytes. */
  constructor(shop: Shop, directory: string, path: string, fileLimit: number | 'unlimited') {
    const words = [main, 'run', '--config', directory, '--audit', path, '--listen', 'shop=127.0.0.1:0']
    this.#shop = shop
    this.child = spawn(
      'sh',
      ['-c', `ulimit -S -f ${fileLimit}; exec "$@"`, 'sh', process.execPath, ...words],
      {
        env: { ...process.env, SHOP_PASSWORD: shop.postgres.password },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    )
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.messages += text))
  }

  async connect(): Promise<pg.Client> {
    const port = Number((await this.says(/on 127\.0\.0\.1:(\d+)/))[1])
    return await this.#shop.connect({ host: '127.0.0.1', port }, 'shop')
  }

  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (const until = performance.now() + 60_000; performance.now() < until; await delay(10)) {
      const match = pattern.exec(this.messages)
      if (match) return match
    }
    return assert.fail(`it never said ${pattern}: ${this.messages}`)
  }

  /** SIGTERM. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null) return
    const exit = once(this.child, 'exit')
    this.child.kill()
    assert.deepEqual(await exit, [0, null], this.messages)
  }
}

describe('audit trail of the gateway', function () {
  this.timeout(300_000)
  let shop: Shop
  let directory: string
  let path: string

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    await shop.admin('shop', 'CREATE TABLE done (n int)')
  })
  after(async () => shop[Symbol.asyncDispose]())
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-trail-'))
    path = join(directory, 'audit.jsonl')
  })
  afterEach(async () => {
    await shop.admin('shop', 'TRUNCATE done')
    rmSync(directory, { recursive: true })
  })

  function start(onFailure: 'block' | 'spool', fileLimit: number | 'unlimited' = 'unlimited'): Gateway {
    const address = `${shop.postgres.host}:${shop.postgres.port}`
    const more = `  audit: {onFailure: ${onFailure}}\n`
    writeFileSync(join(directory, 'firebreak.yaml'), manifests({ address, database: 'shop', more }))
    return new Gateway(shop, directory, path, fileLimit)
  }

  function lines(...names: readonly string[]): Line[] {
    const text = names.map((name) => readFileSync(name, 'utf8')).join('')
    assert.ok(text.endsWith('\n'))
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line)
  }

  const inserted = (from: readonly Line[]): number[] =>
    from.filter(({ text }) => text?.startsWith('INSERT')).map(({ parameters }) => Number(parameters?.[0]))

  const done = async (): Promise<number[]> =>
    (await shop.admin('shop', 'SELECT n FROM done ORDER BY n')).rows.map(({ n }) => Number(n))

  async function doneBeyond(count: number): Promise<void> {
    while ((await done()).length <= count) await delay(10)
  }

  /** @returns how many have run, once commands wait. */
  async function settled(): Promise<number> {
    for (let before = -1; ; await delay(500)) {
      const { length } = await done()
      if (length === before) return length
      before = length
    }
  }

  /** Inserts one number after the other until the connection ends. @returns the last that was answered. */
  async function insert(client: pg.Client, from: number): Promise<number> {
    for (let number = from; ; number++) {
      try {
        await client.query({ name: 'insert', text: 'INSERT INTO done VALUES ($1)', values: [number] })
      } catch {
        return number - 1
      }
    }
  }

  it('has a line for every command when SIGTERM comes in the middle of them', async () => {
    const gateway = start('block')
    const clients = await Promise.all([1, 2, 3, 4].map(() => gateway.connect()))
    const working = clients.map((client, index) => insert(client, index * 1_000_000))
    await delay(1_000)
    await gateway[Symbol.asyncDispose]()
    const last = await Promise.all(working)
    const all = lines(path)
    const numbers = inserted(all)
    assert.equal(new Set(numbers).size, numbers.length, 'no line twice')
    for (const [index, to] of last.entries())
      for (let number = index * 1_000_000; number <= to; number++)
        assert.ok(numbers.includes(number), `${number}`)
    const audited = new Set(numbers)
    assert.deepEqual(
      (await done()).filter((number) => !audited.has(number)),
      [],
      'what has run has its line',
    )
    const starts = all.filter(({ event }) => event === 'session.start').map(({ session }) => session)
    const ends = all.filter(({ event }) => event === 'session.end').map(({ session }) => session)
    assert.deepEqual(ends.sort(), starts.sort())
    // no line of a session after its end
    for (const session of starts)
      assert.equal(all.findLast((line) => line.session === session)?.event, 'session.end')
    for (const client of clients) await client.end().catch(() => {})
  })

  it('makes commands wait when it can not be written; nothing passes unaudited', async () => {
    await using gateway = start('block', 64)
    const client = await gateway.connect()
    const working = insert(client, 0)
    const [message] = await gateway.says(/^audit: .+$/m)
    assert.equal(
      message,
      'audit: EFBIG: file too large, write; commands wait until it can be written, or use its spool where the policy says so',
    )
    // one has been let through already
    await delay(300)
    const before = await settled()
    await assert.rejects(gateway.connect(), {
      code: '08001',
      message: "the gateway can't write its audit trail, and lets nothing pass without",
    })
    renameSync(path, `${path}.1`)
    execFileSync('prlimit', ['--pid', String(gateway.child.pid), '--fsize=unlimited'])
    await gateway.says(/audit: all lines are written, commands go on/)
    await doneBeyond(before + 2)
    await gateway[Symbol.asyncDispose]()
    const to = await working
    assert.ok(to > before)
    assert.deepEqual(inserted(lines(`${path}.1`, path)).slice(0, to + 1), [...Array(to + 1).keys()])
    await client.end().catch(() => {})
  })

  it('lets commands go on with the spool, and has them in order when it can be written again', async () => {
    // room for the trail's beginning; the spool has the same limit, which it does not reach here
    const limit = 4_096
    const text = 'x'.repeat(limit * 512 - 11_000)
    writeFileSync(path, `${JSON.stringify({ event: 'filler', text })}\n`)
    await using gateway = start('spool', limit)
    const client = await gateway.connect()
    const working = insert(client, 0)
    await gateway.says(/^audit: EFBIG/m)
    const before = (await done()).length
    await doneBeyond(before + 50)
    assert.ok(statSync(`${path}.spool`).size > 0)
    execFileSync('prlimit', ['--pid', String(gateway.child.pid), '--fsize=unlimited'])
    await gateway.says(/audit: all lines are written, commands go on/)
    await gateway[Symbol.asyncDispose]()
    const to = await working
    assert.deepEqual(inserted(lines(path)).slice(0, to + 1), [...Array(to + 1).keys()])
    assert.throws(() => statSync(`${path}.spool`), /ENOENT/)
    await client.end().catch(() => {})
  })

  it('does not hold the password that a command sets', async () => {
    await using gateway = start('block')
    const client = await gateway.connect()
    await client.query("CREATE ROLE somebody PASSWORD 'hunter2'")
    await client.query("DO $$ BEGIN ALTER ROLE somebody PASSWORD 'hunter2'; END $$")
    await assert.rejects(client.query("ALTER ROLE nobody PASSWORD 'hunter2'"))
    await client.query('DROP ROLE somebody')
    await client.end()
    await gateway[Symbol.asyncDispose]()
    assert.equal(lines(path).filter(({ event }) => event === 'command').length, 4)
    assert.doesNotMatch(readFileSync(path, 'utf8'), /hunter2|postgres-password/)
  })
})
