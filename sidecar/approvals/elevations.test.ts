/** Elevations on live sessions, between real clients and a real PostgreSQL. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ApprovalRequest } from '@firebreak/crds'
import type pg from 'pg'
import { until } from '../../test/eventually.ts'
import { manifests } from '../../test/policies.ts'
import { reconfigure } from '../../test/reconfigure.ts'
import { Guard, Shop } from '../../test/shop.ts'
import type { AccessRequest } from './access.ts'
import { decideRequest, listRequests } from './desk.ts'
import { SettableClock } from './testdata/station.ts'

const rules = `    - {name: read, match: {actions: ["sql:select"]}, effect: allow}
    - {name: update-carts, match: {actions: ["sql:update"], objects: [public.carts]}, effect: allow}
    - {name: ask, match: {actions: ["sql:update"], objects: [public.carts]}, effect: requireApproval}
    - {name: keep-customers, match: {actions: ["sql:delete"], objects: [public.customers]}, effect: deny}
`
const elevations = `  elevations:
    - {name: cleanup, actions: ["sql:delete"], objects: [public.carts, public.customers], maxDuration: 1h}
    - {name: owner, roles: [owner], actions: ["sql:insert"], maxDuration: 2h, approval: {groups: [nobody-has-it], quorum: 2}}
    - {name: writer, roles: [writer], maxDuration: 30m}
    - {name: emergency, actions: ["sql:*"], maxDuration: 10m, breakGlass: true}
`

describe('elevations', function () {
  this.timeout(180_000)
  let shop: Shop
  let guard: Guard
  let clock: SettableClock

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
  })
  after(() => shop[Symbol.asyncDispose]())

  const start = (directory?: string): Promise<Guard> =>
    Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `127.0.0.1:${shop.postgres.port}`,
          database: 'shop',
          rules,
          more: elevations,
        }).replace(/(roles: \[)(\{name: agent, )([^}]*\}\})\}?\]/, '$1$2$3}, {name: writer, $3}]'),
      },
      shop.postgres.password,
      { clock, ...(directory !== undefined && { stateDirectory: directory }) },
    )

  beforeEach(async () => {
    clock = new SettableClock()
    guard = await start()
  })
  afterEach(() => guard[Symbol.asyncDispose]())

  const directory = (): string => join(guard.directory, 'approvals')
  const connect = (user = 'agent'): Promise<pg.Client> => shop.connect(guard.address, 'shop', user)

  async function ask(request: Partial<AccessRequest>): Promise<ApprovalRequest> {
    const made = await guard.standalone.requestAccess('default/tester', {
      resource: 'shop',
      duration: '10m',
      justification: 'carts are stuck',
      ...request,
    })
    assert.ok(made.ok, made.ok ? '' : made.error)
    return made.value
  }

  async function refusal(request: Partial<AccessRequest>): Promise<string> {
    const made = await guard.standalone.requestAccess('default/tester', {
      resource: 'shop',
      duration: '10m',
      justification: 'carts are stuck',
      ...request,
    })
    assert.ok(!made.ok, JSON.stringify(made))
    return made.error
  }

  async function grant(request: Partial<AccessRequest>): Promise<ApprovalRequest> {
    const asked = await ask(request)
    const result = await decideRequest(directory(), asked.metadata.name, {
      decision: 'Approved',
      reason: 'CHG-2',
    })
    assert.equal(result.kind, 'decided', JSON.stringify(result))
    return asked
  }

  const textOf = ({ metadata }: ApprovalRequest, from = directory()): string =>
    readFileSync(join(from, `${metadata.name}.yaml`), 'utf8')

  const deleting = (agent: pg.Client): Promise<pg.QueryResult> =>
    agent.query('DELETE FROM carts WHERE id = 99')

  const noticesOf = (agent: pg.Client): string[] => {
    const notices: string[] = []
    agent.on('notice', ({ message }) => notices.push(message ?? ''))
    return notices
  }

  it('apply to live sessions at once, for what was granted and nothing else', async () => {
    const agent = await connect()
    const notices = noticesOf(agent)
    await assert.rejects(deleting(agent), /no rule allows/i)
    const request = await grant({ actions: ['sql:delete'] })
    assert.equal((await deleting(agent)).rowCount, 0)
    await until(() =>
      notices.some(
        (notice) =>
          notice ===
          `elevation ${request.metadata.name} is in force for 10m: sql:delete on public.carts, public.customers`,
      ),
    )
    await assert.rejects(agent.query('INSERT INTO carts (id) VALUES (5)'), { code: '42501' })
    await assert.rejects(agent.query('DELETE FROM orders'), { code: '42501' }, 'other tables')
    await assert.rejects(agent.query('DELETE FROM customers'), /rule keep-customers/, 'a deny stays a deny')
    const later = await connect()
    assert.equal((await deleting(later)).rowCount, 0)
    await Promise.all([agent.end(), later.end()])
  })

  it('end by themselves in the middle of a transaction, whichever clock says so', async () => {
    for (const jump of ['wallOffset', 'monotonicOffset'] as const) {
      const request = await grant({ actions: ['sql:delete'] })
      const agent = await connect()
      const notices = noticesOf(agent)
      await agent.query('BEGIN')
      await deleting(agent)
      // of the ten minutes, one is left for all that was done since it was granted
      clock[jump] += 540_000
      await deleting(agent)
      clock[jump] += 61_000
      await assert.rejects(deleting(agent), { code: '42501' })
      await agent.query('ROLLBACK')
      assert.deepEqual((await agent.query('SELECT 1 AS one')).rows, [{ one: 1 }])
      await until(() =>
        notices.some((notice) => notice.startsWith(`elevation ${request.metadata.name} has ended`)),
      )
      await until(() => textOf(request).includes('state: Expired'))
      await agent.end()
    }
    const ended = await guard.auditLines('elevation.ended', 2)
    assert.equal(ended.length, 2)
    assert.equal(ended[0]?.reason, 'the time it was granted for is over')
  })

  it('are not prolonged by a clock that is set back', async () => {
    await grant({ actions: ['sql:delete'] })
    const agent = await connect()
    clock.wallOffset = -3_600_000
    clock.monotonicOffset = 601_000
    await assert.rejects(deleting(agent), { code: '42501' })
    await agent.end()
  })

  it('outlive a restart, and end when they would have', async () => {
    const state = mkdtempSync(join(tmpdir(), 'firebreak-state-'))
    const restarted = async (): Promise<void> => {
      await guard[Symbol.asyncDispose]()
      guard = await start(state)
    }
    try {
      await restarted()
      const asked = await ask({ actions: ['sql:delete'] })
      await decideRequest(state, asked.metadata.name, { decision: 'Approved' })
      clock.wallOffset += 300_000
      await restarted()
      const agent = await connect()
      await deleting(agent)
      clock.wallOffset += 301_000
      await assert.rejects(deleting(agent), { code: '42501' })
      await agent.end()
      await until(() => textOf(asked, state).includes('state: Expired'))
    } finally {
      await restarted()
      rmSync(state, { recursive: true })
    }
  })

  it('are revoked by a denial', async () => {
    const request = await grant({ actions: ['sql:delete'] })
    const agent = await connect()
    await deleting(agent)
    const result = await decideRequest(directory(), request.metadata.name, {
      decision: 'Denied',
      reason: 'done',
    })
    assert.equal(result.kind, 'decided')
    await assert.rejects(deleting(agent), { code: '42501' })
    const [ended] = await guard.auditLines('elevation.ended')
    assert.equal(ended?.reason, 'done')
    assert.equal(ended.verdict, 'Denied')
    await agent.end()
  })

  it('end when the policy does not offer them any more', async () => {
    await grant({ actions: ['sql:delete'] })
    const agent = await connect()
    await deleting(agent)
    const text = readFileSync(join(guard.directory, 'firebreak.yaml'), 'utf8')
    await reconfigure(guard, text.replace(/.*name: cleanup.*\n/, ''))
    await assert.rejects(deleting(agent), { code: '42501' })
    await agent.end()
  })

  it('open a further role for a while, and end its sessions with it', async () => {
    const before = await connect('writer')
    await before.end()
    const request = await grant({ role: 'writer', duration: '5m' })
    const agent = await connect('writer')
    assert.deepEqual((await agent.query('SELECT 1 AS one')).rows, [{ one: 1 }])
    const starts = await guard.auditLines('session.start', 2)
    assert.deepEqual(
      starts.map(({ role }) => role),
      ['agent', 'writer'],
    )
    const ended = new Promise<Error>((resolve) => agent.on('error', resolve))
    clock.monotonicOffset += 301_000
    assert.match(
      (await ended).message,
      new RegExp(`^elevation ${request.metadata.name}, which gave role writer, has ended$`),
    )
  })

  it('need a policy that offers them; otherwise it is said what may be asked for', async () => {
    assert.match(
      await refusal({ actions: ['sql:drop'] }),
      /^no policy lets default\/tester ask for that on default\/shop\. It may ask for: cleanup: sql:delete on public\.carts, public\.customers, for up to 1h \(approvers: any approver\)\. owner: role owner; sql:insert on everything, for up to 2h \(approvers: 2 of nobody-has-it\)\. writer: role writer, for up to 30m \(approvers: any approver\)\. emergency: sql:\* on everything, for up to 10m \(break-glass\)$/,
    )
    assert.match(await refusal({ actions: ['sql:delete'], duration: '61m' }), /It may ask for/)
    assert.match(await refusal({ actions: ['sql:delete'], objects: ['private.*'] }), /It may ask for/)
    assert.match(await refusal({}), /a role or actions have to be asked for/)
    assert.match(await refusal({ actions: ['sql:delete'], justification: ' ' }), /a reason is needed/)
    assert.match(
      await refusal({ actions: ['sql:delete'], duration: 'long' }),
      /expected a duration such as 30m/,
    )
    assert.match(
      await refusal({ resource: 'other', actions: ['sql:delete'] }),
      /has no access to default\/other/,
    )
    const twice = [await ask({ actions: ['sql:delete'] }), await ask({ actions: ['sql:delete'] })]
    assert.equal(twice[0]?.metadata.name, twice[1]?.metadata.name)
  })

  it('are asked for from the command line, and shown with the time that is left', async () => {
    const main = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))
    const run = async (...words: string[]): Promise<{ readonly code: number; readonly out: string }> => {
      const child = spawn(process.execPath, [main, ...words, '--config', guard.directory])
      let out = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (out += text))
      const [code] = (await once(child, 'close')) as [number]
      return { code, out }
    }
    const asking = [
      'request-access',
      '--resource',
      'shop',
      '--actions',
      'sql:delete',
      '--for',
      '30m',
      '--reason',
      'stuck',
    ]
    const asked = await run(...asking)
    assert.match(
      asked.out,
      /^asked: sql:delete on public\.carts, public\.customers, as approvalrequest\/tester-\w{5} \(expires in 1[45]m\)\n$/,
    )
    const name = /approvalrequest\/(\S+)/.exec(asked.out)?.[1] ?? ''
    const approved = await run('approve', name, '--reason', 'CHG-3')
    assert.equal(approved.code, 0)
    // programs take their time on a busy machine
    const left = '(30|2[5-9])m'
    assert.match(approved.out, new RegExp(`^approved: ${name}, for ${left}\n$`))
    const agent = await connect()
    await deleting(agent)
    assert.match((await run('approvals')).out, new RegExp(`^${name} .* Approved +${left}$`, 'm'))
    const again = await run(...asking)
    assert.match(again.out, new RegExp(`^granted: .*, for ${left}, as approvalrequest`))
    const refused = await run(
      'request-access',
      '--resource',
      'shop',
      '--actions',
      'sql:drop',
      '--for',
      '1m',
      '--reason',
      'x',
    )
    assert.equal(refused.code, 1)
    assert.match(refused.out, /It may ask for: cleanup: sql:delete/)
    assert.deepEqual(await run('revoke', name, '--reason', 'done'), { code: 0, out: `denied: ${name}\n` })
    await assert.rejects(deleting(agent), { code: '42501' })
    await agent.end()
  })

  it('need all the people that the policy names', async () => {
    const { metadata } = await ask({ role: 'owner', actions: ['sql:insert'] })
    const result = await decideRequest(directory(), metadata.name, { decision: 'Approved' })
    assert.ok(
      result.kind === 'refused' &&
        /is in none of the groups that may decide: nobody-has-it/.test(result.reason),
    )
  })

  it('let go what is held for somebody to approve', async () => {
    const agent = await connect()
    const updating = agent.query("UPDATE carts SET note = 'x' WHERE id = 2")
    const [held] = await until(async () => {
      const requests = await listRequests(directory())
      return requests.length === 1 && requests
    })
    await ask({ actions: ['sql:*'], breakGlass: true })
    assert.equal((await updating).rowCount, 1)
    assert.ok(held)
    await until(() => textOf(held).includes('state: Withdrawn'))
    await agent.end()
  })

  it('break the glass at once, and loudly', async () => {
    const agent = await connect()
    const request = await ask({ actions: ['sql:*'], breakGlass: true, justification: 'site is down' })
    assert.equal(request.status?.state, 'Approved')
    await agent.query('INSERT INTO carts (id) VALUES (4711)')
    await assert.rejects(agent.query('DELETE FROM customers'), /rule keep-customers/)
    const [granted] = await guard.auditLines('elevation.granted')
    assert.equal(granted?.reason, 'site is down')
    const [signal] = await guard.auditLines(({ event, kind }) => event === 'signal' && kind === 'breakGlass')
    assert.equal(signal?.severity, 'critical')
    assert.equal(signal.explanation, 'default/tester broke the glass on default/shop: site is down')
    clock.monotonicOffset += 601_000
    await assert.rejects(agent.query('INSERT INTO carts (id) VALUES (4712)'), { code: '42501' })
    await agent.end()
  })
})
