/** What people see and do, with kubectl, when agents' commands wait for them. */
import assert from 'node:assert/strict'
import type pg from 'pg'
import { ApprovalCluster, firebreak, namespace, policy } from '../../test/approval-cluster.ts'
import { NotificationHook } from '../../test/notification-hook.ts'
import type { SidecarProcess } from '../../test/sidecar-process.ts'
import type { KubernetesObject } from '../kubernetes/objects.ts'

describe('approvals in a cluster', function () {
  this.timeout('5m')
  let hook: NotificationHook
  let cluster: ApprovalCluster
  let sidecar: SidecarProcess
  let client: pg.Client

  /** What comes of a command: how many rows, or the error. */
  const run = (sql: string, by = client): Promise<string> =>
    by.query(sql).then(
      ({ rowCount }) => `${rowCount} rows`,
      (error: Error) => error.message,
    )
  const state = async (name: string): Promise<string> => (await cluster.request(name)).status?.state ?? ''
  const askFor = async (...words: string[]): Promise<{ name: string; state: string }> =>
    JSON.parse(await firebreak(sidecar, 'request-access', '--resource=shop', '--json', ...words)) as {
      name: string
      state: string
    }
  const cart = async (id: number): Promise<string> => {
    await cluster.shop.admin('shop', `INSERT INTO carts VALUES (${id}, 1, '[]', 'x')`)
    return `DELETE FROM carts WHERE id = ${id}`
  }
  const withPolicy = (approval: string): Promise<void> => cluster.putInForce(policy(approval), sidecar)

  before(async function () {
    this.timeout('45m')
    hook = await NotificationHook.start()
    cluster = await ApprovalCluster.start(2, { notify: { url: hook.url, secret: hook.secret } })
    sidecar = await cluster.startPod('bot-1')
    client = await cluster.connect(sidecar)
  })
  after(async () => {
    await client?.end().catch(() => {})
    await cluster?.[Symbol.asyncDispose]()
    await hook?.[Symbol.asyncDispose]()
  })

  it('a command waits, is seen, is approved, and runs', async () => {
    const sql = await cart(100)
    const running = run(sql)
    const name = await cluster.askedFor(sql)
    await cluster.eventually(() => state(name), /^Pending$/)
    const { said: table } = await cluster.as('alice', ['get', 'approvals', name])
    const [heads = '', row = ''] = table.trim().split('\n')
    assert.deepEqual(heads.split(/ {2,}/), [
      'NAME',
      'AGENT',
      'RESOURCE',
      'ROLE',
      'COMMAND',
      'EFFECT',
      'RULE',
      'WHY',
      'STATE',
      'EXPIRES',
      'AGE',
    ])
    assert.match(
      row,
      /support-bot +shop +agent +DELETE FROM carts WHERE id = 100 +~1 row +deletes-need-a-person/,
    )
    const waiting = cluster.as('alice', [
      'wait',
      '--for=condition=Approved',
      '--timeout=120s',
      'approval',
      name,
    ])
    assert.match((await cluster.decide('alice', name, 'Approved', 'CHG-1')).said, /patched/)
    assert.equal(await running, '1 rows')
    assert.match((await waiting).said, /condition met/)
    await cluster.eventually(() => state(name), /^Used$/)
    const { metadata, spec, status } = await cluster.request(name)
    assert.deepEqual(
      (metadata as KubernetesObject['metadata']).ownerReferences?.map((owner) => [owner.kind, owner.name]),
      [['AgentIdentity', 'support-bot']],
    )
    assert.deepEqual(
      spec.votes?.map(({ user, decision, reason }) => [user, decision, reason]),
      [['alice', 'Approved', 'CHG-1']],
    )
    assert.equal(status?.usedBy?.pod, 'bot-1')
    for (const object of [`approval/${name}`, 'pod/bot-1'])
      await cluster.eventually(
        async () => (await cluster.kubectl('events', '-n', namespace, '--for', object)).replaceAll('\n', ' '),
        /ApprovalRequested.*waits for dba|ApprovalUsed/,
      )
    const events = (): string[] =>
      sidecar.audit
        .split('\n')
        .slice(0, -1)
        .filter((line) => line.includes(name))
        .map((line) => JSON.parse(line).event)
    await cluster.eventually(() => String(events().includes('command')), /true/)
    assert.deepEqual(events(), ['approval.requested', 'approval.decided', 'approval.used', 'command'])
  })

  it('a denial is told with its reason', async () => {
    const sql = await cart(101)
    const running = run(sql)
    const name = await cluster.askedFor(sql)
    await cluster.decide('bob', name, 'Denied', 'not today')
    assert.match(await running, new RegExp(`approvalrequest/${name} was denied by bob: not today`))
    for (const user of ['alice', 'bob']) {
      const { status, said } = await cluster.decide(user, name, 'Approved', 'after all')
      assert.notEqual(status, 0)
      assert.match(said, /it is denied already/)
    }
  })

  it('several have to agree, each as somebody else, at the same moment too', async () => {
    await cluster.shop.admin('shop', 'CREATE TABLE spare (id int)')
    const sql = 'DROP TABLE spare'
    const pending = await run(sql)
    const [, name = ''] = /pending approval as approvalrequest\/(\S+)/.exec(pending) ?? assert.fail(pending)
    assert.equal((await cluster.decide('alice', name, 'Approved', 'one')).status, 0)
    const { spec } = await cluster.request(name)
    assert.deepEqual([spec.decision, spec.reason, spec.votes?.length], [undefined, undefined, 1])
    assert.match((await cluster.decide('alice', name, 'Approved', 'two')).said, /alice has agreed already/)
    assert.match(await run(sql), /pending approval/)
    const both = await Promise.all(
      ['bob', 'carol'].map((user) => cluster.decide(user, name, 'Approved', user)),
    )
    assert.equal(both.filter(({ status }) => status === 0).length, 1, JSON.stringify(both))
    assert.match(both.map(({ said }) => said).join(), /it has been approved already/)
    await cluster.eventually(() => state(name), /^Approved$/)
    assert.equal((await cluster.request(name)).spec.votes?.length, 2)
    assert.equal(await run(sql), 'null rows')
    assert.doesNotMatch(await run(sql), /rows/)
  })

  it('what was decided stays decided, but for a denial of what was not used', async () => {
    const sql = 'DROP TABLE carts'
    const pending = await run(sql)
    const [, name = ''] = /approvalrequest\/(\S+)/.exec(pending) ?? assert.fail(pending)
    await cluster.decide('alice', name, 'Approved')
    const saved = await cluster.request(name)
    await cluster.decide('bob', name, 'Approved', 'me too')
    for (const [patch, says] of [
      [{ spec: { decision: null, reason: null } }, /only a denial can follow/],
      [{ spec: { reason: 'another' } }, /only a denial can follow/],
      [{ spec: { votes: saved.spec.votes } }, /spec.votes was changed/],
    ] as const) {
      const words = ['patch', 'approval', name, '--type=merge', '-p', JSON.stringify(patch)]
      const { status, said } = await cluster.as('carol', words)
      assert.notEqual(status, 0, said)
      assert.match(said, says)
    }
    assert.equal((await cluster.decide('carol', name, 'Denied', 'wait')).status, 0)
    await cluster.eventually(() => state(name), /^Denied$/)
    assert.match(await run(sql), /was denied by carol: wait/)
    // what somebody has saved when it stood otherwise
    const { status } = await cluster.as('alice', ['apply', '-f', '-'], JSON.stringify(saved))
    assert.notEqual(status, 0)
    assert.equal(await state(name), 'Denied')
  })

  it('a command that nobody decides on in time is refused, and nobody can decide then', async () => {
    await withPolicy('{groups: [dba], expiresAfter: 2s, retention: 1s}')
    const sql = await cart(102)
    const refused = await run(sql)
    const [, name = ''] =
      /approvalrequest\/(\S+) expired before it was decided/.exec(refused) ?? assert.fail(refused)
    const { status, said } = await cluster.decide('alice', name, 'Approved')
    assert.notEqual(status, 0)
    assert.match(said, /it is expired already|it expired at|NotFound/)
    // and is not kept for longer than the policy says
    await cluster.eventually(
      async () => (await cluster.cluster.kubectl.attempt(['get', 'approval', name, '-n', namespace])).stderr,
      /NotFound/,
    )
    await withPolicy('{groups: [dba], expiresAfter: 5m}')
  })

  it('a command whose client gives up is withdrawn', async () => {
    const sql = await cart(103)
    const impatient = await cluster.connect(sidecar)
    const running = run(sql, impatient)
    const name = await cluster.askedFor(sql)
    await impatient.end().catch(() => {})
    await running
    await cluster.eventually(() => state(name), /^Withdrawn$/)
    assert.match((await cluster.request(name)).status?.why ?? '', /client gave up|session ended/)
    assert.match((await cluster.decide('alice', name, 'Approved')).said, /it is withdrawn already/)
  })

  it('two pods of an agent that wait for the same have one request, and one of them runs', async () => {
    const second = await cluster.startPod('bot-2')
    const other = await cluster.connect(second)
    const sql = await cart(104)
    const first = run(sql)
    const name = await cluster.askedFor(sql)
    const joined = run(sql, other)
    await cluster.eventually(() => second.audit, /session.start/)
    const about = async (): Promise<string[]> =>
      (await cluster.requests())
        .filter(({ spec }) => spec.command?.text === sql)
        .map(({ metadata }) => metadata.name)
    assert.deepEqual(await about(), [name])
    await cluster.decide('alice', name, 'Approved')
    // the other asks anew
    const left = new RegExp(`^(?!${name}$)`)
    await cluster.eventually(async () => (await about()).filter((each) => each !== name)[0] ?? name, left)
    const [again = ''] = (await about()).filter((each) => each !== name)
    await cluster.decide('alice', again, 'Denied', 'once is enough')
    const outcomes = (await Promise.all([first, joined])).sort()
    assert.equal(outcomes[0], '1 rows')
    assert.match(outcomes[1] ?? '', /once is enough/)
    await other.end()
    await second.end('SIGTERM')
  })

  it('an agent asks for more rights by its local API, has them for a while, and loses them', async () => {
    const denied = await run('TRUNCATE carts')
    assert.match(denied, /not allowed|denied|no rule|may not/i)
    const asked = await askFor('--actions=sql:truncate', '--for=30m', '--reason=carts are stuck')
    assert.equal(asked.state, 'Pending')
    await cluster.eventually(() => state(asked.name), /^Pending$/)
    assert.match(
      (await cluster.as('alice', ['get', 'approvals', '-o', 'wide'])).said,
      /sql:truncate.*carts are stuck/,
    )
    await cluster.decide('alice', asked.name, 'Approved', 'half an hour')
    assert.equal(await cluster.eventually(() => run('TRUNCATE carts'), /rows/), 'null rows')
    const until = Date.parse((await cluster.request(asked.name)).status?.grantedUntil ?? '')
    assert.ok(Math.abs(until - Date.now() - 1_800_000) < 20_000, String(until))
    await cluster.decide('bob', asked.name, 'Denied', 'enough')
    await cluster.eventually(() => run('TRUNCATE carts'), new RegExp(denied.slice(0, 20)))
    await cluster.eventually(() => state(asked.name), /^Denied$/)
  })

  it('a further role, and the credential for it, are there while it is granted', async () => {
    await cluster.shop.admin('shop', "CREATE ROLE maintainer LOGIN SUPERUSER PASSWORD 'of the maintainer'")
    const address = { host: '127.0.0.1', port: sidecar.ports.get('shop') ?? 0 }
    const asMaintainer = (): Promise<string> =>
      cluster.shop.connect(address, 'shop', 'maintainer').then(
        async (maintainer) => {
          const { rows } = await maintainer.query('SELECT current_user AS name')
          await maintainer.end()
          return rows[0].name as string
        },
        (error: Error) => error.message,
      )
    const words = ['--role=maintainer', '--for=1h', '--reason=an index']
    const { name } = await askFor(...words)
    // of one role to have any name is the name
    assert.equal(await asMaintainer(), 'postgres')
    await cluster.decide('alice', name, 'Approved')
    await cluster.eventually(asMaintainer, /^maintainer$/)
    await cluster.decide('alice', name, 'Denied', 'done')
    await cluster.eventually(asMaintainer, /^postgres$/)
  })

  it('an emergency is granted at once, and ends by itself', async () => {
    const words = ['--actions=sql:truncate', '--for=8s', '--reason=fire', '--break-glass']
    const { name, state: granted } = await askFor(...words)
    assert.equal(granted, 'Approved')
    assert.equal(await run('TRUNCATE carts'), 'null rows')
    await cluster.eventually(() => run('TRUNCATE carts'), /^(?!null rows)/)
    await cluster.eventually(() => state(name), /^Expired$/)
    assert.match(sidecar.audit, /"kind":"breakGlass"/)
    assert.match((await cluster.decide('alice', name, 'Approved')).said, /it is expired already/)
  })

  it('a delegate that an agent made by its local API is asked about with its chain', async () => {
    const said = await firebreak(sidecar, 'delegate', '--to=helper', '--resource=shop', '--json')
    const { token } = JSON.parse(said) as { token: string }
    const address = { host: '127.0.0.1', port: sidecar.ports.get('shop') ?? 0 }
    const helper = await cluster.shop.connect(address, 'shop', 'agent@helper', token)
    const sql = await cart(105)
    const running = run(sql, helper)
    const name = await cluster.askedFor(sql)
    const { spec } = await cluster.request(name)
    assert.deepEqual(
      [spec.identity, spec.chain.map(({ identity }) => identity)],
      ['helper', ['agents/support-bot', 'agents/helper']],
    )
    await cluster.decide('alice', name, 'Approved')
    assert.equal(await running, '1 rows')
    await helper.end()
  })

  it('a webhook was told of all that, signed', async () => {
    const told = (event: string): boolean => hook.notified.some((each) => each.event === event)
    for (const event of ['requested', 'decided', 'used', 'withdrawn', 'expired'])
      await cluster.eventually(() => String(told(`approval.${event}`)), /true/)
    for (const event of ['granted', 'ended'])
      await cluster.eventually(() => String(told(`elevation.${event}`)), /true/)
    await cluster.eventually(() => String(told('signal')), /true/)
    assert.equal(hook.unsigned, 0)
    const { signal } = hook.notified.find(({ event }) => event === 'signal') ?? {}
    assert.deepEqual([signal?.kind, signal?.pod], ['breakGlass', 'agents/bot-1'])
    const [first] = hook.notified
    const steps = hook.notified.filter(
      ({ request }) => request && request.metadata.name === first?.request?.metadata.name,
    )
    assert.deepEqual(
      steps.map(({ event, by }) => [event, by]),
      [
        ['approval.requested', undefined],
        ['approval.decided', 'alice'],
        ['approval.used', undefined],
      ],
    )
  })
})
