import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { until } from '../../test/eventually.ts'
import type { HeldParameter } from '../session.ts'
import { decideRequest } from './desk.ts'
import { formatRequest } from './request-file.ts'
import { Agent, Ask, Desk, drop, holding, Memory } from './testdata/station.ts'

const me = userInfo().username

function parameter(text: string): HeldParameter {
  return { encoding: '25 text', value: Buffer.from(text), shown: `'${text}'` }
}

describe('held commands', function () {
  this.timeout(60_000)
  let desk: Desk

  beforeEach(async () => {
    desk = new Desk()
    await desk.open()
  })
  afterEach(() => desk[Symbol.asyncDispose]())

  it('wait until somebody approves, and then run once', async () => {
    const ask = new Ask(desk.station, new Agent('S1'), 'DROP TABLE carts')
    const name = await ask.name()
    assert.match(
      ask.told[0] ?? '',
      /^held for approval as approvalrequest\/worker-\w{5} \(approvers: any approver, expires in 10m\)$/,
    )
    const { spec, status } = desk.read(name)
    assert.equal(status?.state, 'Pending')
    assert.deepEqual(spec.command?.actions, ['sql:drop'])
    assert.deepEqual(spec.command?.objects, ['table public.carts'])
    assert.deepEqual(spec.command?.context, ['database orders'])
    desk.decide(name, 'Approved', 'CHG-1')
    const outcome = await ask.outcome
    assert.ok(outcome.kind === 'approved')
    assert.equal(outcome.request, name)
    assert.ok(outcome.permits([drop]))
    const used = desk.read(name)
    assert.equal(used.status?.state, 'Used')
    assert.ok(used.status.usedAt)
    assert.deepEqual(
      used.status.approvals?.map(({ user, reason }) => [user, reason]),
      [[me, 'CHG-1']],
    )
    assert.deepEqual(desk.events(), ['approval.requested', 'approval.decided', 'approval.used'])
    const again = new Ask(desk.station, new Agent('S1'), 'DROP TABLE carts')
    assert.notEqual(await again.name(), name)
  })

  it('are refused with the reason of who denies', async () => {
    const ask = new Ask(desk.station, new Agent('S1'), 'DROP TABLE carts')
    const name = await ask.name()
    assert.equal(
      (await decideRequest(desk.directory, name, { decision: 'Denied', reason: 'not today' })).kind,
      'decided',
    )
    const outcome = await ask.outcome
    assert.ok(outcome.kind === 'refused')
    assert.equal(outcome.message, `approvalrequest/${name} was denied by ${me}: not today`)
  })

  it('expire by whichever clock is further, and nobody can approve them then', async () => {
    for (const clock of ['wallOffset', 'monotonicOffset'] as const) {
      const ask = new Ask(desk.station, new Agent('S1'), `DROP TABLE ${clock}`)
      const name = await ask.name()
      desk.clock[clock] += 601_000
      const outcome = await ask.outcome
      assert.ok(outcome.kind === 'refused')
      assert.equal(outcome.message, `approvalrequest/${name} expired before it was decided`)
      const late = await decideRequest(desk.directory, name, { decision: 'Approved' })
      assert.deepEqual(late, { kind: 'refused', reason: 'it is expired already' })
      assert.equal(desk.read(name).status?.state, 'Expired')
    }
  })

  it('are not prolonged by a clock that is set back', async () => {
    const ask = new Ask(desk.station, new Agent('S1'), 'DROP TABLE carts')
    await ask.name()
    desk.clock.wallOffset = -86_400_000
    desk.clock.monotonicOffset = 601_000
    assert.equal((await ask.outcome).kind, 'refused')
  })

  it('are withdrawn when the client gives up or its session ends', async () => {
    const ask = new Ask(desk.station, new Agent('S1'), 'DROP TABLE carts')
    const name = await ask.name()
    ask.gone.abort()
    assert.equal((await ask.outcome).kind, 'refused')
    await until(() => desk.read(name).status?.state === 'Withdrawn')
    const agent = new Agent('S2')
    const other = new Ask(desk.station, agent, 'DROP TABLE orders')
    await other.name()
    agent.ended.abort()
    await other.outcome
    assert.deepEqual(
      desk.lines.filter(({ event }) => event === 'approval.withdrawn').map(({ reason }) => reason),
      ['the client gave up', 'its session ended'],
    )
  })

  it('of two sessions wait for the same request, and exactly one of them runs', async () => {
    const asks = [
      new Ask(desk.station, new Agent('S1'), 'DROP TABLE carts'),
      new Ask(desk.station, new Agent('S2'), 'DROP TABLE carts'),
    ]
    const names = await Promise.all(asks.map((ask) => ask.name()))
    assert.equal(names[0], names[1])
    desk.decide(names[0] ?? '', 'Approved')
    const first = await Promise.race(asks.map(({ outcome }) => outcome))
    assert.equal(first.kind, 'approved')
    const loser = await until(() => asks.find(({ told }) => told.length === 2))
    assert.notEqual(await loser.name(1), names[0])
    loser.gone.abort()
    assert.equal((await loser.outcome).kind, 'refused')
  })

  it('stay with the other session when one of two gives up', async () => {
    const asks = [new Ask(desk.station, new Agent('S1'), 'X'), new Ask(desk.station, new Agent('S2'), 'X')]
    const [name = ''] = await Promise.all(asks.map((ask) => ask.name()))
    asks[0]?.gone.abort()
    await asks[0]?.outcome
    assert.equal(desk.read(name).status?.state, 'Pending')
    desk.decide(name, 'Approved')
    assert.equal((await asks[1]?.outcome)?.kind, 'approved')
  })

  it('are approved for exactly these bytes, in this place, by this chain', async () => {
    const agent = new Agent('S1')
    const base = { parameters: [parameter('1')] }
    const names = new Set<string>()
    const others = [
      new Ask(desk.station, agent, 'DELETE $1', base),
      new Ask(desk.station, agent, 'DELETE $1 ', base),
      new Ask(desk.station, agent, 'DELETE $1', { parameters: [parameter('2')] }),
      new Ask(desk.station, agent, 'DELETE $1', {
        parameters: [{ ...parameter('1'), encoding: '25 binary' }],
      }),
      new Ask(desk.station, agent, 'DELETE $1', { ...base, context: ['database other'] }),
      new Ask(desk.station, agent, 'DELETE $1', { ...base, commands: [{ ...drop, opaque: ['odd'] }] }),
      new Ask(desk.station, new Agent('S1', { ...agent.subject, role: 'writer' }), 'DELETE $1', base),
      new Ask(
        desk.station,
        new Agent('S1', { ...agent.subject, resource: 'agents/other' }),
        'DELETE $1',
        base,
      ),
      new Ask(
        desk.station,
        new Agent('S1', {
          ...agent.subject,
          chain: [{ identity: 'agents/boss', groups: [] }, ...agent.subject.chain],
        }),
        'DELETE $1',
        base,
      ),
    ]
    for (const ask of others) names.add(await ask.name())
    assert.equal(names.size, others.length)
    const same = new Ask(desk.station, new Agent('S9'), 'DELETE $1', base)
    assert.ok(names.has(await same.name()))
    for (const ask of [...others, same]) ask.gone.abort()
  })

  it('are bound to their session where the policy says so', async () => {
    const agents = [new Agent('S1'), new Agent('S2')]
    for (const agent of agents) agent.decision = holding({ boundTo: 'session' })
    const asks = agents.map((agent) => new Ask(desk.station, agent, 'X'))
    const names = await Promise.all(asks.map((ask) => ask.name()))
    assert.notEqual(names[0], names[1])
    assert.deepEqual(
      names.map((name) => desk.read(name).spec.session),
      ['S1', 'S2'],
    )
    for (const ask of asks) ask.gone.abort()
  })

  it('that may not wait are told so, and run when they come again', async () => {
    const agent = new Agent('S1')
    agent.decision = holding({ whileWaiting: 'fail' })
    const ask = (): Ask => new Ask(desk.station, agent, 'X')
    const first = await ask().outcome
    assert.ok(first.kind === 'refused')
    const name = first.request ?? ''
    assert.equal(first.message, `pending approval as approvalrequest/${name}`)
    assert.match(first.hint ?? '', /Run the same command again once it is approved/)
    const second = await ask().outcome
    assert.equal(second.request, name)
    desk.decide(name, 'Approved')
    await until(() => desk.events().includes('approval.decided'))
    assert.equal((await ask().outcome).kind, 'approved')
    const next = await ask().outcome
    assert.ok(next.request !== name && next.request !== undefined)
    desk.decide(next.request, 'Denied', 'enough')
    await until(() => desk.events().filter((event) => event === 'approval.decided').length === 2)
    const told = await ask().outcome
    assert.ok(told.kind === 'refused' && told.message.endsWith(`was denied by ${me}: enough`))
    const later = await ask().outcome
    assert.ok(later.kind === 'refused' && later.message.startsWith('pending approval'))
  })

  it('are decided again when they are approved: a policy that denies now denies', async () => {
    const agent = new Agent('S1')
    const ask = new Ask(desk.station, agent, 'X')
    const name = await ask.name()
    const { approval: _, ...rest } = holding() as Extract<ReturnType<typeof holding>, { effect: 'hold' }>
    agent.decision = { ...rest, effect: 'deny' }
    desk.decide(name, 'Approved')
    const outcome = await ask.outcome
    assert.ok(outcome.kind === 'refused')
    await until(() => desk.read(name).status?.state === 'Withdrawn')
  })

  it('ask anew when the policy wants other people than those who have approved', async () => {
    const agent = new Agent('S1')
    const ask = new Ask(desk.station, agent, 'X')
    const name = await ask.name()
    const requirement = {
      rule: { policy: 'agents/guard', rule: 'stricter' },
      groups: ['security'],
      quorum: 1,
    } as const
    agent.decision = holding({ requirements: [requirement] })
    desk.decide(name, 'Approved')
    const second = await ask.name(1)
    assert.notEqual(second, name)
    assert.deepEqual(desk.read(second).spec.requirements[0]?.groups, ['security'])
    await until(() => desk.read(name).status?.state === 'Withdrawn')
    ask.gone.abort()
  })

  it('do not run when what they do is not what was approved any more', async () => {
    const agent = new Agent('S1')
    const ask = new Ask(desk.station, agent, 'X')
    desk.decide(await ask.name(), 'Approved')
    const outcome = await ask.outcome
    assert.ok(outcome.kind === 'approved')
    const [touch] = drop.touches
    assert.ok(touch)
    assert.ok(
      !outcome.permits([
        { ...drop, touches: [{ ...touch, object: { kind: 'table', path: ['other', 'carts'] } }] },
      ]),
    )
    assert.ok(!outcome.permits([{ ...drop, opaque: ['it runs text'] }]))
    assert.ok(!outcome.permits([drop, drop, { ...drop, touches: [{ ...touch, action: 'sql:truncate' }] }]))
    agent.decision = holding({
      requirements: [{ rule: { policy: 'agents/guard', rule: 'x' }, groups: ['dba'], quorum: 1 }],
    })
    assert.ok(!outcome.permits([drop]))
  })

  it('are never lost by a restart, nor run twice by it', async () => {
    const first = new Ask(desk.station, new Agent('S1'), 'X')
    const second = new Ask(desk.station, new Agent('S1'), 'Y')
    const [x, y] = [await first.name(), await second.name()]
    desk.decide(y, 'Approved')
    assert.equal((await second.outcome).kind, 'approved')
    const approvedCopy = formatRequest({ ...desk.read(y), status: { state: 'Approved' } })
    desk.station.stop()
    first.gone.abort()
    await first.outcome
    await desk.close()
    // somebody decides while nothing runs, and somebody else puts an old approval back
    desk.decide(x, 'Approved', 'meanwhile')
    writeFileSync(desk.path(y), approvedCopy)
    await desk.open()
    const again = new Ask(desk.station, new Agent('S5'), 'X')
    const outcome = await again.outcome
    assert.ok(outcome.kind === 'approved')
    assert.equal(outcome.request, x)
    await until(() => desk.lines.some(({ kind }) => kind === 'tampering'))
    const replayed = new Ask(desk.station, new Agent('S5'), 'Y')
    assert.notEqual(await replayed.name(), y)
    replayed.gone.abort()
  })

  it('keep the longest time they had when the clock is set back while nothing runs', async () => {
    const ask = new Ask(desk.station, new Agent('S1'), 'X')
    await ask.name()
    desk.station.stop()
    ask.gone.abort()
    await ask.outcome
    await desk.close()
    desk.clock.wallOffset = -86_400_000
    await desk.open()
    const again = new Ask(desk.station, new Agent('S1'), 'X')
    await again.name()
    desk.clock.monotonicOffset = 601_000
    assert.equal((await again.outcome).kind, 'refused')
  })

  it('let only one runner have a directory', async () => {
    await assert.rejects(desk.open(), /is in use by process/)
  })

  it('are bounded: how many are open, how many are made, and how long they are', async () => {
    await desk.close()
    const station = await desk.open({ limits: { open: 3, perMinute: 4 } })
    const agent = new Agent('S1')
    const asks = ['1', '2', '3'].map((text) => new Ask(station, agent, text))
    for (const ask of asks) await ask.name()
    const fourth = await new Ask(station, agent, '4').outcome
    assert.ok(fourth.kind === 'refused')
    assert.equal(
      fourth.message,
      'agents/worker has 3 open approval requests, and that is the most it may have',
    )
    const other = new Ask(
      station,
      new Agent('S2', { ...agent.subject, chain: [{ identity: 'agents/other', groups: [] }] }),
      '5',
    )
    await other.name()
    for (const ask of [...asks, other]) ask.gone.abort()
    await Promise.all(asks.map(({ outcome }) => outcome))
    const last = new Ask(station, agent, '6')
    await last.name()
    const tooOften = await new Ask(station, agent, '7').outcome
    assert.ok(tooOften.kind === 'refused' && /within a minute/.test(tooOften.message))
    for (const held of [
      new Ask(station, new Agent('S3'), 'x'.repeat(65_537)),
      new Ask(station, new Agent('S3'), 'x', {
        parameters: [{ ...parameter('1'), shown: 'y'.repeat(4_097) }],
      }),
    ]) {
      const outcome = await held.outcome
      assert.ok(outcome.kind === 'refused' && /nobody could see the command whole/.test(outcome.message))
    }
    last.gone.abort()
  })

  it('are shown with an estimate where there is one, and without where it fails', async () => {
    const ask = new Ask(desk.station, new Agent('S1'), 'X', { estimate: async () => '~1204 rows' })
    assert.equal(desk.read(await ask.name()).spec.command?.estimatedEffect, '~1204 rows')
    const other = new Ask(desk.station, new Agent('S1'), 'Y', {
      estimate: () => Promise.reject(new Error('no')),
    })
    assert.equal(desk.read(await other.name()).spec.command?.estimatedEffect, undefined)
    for (const each of [ask, other]) each.gone.abort()
  })

  it('take the first of two approvers who race, and tell the other', async () => {
    const ask = new Ask(desk.station, new Agent('S1'), 'X')
    const name = await ask.name()
    const results = await Promise.all([
      decideRequest(desk.directory, name, { decision: 'Approved', reason: 'one' }),
      decideRequest(desk.directory, name, { decision: 'Denied', reason: 'two' }),
    ])
    const outcome = await ask.outcome
    const [approved, deniedResult] = results
    assert.equal(outcome.kind === 'approved', approved.kind === 'decided')
    assert.notEqual(approved.kind === 'decided', deniedResult.kind === 'decided')
  })
})

