import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'yaml'
import { Agents, agents, orchestratorToken } from '../../test/agents.ts'
import type { AuditLine } from '../../test/audit-trail.ts'
import { until } from '../../test/eventually.ts'
import { GatewayProcess } from '../../test/gateway-process.ts'
import { ManualClock } from '../../test/manual-clock.ts'
import { manifests } from '../../test/policies.ts'
import { Guard, Shop } from '../../test/shop.ts'
import { signature } from '../outbound/signature.ts'

const cli = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))

/** The gateway runs in this process, so nothing may block it. */
function firebreak(...words: string[]): Promise<{ readonly code: unknown; readonly text: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, ...words], (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, text: stdout + stderr })
    })
  })
}

/**
 * The signals in the trail, once all sessions have their end in it.
 * @param count how many there have to be.
 */
async function signalsOf(guard: Guard, count: number, sessions: number): Promise<readonly AuditLine[]> {
  await guard.auditLines('session.end', sessions)
  const found = await guard.auditLines('signal', count)
  assert.equal(found.length, count, JSON.stringify(found))
  return found
}

describe('signals that act', function () {
  this.timeout(300_000)
  let shop: Shop

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
  })
  after(() => shop[Symbol.asyncDispose]())

  const policy = (signals: string, more = ''): string =>
    manifests({
      address: `127.0.0.1:${shop.postgres.port}`,
      database: 'shop',
      rules: '    - {name: read, match: {actions: ["sql:select"], objects: ["public.*"]}, effect: allow}\n',
      more: `  signals: ${signals}\n${more}`,
    })
  const tamper = "COPY orders TO PROGRAM 'id'"

  describe('suspend', () => {
    const suspends = '[{kind: tampering, action: suspend}]'

    it('ends all sessions of the identity, and lets none begin until a person resumes it', async () => {
      await using guard = await Guard.start({ 'firebreak.yaml': policy(suspends) }, shop.postgres.password)
      const [one, other] = await Promise.all([
        shop.connect(guard.address, 'shop'),
        shop.connect(guard.address, 'shop'),
      ])
      const words = Promise.withResolvers<Error & { code?: string }>()
      other.on('error', words.resolve)
      await assert.rejects(one.query(tamper))
      const said = await words.promise
      assert.equal(said.code, '42501')
      assert.match(
        said.message,
        /^default\/tester is suspended by signal tampering, until a person resumes it \(approvalrequest\/tester-/,
      )
      await assert.rejects(shop.connect(guard.address, 'shop'), /is suspended by signal tampering/)
      const shown = await firebreak('suspended', '--config', guard.directory)
      assert.equal(shown.code, 1)
      assert.match(
        shown.text,
        /default\/tester: suspended since .* by signal tampering\n.*runs a program on the server/,
      )
      assert.match(
        (await firebreak('approvals', '--config', guard.directory)).text,
        /resume it: suspended by signal tampering/,
      )
      const resumed = await firebreak(
        'resume',
        'tester',
        '--config',
        guard.directory,
        '--reason',
        'it was me',
      )
      assert.equal(resumed.code, 0, resumed.text)
      const again = await shop.connect(guard.address, 'shop')
      assert.equal((await again.query('SELECT id FROM orders')).rowCount, 3)
      await again.end()
      assert.equal((await firebreak('suspended', '--config', guard.directory)).code, 0)
      assert.equal((await firebreak('resume', 'tester', '--config', guard.directory)).code, 1)
      const [signal] = await guard.auditLines('signal')
      assert.equal(signal?.severity, 'critical')
      assert.equal(signal?.action, 'suspend')
      const events = await guard.auditLines(({ event }) => String(event).startsWith('approval.'), 3)
      assert.deepEqual(
        events.map(({ event, reason }) => [event, reason]),
        [
          ['approval.requested', undefined],
          ['approval.decided', 'it was me'],
          ['approval.used', undefined],
        ],
      )
    })

    it('tells again of what happens after a person has looked at it', async () => {
      await using guard = await Guard.start({ 'firebreak.yaml': policy(suspends) }, shop.postgres.password)
      for (let turn = 0; turn < 2; turn++) {
        const client = await shop.connect(guard.address, 'shop')
        await assert.rejects(client.query(tamper))
        await until(async () => (await firebreak('suspended', '--config', guard.directory)).code === 1)
        assert.equal((await firebreak('resume', 'default/tester', '--config', guard.directory)).code, 0)
      }
      await signalsOf(guard, 2, 2)
    })

    it('holds over SIGKILL, over another policy, and against files that somebody forges', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'firebreak-signals-'))
      process.env.SHOP_PASSWORD = shop.postgres.password
      const audit = join(directory, 'audit.jsonl')
      const more = ['--audit', audit]
      try {
        writeFileSync(join(directory, 'firebreak.yaml'), policy(suspends))
        const first = await GatewayProcess.start(directory, more)
        const client = await shop.connect(first.address, 'shop')
        const gone = Promise.withResolvers<void>()
        client.on('error', () => gone.resolve())
        await assert.rejects(client.query(tamper))
        await gone.promise
        await first.end('SIGKILL')
        // the policy says nothing of signals any more
        writeFileSync(join(directory, 'firebreak.yaml'), policy('[]'))
        await using second = await GatewayProcess.start(directory, more)
        await assert.rejects(shop.connect(second.address, 'shop'), /is suspended by signal tampering/)
        const state = join(directory, 'approvals')
        const [name = ''] = readdirSync(state).filter((file) => file.startsWith('tester-'))
        const request = parse(readFileSync(join(state, name), 'utf8')) as { status: { state: string } }
        request.status.state = 'Used'
        writeFileSync(join(state, name), stringify(request))
        // what was forged is put back, and so is what was removed
        const isBack = (): boolean =>
          existsSync(join(state, name)) && readFileSync(join(state, name), 'utf8').includes('state: Pending')
        await until(isBack)
        rmSync(join(state, name))
        await until(isBack)
        await assert.rejects(shop.connect(second.address, 'shop'), /is suspended by signal tampering/)
        assert.match(
          (await firebreak('deny', name.replace('.yaml', ''), '--reason', 'no', '--state', state)).text,
          /nothing to deny/,
        )
        assert.equal((await firebreak('resume', 'tester', '--state', state)).code, 0)
        const again = await shop.connect(second.address, 'shop')
        await again.end()
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    })

    it('refuses everybody it could be about while it is not known who is suspended', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'firebreak-signals-'))
      try {
        // a file, not a directory
        writeFileSync(join(directory, 'state'), '')
        const files = { 'firebreak.yaml': policy(suspends) }
        await using guard = await Guard.start(files, shop.postgres.password, {
          stateDirectory: join(directory, 'state'),
        })
        await assert.rejects(
          shop.connect(guard.address, 'shop'),
          /it can't be told whether default\/tester is suspended/,
        )
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    })

    it('needs one of the groups that the policy names', async () => {
      const signals = '[{kind: tampering, action: suspend, groups: [no-such-group]}]'
      await using guard = await Guard.start({ 'firebreak.yaml': policy(signals) }, shop.postgres.password)
      const client = await shop.connect(guard.address, 'shop')
      await assert.rejects(client.query(tamper))
      await until(async () => (await firebreak('suspended', '--config', guard.directory)).code === 1)
      const refused = await firebreak('resume', 'tester', '--config', guard.directory)
      assert.equal(refused.code, 1)
      assert.match(refused.text, /in none of the groups that may decide: no-such-group/)
    })
  })

  it('requireApproval holds every command of the identity until a person resumes it', async () => {
    const signals = '[{kind: tampering, action: requireApproval}]'
    await using guard = await Guard.start({ 'firebreak.yaml': policy(signals) }, shop.postgres.password)
    const client = await shop.connect(guard.address, 'shop')
    await client.query('SELECT id FROM orders')
    await assert.rejects(client.query(tamper))
    const state = join(guard.directory, 'approvals')
    await until(async () => (await firebreak('suspended', '--config', guard.directory)).code === 1)
    // what comes with having a session is not held
    await client.query('SHOW server_version')
    const held = client.query('SELECT id FROM orders')
    const [name = ''] = await until(() => {
      const names = readdirSync(state).filter(
        (file) =>
          file.startsWith('tester-') && readFileSync(join(state, file), 'utf8').includes('kind: command'),
      )
      return names.length > 0 && names
    })
    assert.equal((await firebreak('approve', name.replace('.yaml', ''), '--state', state)).code, 0)
    assert.equal((await held).rowCount, 3)
    const waits = client.query('SELECT id FROM carts')
    await delay(300)
    assert.equal((await firebreak('resume', 'tester', '--state', state)).code, 0)
    // nobody has to be asked about it any more
    assert.equal((await waits).rowCount, 3)
    assert.equal((await client.query('SELECT id FROM carts')).rowCount, 3)
    await client.end()
  })

  it('alert tells a webhook, signed, and rules with effect alert do as well', async () => {
    const secret = 'a secret of a webhook'
    const got: { event: string; signal: Record<string, unknown> }[] = []
    const server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => {
        body += String(chunk)
      })
      request.on('end', () => {
        const timestamp = Number(request.headers['firebreak-timestamp'])
        assert.equal(request.headers['firebreak-signature'], `sha256=${signature(secret, timestamp, body)}`)
        got.push(JSON.parse(body))
        response.end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    try {
      const watch =
        '---\napiVersion: firebreak.dev/v1alpha1\nkind: GuardrailPolicy\nmetadata: {name: watch}\nspec:\n  rules: [{name: payroll, match: {objects: ["public.carts"]}, effect: alert, alert: {severity: critical}, message: Look at it.}]\n'
      await using guard = await Guard.start(
        { 'firebreak.yaml': policy('[{kind: tampering}]', watch) },
        shop.postgres.password,
        { notify: { url, secret } },
      )
      const client = await shop.connect(guard.address, 'shop')
      for (let turn = 0; turn < 5; turn++) await client.query('SELECT id FROM carts')
      for (let turn = 0; turn < 5; turn++) await assert.rejects(client.query(tamper))
      await client.end()
      await until(() => got.length >= 2)
      assert.deepEqual(
        got.map(({ event, signal }) => [event, signal.kind, signal.severity, signal.rule]),
        [
          ['signal', 'rule', 'critical', 'payroll'],
          ['signal', 'tampering', 'high', undefined],
        ],
      )
      await signalsOf(guard, 2, 1)
      const lines = await guard.auditLines(({ alerts }) => alerts !== undefined, 5)
      // each command has it in its own line; people are told once
      assert.equal(lines.length, 5)
    } finally {
      server.close()
    }
  })

  it('says how often the same was seen while it was quiet', async () => {
    const clock = new ManualClock()
    const files = { 'firebreak.yaml': policy('[{kind: tampering}]') }
    await using guard = await Guard.start(files, shop.postgres.password, { clock })
    for (const pass of [0, 61 * 60_000]) {
      clock.pass(pass)
      const client = await shop.connect(guard.address, 'shop')
      for (let turn = 0; turn < 4; turn++) await assert.rejects(client.query(tamper))
      await client.end()
    }
    const told = await signalsOf(guard, 2, 2)
    assert.match(String(told[1]?.explanation), /The same was seen 3 times more since it was told last\.$/)
  })

  it('keeps what was learned over a restart', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-signals-'))
    const clock = new ManualClock()
    const files = { 'firebreak.yaml': policy('[{kind: firstSeen, learnFor: 1d}]') }
    const options = { clock, stateDirectory: join(directory, 'state') }
    try {
      for (const statements of [
        ['SELECT id FROM orders'],
        ['SELECT id FROM orders', 'SELECT id FROM carts'],
      ]) {
        await using guard = await Guard.start(files, shop.postgres.password, options)
        const client = await shop.connect(guard.address, 'shop')
        for (const statement of statements) await client.query(statement)
        await client.end()
        const found = await signalsOf(guard, statements.length - 1, 1)
        assert.deepEqual(
          found.map(({ explanation }) => explanation),
          statements.length === 1 ? [] : ['default/tester used for the first time: table public.carts.'],
        )
        clock.pass(2 * 86_400_000)
      }
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  describe('misuse', () => {
    const signals =
      'signals: [{kind: tokenMisuse, action: suspend}, {kind: childActsAsParent, action: suspend}]'
    const start = async (): Promise<Agents> => {
      const text = Agents.manifests(shop).replace(
        /(metadata: \{name: everybody\}\nspec:\n)/,
        `$1  ${signals}\n`,
      )
      assert.ok(text.includes(signals) && agents.length === 1)
      const running = await Agents.start(shop)
      writeFileSync(join(running.guard.directory, 'firebreak.yaml'), text)
      await running.guard.auditLines('configuration.applied', 2)
      return running
    }
    /** @param least how many there have to be. */
    const found = async ({ guard }: Agents, least = 1): Promise<unknown[]> => {
      const all = await guard.auditLines(
        ({ event, action }) => event === 'signal' && action !== undefined,
        least,
      )
      return all.map(({ kind, identity, action }) => [kind, identity, action])
    }

    it('of a token that proves nobody takes nothing from anybody', async () => {
      await using running = await start()
      for (let turn = 0; turn < 20; turn++)
        await assert.rejects(running.connect('agent@orchestrator', 'a guess'))
      assert.deepEqual(await found(running), [['tokenMisuse', undefined, 'alert']])
      const client = await running.connect('agent@orchestrator', orchestratorToken)
      await client.end()
    })

    it("of a parent's token by its child suspends whose token it is, with all below", async () => {
      await using running = await start()
      const { planner, worker } = await running.chain()
      const below = await running.connect('agent@sql-worker', worker.token)
      const ended = Promise.withResolvers<Error>()
      below.on('error', ended.resolve)
      await assert.rejects(running.connect('agent@sql-worker', planner.token))
      assert.deepEqual(await found(running), [['childActsAsParent', 'default/planner', 'suspend']])
      assert.match((await ended.promise).message, /default\/planner is suspended/)
      await assert.rejects(running.connect('agent@planner', planner.token), /default\/planner is suspended/)
      const asked = await running.ask('POST', '/v1/delegations', planner.token, { to: 'sql-worker' })
      assert.equal(asked.status, 403)
      const client = await running.connect('agent@orchestrator', orchestratorToken)
      await client.end()
    })

    it('of a delegation that has ended is told, and takes nothing from anybody', async () => {
      await using running = await start()
      const { id, token } = await running.delegate(orchestratorToken, 'planner')
      await running.ask('DELETE', `/v1/delegations/${id}`, orchestratorToken)
      for (let turn = 0; turn < 6; turn++) await assert.rejects(running.connect('agent@planner', token))
      assert.deepEqual(await found(running), [['tokenMisuse', undefined, 'alert']])
      const again = await running.delegate(orchestratorToken, 'planner')
      const client = await running.connect('agent@planner', again.token)
      await client.end()
    })

    it('is nothing in an ordinary chain', async () => {
      await using running = await start()
      const { planner, worker } = await running.chain({ roles: ['agent'] }, { actions: ['sql:select'] })
      for (const [user, token] of [
        ['agent@planner', planner.token],
        ['agent@sql-worker', worker.token],
      ] as const) {
        const client = await running.connect(user, token)
        await client.query('SELECT id FROM orders')
        await client.end()
      }
      await running.guard.auditLines('session.end', 2)
      assert.deepEqual(await found(running, 0), [])
    })
  })
})
