/** Commands of an agent in a real pod that wait for people, who decide by kubectl with the rights that RBAC gives them. */
import assert from 'node:assert/strict'
import { layout } from '../../operator/injection/layout.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import type { Output } from '../cluster/command.ts'
import type { User } from '../cluster/control-plane/start.ts'
import type { AgentPod } from './agent-pod.ts'
import { killContainer } from './container-processes.ts'
import { describeWithProduct } from './suite.ts'
import { SupportBot } from './support-bot.ts'

/** Whom the API server knows them as; all but the last may approve as far as RBAC goes. */
const people = {
  dana: ['dba'],
  dirk: ['dba'],
  sam: ['security'],
  admin: ['system:masters'],
  olga: ['staff'],
} as const
type Person = keyof typeof people

const policy = `apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: people-decide, namespace: agents}
spec:
  appliesTo: {groups: [support], resources: [orders-db]}
  rules:
    - {name: what-is-asked-about, match: {actions: ["sql:delete"], objects: [public.orders, public.customers]}, effect: allow}
    - name: deletes
      match: {actions: ["sql:delete"], objects: [public.orders]}
      effect: requireApproval
      approval: {groups: [dba], expiresAfter: 10m}
    - name: customers-need-two
      match: {actions: ["sql:delete"], objects: [public.customers]}
      effect: requireApproval
      approval: {groups: [dba, security], quorum: 2, expiresAfter: 10m}
  elevations:
    - {name: prices, actions: ["sql:update"], objects: [public.orders], maxDuration: 10m, approval: {groups: [dba]}}
`

