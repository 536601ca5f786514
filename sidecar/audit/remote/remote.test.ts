/** Processes whose audit trail goes elsewhere, to real servers, through what may happen to either. */
import assert from 'node:assert/strict'
import { createHmac, timingSafeEqual } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { untilTrue } from '../../../test/eventually.ts'
import { type Postgres, startPostgres } from '../../../tools/postgres.ts'
import { Audit } from '../audit.ts'
import type { AuditTarget } from '../target.ts'
import { everything, who } from '../testdata/every-line.ts'
import { Writing, type WritingOptions } from '../testdata/writing.ts'
import { type AuditTrail, verifyTrail } from '../verify.ts'
import { tableDefinition } from './postgresql.ts'
import { LogServer } from './testdata/log-server.ts'

const secret = 'a secret of both sides'

async function verify(lines: readonly string[]): Promise<AuditTrail> {
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
  return await verifyTrail([{ name: 'received', stream: Readable.from([bytes]) }])
}

/** @returns the numbers of the lines, each once. */
function numbers(lines: readonly string[]): Set<number> {
  return new Set(
    lines.flatMap((line) => {
      const { event, revision } = JSON.parse(line) as { event: string; revision: string }
      return event === 'configuration.applied' ? [Number(revision)] : []
    }),
  )
}

function numbersOfCommands(lines: readonly string[]): number {
  return lines.filter((line) => line.includes('"event":"command"')).length
}

function assertAll(lines: readonly string[], to: number): void {
  const there = numbers(lines)
  for (let number = 1; number <= to; number++) assert.ok(there.has(number), `${number} is missing`)
}