describe('people', function () {
  this.timeout(60_000)
  it('of every rule have to agree, so many different ones, and never the one who asks', async () => {
    await using desk = new Desk()
    const store = new Memory()
    const station = await desk.open({ store })
    const agent = new Agent('S1')
    agent.decision = holding({
      requirements: [
        { rule: { policy: 'agents/guard', rule: 'ask' }, groups: ['dba'], quorum: 2 },
        { rule: { policy: 'agents/guard', rule: 'ask-too' }, groups: ['security'], quorum: 1 },
      ],
    })
    const ask = new Ask(station, agent, 'X')
    const name = await ask.name()
    assert.match(ask.told[0] ?? '', /approvers: 2 of dba; security/)
    const stateAfter = (user: string, groups: readonly string[]): readonly [unknown, unknown] => {
      store.decide(name, user, groups, 'Approved')
      const { spec, status } = store.requests.get(name) ?? assert.fail()
      return [status?.approvals?.map((vote) => vote.user), spec.decision]
    }
    assert.deepEqual(stateAfter('worker', ['dba']), [undefined, undefined])
    assert.deepEqual(stateAfter('alice', ['dba']), [['alice'], undefined])
    assert.deepEqual(stateAfter('alice', ['dba', 'security']), [['alice'], undefined])
    assert.deepEqual(stateAfter('mallory', ['staff']), [['alice'], undefined])
    assert.deepEqual(stateAfter('bob', ['dba']), [['alice', 'bob'], undefined])
    assert.deepEqual(stateAfter('carol', ['security']), [['alice', 'bob', 'carol'], 'Approved'])
    assert.equal((await ask.outcome).kind, 'approved')
    const refusals = desk.lines.filter(({ event }) => event === 'approval.refused').map(({ by }) => by)
    assert.deepEqual(refusals, ['worker', 'alice', 'mallory'])
  })

  it('are others than the user that the agent runs as, also while it is away', async () => {
    await using desk = new Desk()
    const store = new Memory()
    const station = await desk.open({ store })
    const agent = new Agent('S1')
    agent.agentUser = 'bot'
    agent.decision = holding({ whileWaiting: 'fail' })
    const asked = await new Ask(station, agent, 'X').outcome
    const first = asked.request ?? ''
    store.decide(first, 'bot', [], 'Approved')
    assert.equal(store.requests.get(first)?.status?.state, 'Pending')
    // another one has asked, so that nothing is known of this one when it decides
    const other = new Agent('S2')
    other.decision = agent.decision
    const second = (await new Ask(station, other, 'Y').outcome).request ?? ''
    store.decide(second, 'bot', [], 'Approved')
    assert.equal(store.requests.get(second)?.status?.state, 'Approved')
    const own = await new Ask(station, agent, 'Y').outcome
    assert.ok(own.kind === 'refused' && own.request !== second)
    assert.equal(store.requests.get(second)?.status?.state, 'Withdrawn')
  })

  it('end it with one denial, whoever has agreed', async () => {
    await using desk = new Desk()
    const store = new Memory()
    const station = await desk.open({ store })
    const agent = new Agent('S1')
    agent.decision = holding({
      requirements: [{ rule: { policy: 'agents/guard', rule: 'ask' }, groups: [], quorum: 3 }],
    })
    const ask = new Ask(station, agent, 'X')
    const name = await ask.name()
    for (const user of ['alice', 'bob']) store.decide(name, user, [], 'Approved')
    store.decide(name, 'carol', [], 'Denied')
    store.decide(name, 'dana', [], 'Approved')
    const outcome = await ask.outcome
    assert.ok(outcome.kind === 'refused' && outcome.message === `approvalrequest/${name} was denied by carol`)
  })

  it('that race are taken in turn: the first one counts', async () => {
    await using desk = new Desk()
    const store = new Memory()
    const station = await desk.open({ store })
    const ask = new Ask(station, new Agent('S1'), 'X')
    const name = await ask.name()
    store.decide(name, 'alice', [], 'Approved')
    store.decide(name, 'bob', [], 'Approved')
    assert.equal((await ask.outcome).kind, 'approved')
    assert.deepEqual(
      store.requests.get(name)?.status?.approvals?.map(({ user }) => user),
      ['alice'],
    )
  })
})