describeWithProduct('approvals of what an agent in a pod does', (product) => {
  let supportBot: SupportBot
  let agent: AgentPod
  const users = new Map<Person | 'agent', User>()
  const eventually = eventuallyWith(() => '', 120)
  const kubectl = (...args: string[]): Promise<string> => product().kubectl(...args)
  const as = (person: Person | 'agent', ...words: string[]): Promise<Output> => {
    const user = users.get(person) ?? assert.fail(`${person} is nobody`)
    return user.kubectl.attempt([...words, '-n', supportBot.namespace])
  }
  const decide = (
    person: Person | 'agent',
    name: string,
    decision: 'Approved' | 'Denied',
    reason: string,
  ): Promise<Output> =>
    as(
      person,
      'patch',
      'approval',
      name,
      '--type=merge',
      '-p',
      JSON.stringify({ spec: { decision, reason } }),
    )
  const approve = async (person: Person, name: string): Promise<void> => {
    const { status, stderr } = await decide(person, name, 'Approved', `CHG of ${person}`)
    assert.equal(status, 0, stderr)
  }
  const requests = async (): Promise<{ name: string; text: string; state: string }[]> => {
    const { items } = JSON.parse(await kubectl('get', 'approvals', '-n', 'agents', '-o', 'json')) as {
      items: {
        metadata: { name: string }
        spec: { command?: { text: string } }
        status?: { state: string }
      }[]
    }
    return items.map(({ metadata: { name }, spec, status }) => ({
      name,
      text: spec.command?.text ?? '',
      state: status?.state ?? '',
    }))
  }
  const stateOf = async (name: string): Promise<string> =>
    (await requests()).find((request) => request.name === name)?.state ?? ''
  /** The open request about a command. */
  const askedFor = async (text: string): Promise<string> =>
    await eventually(
      async () =>
        (await requests()).find((each) => each.text === text && each.state === 'Pending')?.name ?? '',
      /./,
    )
  /** A new order, the command that deletes it, and whether it is there. */
  let orders = 100
  const order = async (): Promise<{ sql: string; left: () => Promise<string> }> => {
    const id = ++orders
    await supportBot.sql(`INSERT INTO orders VALUES (${id}, 1, 5)`)
    return {
      sql: `DELETE FROM orders WHERE id = ${id}`,
      left: () => supportBot.sql(`SELECT count(*) FROM orders WHERE id = ${id}`),
    }
  }

  before(async function () {
    this.timeout('15m')
    supportBot = await SupportBot.deploy(product())
    const { cluster } = product()
    await cluster.kubectl.apply(policy)
    for (const [name, groups] of Object.entries(people))
      users.set(name as Person, await cluster.user({ name, groups }))
    users.set('agent', await cluster.serviceAccount(supportBot.namespace, 'support-bot'))
    const approvers = [
      '--group=dba',
      '--group=security',
      `--serviceaccount=${supportBot.namespace}:support-bot`,
    ]
    const binding = ['create', 'rolebinding', 'approvers', '--clusterrole=firebreak-approver', ...approvers]
    await kubectl(...binding, '-n', supportBot.namespace)
    const inForce = ['--for=condition=Ready', 'guardrailpolicy/people-decide', '--timeout=180s']
    await kubectl('wait', '-n', supportBot.namespace, ...inForce)
    agent = await supportBot.startAgent('agent')
  })
  after(async function () {
    this.timeout('10m')
    await supportBot?.[Symbol.asyncDispose]()
  })

  it('a held command is seen, refused to who may not decide, approved, and runs once', async () => {
    const { sql, left } = await order()
    const running = agent.psql([sql])
    const name = await askedFor(sql)
    const { stdout: table } = await as('dana', 'get', 'approvals')
    assert.match(
      table,
      new RegExp(`^${name} +support-bot +orders-db +reader +${sql.replaceAll(/[()]/g, '\\$&')} +~1 row`, 'm'),
    )
    for (const [person, says] of [
      ['olga', /cannot (get|patch) resource "approvalrequests"/],
      ['sam', /one of dba|dba/],
      ['admin', /dba/],
      ['agent', /agent/],
    ] as const) {
      const { status, stderr } = await decide(person, name, 'Approved', 'I say so')
      assert.notEqual(status, 0, person)
      assert.match(stderr, says)
    }
    assert.equal(await left(), '1\n')
    const waiting = as('dirk', 'wait', `approval/${name}`, '--for=condition=Approved', '--timeout=90s')
    await approve('dana', name)
    assert.match((await waiting).stdout, /condition met/)
    const { stdout, stderr } = await running
    assert.equal(stdout, 'DELETE 1\n', stderr)
    assert.match(stderr, new RegExp(`NOTICE: +held for approval as approvalrequest/${name}`))
    await eventually(() => stateOf(name), /^Used$/)
    assert.equal(await left(), '0\n')
    const { stderr: late } = await decide('dirk', name, 'Denied', 'too late')
    assert.match(late, /it is used already/)
  }).timeout('8m')

  it('an approval is for one run: the same command asks anew, and a denial is told', async () => {
    const { sql, left } = await order()
    const first = agent.psql([sql])
    await approve('dana', await askedFor(sql))
    assert.equal((await first).stdout, 'DELETE 1\n')
    const id = Number(/\d+$/.exec(sql)?.[0])
    await supportBot.sql(`INSERT INTO orders VALUES (${id}, 1, 5)`)
    const second = agent.psql([sql])
    const name = await askedFor(sql)
    assert.equal((await decide('dirk', name, 'Denied', 'once is enough')).status, 0)
    const { status, stderr } = await second
    assert.notEqual(status, 0)
    assert.match(stderr, new RegExp(`approvalrequest/${name} was denied by dirk: once is enough`))
    assert.equal(await left(), '1\n')
  }).timeout('8m')

  it('where two have to agree, one is not enough, and nobody counts twice', async () => {
    await supportBot.sql("INSERT INTO customers VALUES (50, 'Cleo', 'c@example.com', '1')")
    const sql = 'DELETE FROM customers WHERE id = 50'
    const running = agent.psql([sql])
    const name = await askedFor(sql)
    await approve('dana', name)
    assert.match((await decide('dana', name, 'Approved', 'again')).stderr, /dana has agreed already/)
    assert.equal(await stateOf(name), 'Pending')
    assert.equal(await supportBot.sql('SELECT count(*) FROM customers WHERE id = 50'), '1\n')
    await approve('sam', name)
    assert.equal((await running).stdout, 'DELETE 1\n')
    const votes = ['get', 'approval', name, '-o', 'jsonpath={.spec.votes[*].user}']
    assert.equal((await as('dana', ...votes)).stdout, 'dana sam')
  }).timeout('8m')

  it('what is held outlives all replicas of the operator', async () => {
    const { sql } = await order()
    const running = agent.psql([sql])
    const name = await askedFor(sql)
    const inOperator = ['-n', product().namespace]
    await kubectl(
      'delete',
      'pods',
      ...inOperator,
      '-l',
      'app.kubernetes.io/name=firebreak-operator',
      '--force',
    )
    const status = ['status', 'deployment/firebreak-operator', ...inOperator, '--timeout=240s']
    await kubectl('rollout', ...status)
    await eventually(async () => {
      const { status, stderr } = await decide('dana', name, 'Approved', 'after all')
      return status === 0 || /approved already/.test(stderr) ? 'done' : stderr
    }, /^done$/)
    assert.equal((await running).stdout, 'DELETE 1\n')
    await eventually(() => stateOf(name), /^Used$/)
  }).timeout('10m')

  it("what is held when the pod's enforcer is killed is asked for once, and runs once", async function () {
    const { machinery } = product().cluster
    if (!machinery) return this.skip()
    const { sql, left } = await order()
    const cut = agent.psql([sql])
    const name = await askedFor(sql)
    await killContainer(machinery, supportBot.namespace, agent.name, layout.enforcerContainer)
    assert.notEqual((await cut).status, 0)
    await approve('dana', name)
    assert.equal(await left(), '1\n', 'nobody waits: nothing runs')
    // the same command, by whoever asks next, has its approval
    await eventually(async () => (await agent.psql(['SELECT 1'])).stdout, /^1\n$/)
    const { stdout, stderr } = await agent.psql([sql])
    assert.equal(stdout, 'DELETE 1\n', stderr)
    await eventually(() => stateOf(name), /^Used$/)
    assert.deepEqual(
      (await requests()).filter(({ text }) => text === sql).map((request) => request.name),
      [name],
    )
  }).timeout('10m')

  it('more rights for a while are asked for in the pod, granted by kubectl, and taken back', async () => {
    const change = 'UPDATE orders SET total = total + 1 WHERE id = 1'
    assert.match((await agent.psql([change])).stderr, /denied/)
    const ask = { resource: 'orders-db', actions: ['sql:update'], for: '5m', reason: 'prices were wrong' }
    const post = ['-sS', '-H', 'content-type: application/json', '-d', JSON.stringify(ask)]
    const { stdout } = await agent.run([
      'sh',
      '-c',
      'curl "$@" "$FIREBREAK_API/v1/elevations"',
      'curl',
      ...post,
    ])
    const { name, state } = JSON.parse(stdout) as { name: string; state: string }
    assert.equal(state, 'Pending', stdout)
    await eventually(() => stateOf(name), /^Pending$/)
    assert.match((await as('dana', 'get', 'approvals', '-o', 'wide')).stdout, /sql:update.*prices were wrong/)
    await approve('dana', name)
    await eventually(async () => (await agent.psql([change])).stdout, /^UPDATE 1$/m)
    const until = (await as('dana', 'get', 'approval', name, '-o', 'jsonpath={.status.grantedUntil}')).stdout
    assert.match(until, /^\d{4}-/)
    assert.equal((await decide('dirk', name, 'Denied', 'prices are right')).status, 0)
    await eventually(async () => (await agent.psql([change])).stderr, /denied/)
  }).timeout('10m')

  it('all of it is in the audit trail of the pod, with who decided', async () => {
    await agent.audited(({ event }) => event === 'approval.decided' || event === 'elevation.granted')
    // the enforcer was killed meanwhile
    const all = async (): Promise<string> =>
      JSON.stringify([...(await agent.audit({ previous: true })), ...(await agent.audit())])
    await eventually(all, /("event":"approval.used".*){3}/)
  }).timeout('5m')

  it('requests go with the agent that they are of', async () => {
    assert.ok((await requests()).length > 0)
    await kubectl('delete', 'agentidentity', 'support-bot', '-n', 'agents')
    await eventually(async () => String((await requests()).length), /^0$/)
  }).timeout('10m')
})