describe('audit trail elsewhere', function () {
  this.timeout(300_000)
  let directory: string
  let spool: string
  const started: Writing[] = []

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-audit-'))
    spool = join(directory, 'spool')
  })
  afterEach(async () => {
    for (const writing of started.splice(0)) await writing.kill()
    rmSync(directory, { recursive: true })
  })

  function write(targets: readonly AuditTarget[], options: Partial<WritingOptions> = {}): Writing {
    const writing = new Writing({ path: JSON.stringify(targets), ...options })
    started.push(writing)
    return writing
  }

  /** @returns how many lines it has made, once they are on disk: it takes some moments. */
  async function spooled(writing: Writing): Promise<number> {
    const { made } = writing
    const text = (): string =>
      readdirSync(spool)
        .filter((name) => name.endsWith('.jsonl'))
        .map((name) => readFileSync(join(spool, name), 'utf8'))
        .join('')
    await writing.until(() => text().includes(`"revision":"${made}"}\n`))
    return made
  }

  const overHttp = (server: LogServer, limit = 2 ** 28): AuditTarget => ({
    kind: 'http',
    url: server.url,
    secret,
    format: 'lines',
    spool: { directory: spool, limit },
  })

  it('gets every line, in order, signed', async () => {
    await using server = await LogServer.start()
    const writing = write([overHttp(server)])
    await writing.until(({ made }) => made > 500)
    const { made, lost } = await writing.stop()
    assert.equal(lost, 0)
    assertAll(server.lines, made)
    const { problems, chains } = await verify(server.lines)
    assert.deepEqual(problems, [])
    assert.deepEqual(
      chains.map(({ ended, repeated }) => [ended, repeated]),
      [[true, 0]],
    )
    for (const { headers, body } of server.requests) {
      const timestamp = String(headers['firebreak-timestamp'])
      const expected = createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')
      assert.ok(
        timingSafeEqual(
          Buffer.from(`sha256=${expected}`),
          Buffer.from(String(headers['firebreak-signature'])),
        ),
      )
      assert.equal(headers['content-type'], 'application/x-ndjson')
    }
    assert.equal(readdirSync(spool).length, 2, 'the last segment stays, with where it was delivered to')
  })

  it('gets all of it after failures, and what it has already again at most', async () => {
    await using server = await LogServer.start()
    server.answers.push(503, 'cut', 429)
    const writing = write([overHttp(server)])
    await writing.says('undelivered')
    await writing.until(({ messages }) => messages.includes('\ndelivered'))
    const { made } = await writing.stop()
    assertAll(server.lines, made)
    const { problems, chains } = await verify(server.lines)
    assert.deepEqual(problems, [])
    assert.ok((chains[0]?.repeated ?? 0) > 0, 'lines came again, and are known by their number')
  })

  it('loses nothing by SIGKILL while it is away, or takes no answer', async () => {
    await using server = await LogServer.start()
    server.answer = 'stall'
    const first = write([overHttp(server)])
    await first.until(({ made }) => made > 300)
    const before = await spooled(first)
    await first.kill()
    assert.deepEqual(server.lines, [])
    server.answer = 503
    const second = write([overHttp(server)], { first: 1_000_001 })
    await second.says('undelivered')
    await second.kill()
    server.answer = 200
    const third = write([overHttp(server)], { first: 2_000_001 })
    await third.until(({ made }) => made > 2_000_100)
    await third.stop()
    assertAll(server.lines, before)
    const { problems, chains } = await verify(server.lines)
    assert.deepEqual(problems, [])
    assert.deepEqual(
      chains.map(({ first, ended }) => [first, ended]),
      [
        [1, false],
        [1, false],
        [1, true],
      ],
    )
  })

  it('sends again after SIGKILL what it may have delivered, and no more than that', async () => {
    await using server = await LogServer.start()
    const first = write([overHttp(server)])
    await first.until(({ made }) => made > 1_000)
    await first.kill()
    const second = write([overHttp(server)], { first: 1_000_001 })
    await second.until(({ made }) => made > 1_000_100)
    await second.stop()
    const { problems } = await verify(server.lines)
    assert.deepEqual(problems, [])
  })

  it('holds nobody up while it is away, until its spool is full', async () => {
    await using server = await LogServer.start()
    server.answer = 503
    const writing = write([overHttp(server, 300_000)])
    await writing.says('failed')
    assert.match(writing.messages, /the spool has reached its limit of 300000 bytes/)
    await writing.standsStill()
    assert.ok(writing.made > 500)
    server.answer = 200
    await writing.says('recovered')
    const before = writing.made
    await writing.until(({ made }) => made > before + 50)
    const { made, lost } = await writing.stop()
    assert.equal(lost, 0)
    assertAll(server.lines, made)
    assert.deepEqual((await verify(server.lines)).problems, [])
  })

  it('removes what is delivered, whatever has passed through', async () => {
    await using server = await LogServer.start()
    const writing = write([overHttp(server)])
    await writing.until(({ made }) => made > 20_000, 240)
    const { made } = await writing.stop()
    assert.ok(server.lines.join('\n').length > 4 * 2 ** 20, 'several segments')
    assertAll(server.lines, made)
    assert.equal(readdirSync(spool).length, 2)
  })

  it('is one of several, each of which gets every line', async () => {
    await using server = await LogServer.start()
    server.answer = 503
    const path = join(directory, 'audit.jsonl')
    const writing = write([{ kind: 'file', path }, overHttp(server)])
    await writing.says('undelivered')
    server.answer = 200
    await writing.says('\ndelivered')
    await writing.stop()
    assert.equal(readFileSync(path, 'utf8'), server.lines.map((line) => `${line}\n`).join(''))
  })

  it('goes on without its lines where the policy says so, and says exactly how many they were', async () => {
    await using server = await LogServer.start()
    server.answer = 503
    const path = join(directory, 'audit.jsonl')
    const problems: string[] = []
    const language = { normalize: (text: string) => text, mayHoldSecret: () => false }
    const audit = await Audit.open([{ kind: 'file', path }, overHttp(server, 300_000)], language, {
      failed: ({ message }) => problems.push(message),
      recovered() {},
      undelivered() {},
      delivered() {},
    })
    const policy = { text: 'full', onFailure: 'drop' } as const
    for (let turn = 0; turn < 150; turn++) {
      for (let count = 0; count < 200; count++) {
        assert.equal(audit.ready(policy), undefined)
        audit.command(who, everything, policy)
      }
      // the file is written as fast as the machine does it, and would go without lines as well
      do await delay(2)
      while ((new Map(audit.waiting()).get(path) ?? 0) > 1_000_000)
    }
    assert.equal(audit.blocks('block'), true)
    server.answer = 200
    await untilTrue(() => !audit.blocks('block'), 'the spool stayed full')
    assert.equal(await audit.close(), 0)
    const here = readFileSync(path, 'utf8').split('\n').slice(0, -1)
    assert.equal(numbersOfCommands(here), 30_000, 'the file has them all')
    const dropped = here
      .map((line) => JSON.parse(line) as { event: string; sink: string; count: number })
      .filter(({ event }) => event === 'audit.dropped')
    const missing = 30_000 - numbersOfCommands([...new Set(server.lines)])
    assert.ok(missing > 0)
    assert.equal(
      dropped.reduce((sum, { count }) => sum + count, 0),
      missing,
    )
    assert.equal(dropped[0]?.sink, server.url)
    const trail = await verify(server.lines)
    assert.deepEqual(trail.problems, [])
    assert.equal(trail.chains[0]?.dropped, missing)
    for (const problem of problems) assert.match(problem, /the spool has reached its limit/)
  })

  /** That {@link beside} was told of. */
  let failures: string[] = []

  /** In this process, with a file beside it. @returns the file's lines, once both have all that they get. */
  async function beside(target: AuditTarget, use: (audit: Audit) => Promise<void>): Promise<string[]> {
    const path = join(directory, 'audit.jsonl')
    const language = { normalize: (text: string) => text, mayHoldSecret: () => false }
    failures = []
    const failed = ({ message }: Error) => void failures.push(message)
    const events = { failed, recovered() {}, undelivered() {}, delivered() {} }
    const audit = await Audit.open([{ kind: 'file', path }, target], language, events)
    await use(audit)
    assert.equal(await audit.close(), 0)
    return readFileSync(path, 'utf8').split('\n').slice(0, -1)
  }

  /** The lines that the file beside it has by now. */
  const besides = (): string[] =>
    readFileSync(join(directory, 'audit.jsonl'), 'utf8').split('\n').slice(0, -1)

  const long = (kilobytes: number) => ({ ...everything, text: 'x'.repeat(kilobytes * 1_000) })
  const told = (lines: readonly string[]) =>
    lines
      .map((line) => JSON.parse(line) as { event: string; sink: string; count: number; lines: number[][] })
      .filter(({ event }) => event === 'audit.dropped')
  /** How many lines it was told of that never get there. */
  const countTold = (lines: readonly string[]): number =>
    told(lines).reduce((sum, { count }) => sum + count, 0)

  it('gets lines one by one where it takes no more at once, and all but those that are too large for it', async () => {
    for (const kind of ['http', 'otlp'] as const) {
      await using server = await LogServer.start()
      server.largest = 40_000
      if (kind === 'otlp') server.answerBody = '{}'
      const { spool: kept, ...over } = overHttp(server) as Extract<AuditTarget, { kind: 'http' }>
      const target: AuditTarget =
        kind === 'http' ? { ...over, spool: kept } : { kind, url: server.url, headers: {}, spool: kept }
      const here = await beside(target, async (audit) => {
        for (const kilobytes of [1, 60, 70, 20, 25, 80])
          audit.command(who, long(kilobytes), { text: 'full', onFailure: 'block' })
        await untilTrue(
          () =>
            countTold(besides()) === 3 && server.requests.some(({ body }) => body.includes('audit.dropped')),
          'nothing was said of what is missing',
        )
      })
      assert.equal(numbersOfCommands(here), 6)
      for (const { sink } of told(here)) assert.equal(sink, server.url)
      assert.equal(countTold(here), 3)
      // 1 is the first line of the run; what comes a moment later than the rest is told of in a line of its own
      assert.deepEqual(
        told(here).flatMap(({ lines }) => lines),
        [
          [3, 3],
          [4, 4],
          [7, 7],
        ],
      )
      if (kind === 'http') {
        const { problems, chains } = await verify(server.lines)
        assert.deepEqual(problems, [])
        assert.deepEqual([chains[0]?.dropped, chains[0]?.ended], [3, true])
      }
      rmSync(spool, { recursive: true })
      rmSync(join(directory, 'audit.jsonl'))
    }
  })

  it('that takes nothing at all is told so of each line, and not of the lines that say so', async () => {
    await using server = await LogServer.start()
    server.largest = 0
    /** How often it was asked to take a line of that kind, and nothing else. */
    const alone = (event: string): number =>
      server.requests.filter(
        ({ body }) => body.split('\n').length === 2 && body.includes(`"event":"${event}"`),
      ).length
    const here = await beside(overHttp(server), async (audit) => {
      for (let count = 0; count < 5; count++)
        audit.command(who, long(1), { text: 'full', onFailure: 'block' })
      await untilTrue(
        () => countTold(besides()) === 6 && alone('audit.dropped') === told(besides()).length,
        'nothing was said of what is missing',
      )
    })
    assert.deepEqual(server.lines, [])
    assert.ok(alone('audit.end') > 0, 'all of it was tried')
    assert.equal(countTold(here), 6)
    assert.deepEqual(failures, [`${server.url} never gets 1 lines`], 'nothing comes after the end')
  })

  it('never waits for room for a line that is longer than its spool', async () => {
    await using server = await LogServer.start()
    const here = await beside(overHttp(server, 50_000), async (audit) => {
      for (const kilobytes of [1, 60, 2])
        audit.command(who, long(kilobytes), { text: 'full', onFailure: 'block' })
      await untilTrue(() => told(server.lines).length > 0, 'nothing was said of what is missing')
      assert.equal(audit.blocks('block'), false)
    })
    assert.deepEqual(
      told(here).map(({ sink, count, lines }) => [sink, count, lines]),
      [[server.url, 1, [[3, 3]]]],
    )
    assert.deepEqual(failures, [])
    const { problems, chains } = await verify(server.lines)
    assert.deepEqual(problems, [])
    assert.equal(chains[0]?.dropped, 1)
  })

  describe('in PostgreSQL', () => {
    let postgres: Postgres
    let admin: pg.Client
    before(async () => {
      postgres = await startPostgres({ hba: ['host all all 127.0.0.1/32 scram-sha-256'] })
      const { host, port, user, password } = postgres
      admin = new pg.Client({ host, port, user, password, database: 'postgres' })
      await admin.connect()
    })
    after(async () => {
      await admin.end()
      await postgres[Symbol.asyncDispose]()
    })
    afterEach(() => admin.query('DROP TABLE IF EXISTS firebreak_audit'))

    const target = (user = 'postgres', password = postgres.password): AuditTarget => ({
      kind: 'postgresql',
      url: `postgresql://${user}@127.0.0.1:${postgres.port}/postgres`,
      password,
      spool: { directory: spool, limit: 2 ** 28 },
    })
    const lines = async (): Promise<string[]> =>
      (await admin.query('SELECT line FROM firebreak_audit ORDER BY source, seq')).rows.map(
        ({ line }) => line,
      )

    /** The first lines have come. */
    const there = async (): Promise<void> => {
      await untilTrue(async () => {
        const { rows } = await admin.query("SELECT to_regclass('firebreak_audit') AS table")
        return rows[0]?.table !== null && (await lines()).length > 0
      }, 'no line ever came')
    }

    it('stands in a table, each line once, through broken connections and SIGKILL', async () => {
      const first = write([target()])
      await first.until(({ made }) => made > 500)
      await there()
      await admin.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'firebreak audit'",
      )
      const terminated = first.made
      await first.until(({ made }) => made > terminated + 300)
      // no answer comes: whether the lines are there is not known
      await admin.query('BEGIN; LOCK TABLE firebreak_audit IN ACCESS EXCLUSIVE MODE')
      const under = first.made
      await first.until(({ made }) => made > under + 100)
      const before = await spooled(first)
      await first.kill()
      await admin.query('COMMIT')
      const second = write([target()], { first: 1_000_001 })
      await second.until(({ made }) => made > 1_000_300)
      await second.stop()
      assertAll(await lines(), before)
      const { problems, chains } = await verify(await lines())
      assert.deepEqual(problems, [])
      assert.deepEqual(
        chains.map(({ repeated }) => repeated),
        [0, 0],
      )
      const { rows } = await admin.query(
        "SELECT seq, event, identity, time IS NOT NULL AS timed FROM firebreak_audit WHERE event = 'audit.start' ORDER BY time",
      )
      assert.deepEqual(rows, Array(2).fill({ seq: '1', event: 'audit.start', identity: null, timed: true }))
    })

    it('needs a role that can do nothing but insert', async () => {
      await admin.query(tableDefinition)
      await admin.query("CREATE ROLE appender LOGIN PASSWORD 'appender-password'")
      await admin.query('GRANT INSERT ON firebreak_audit TO appender')
      const writing = write([target('appender', 'appender-password')])
      await writing.until(({ made }) => made > 100)
      const { made } = await writing.stop()
      assertAll(await lines(), made)
      await admin.query('DROP OWNED BY appender; DROP ROLE appender')
    })

    it('says nothing of the password when it is wrong', async () => {
      const writing = write([target('postgres', 'not-the-password')])
      await writing.says('undelivered password authentication failed')
      await writing.stop()
      assert.doesNotMatch(writing.messages, /not-the-password/)
      assert.ok(existsSync(spool))
    })
  })
})
