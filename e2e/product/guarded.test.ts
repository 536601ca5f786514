/** An ordinary pod of an agent on a real cluster, with the objects of examples/support-bot. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stringify } from 'yaml'
import { layout } from '../../operator/injection/layout.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import type { Output } from '../cluster/command.ts'
import { type AgentPod, agentPod, untilStopped } from './agent-pod.ts'
import { OpenPsql } from './open-psql.ts'
import { describeWithProduct } from './suite.ts'
import { SupportBot } from './support-bot.ts'

const personalData = '1|Ada Okafor|***********.com|*******1120\n2|Ben Silva|***********.com|*******9999\n'

describeWithProduct('an agent in a pod', (product) => {
  let supportBot: SupportBot
  let agent: AgentPod
  const kubectl = (...args: string[]): Promise<string> => product().kubectl(...args)
  const eventually = eventuallyWith(() => '', 60)
  const patch = (what: string, change: object): Promise<string> =>
    kubectl('patch', what, '-n', supportBot.namespace, '--type=merge', '-p', JSON.stringify(change))

  before(async function () {
    this.timeout('15m')
    supportBot = await SupportBot.deploy(product())
    agent = await supportBot.startAgent('agent')
  })
  after(async function () {
    this.timeout('10m')
    await supportBot?.[Symbol.asyncDispose]()
  })

  for (const [way, host] of [
    ['where its environment leads it', undefined],
    ["at the database's own name", 'orders-db.data.svc'],
  ] as const)
    it(`gets masked rows ${way}`, async () => {
      assert.equal(rows(await agent.psql(['SELECT * FROM customers ORDER BY id'], host)), personalData)
    }).timeout('3m')

  it("gets masked rows at its Service's addresses, and nothing at its pod's", async () => {
    const { pod, service } = await supportBot.databaseAddresses()
    for (const address of service) {
      const ran = await agent.psql(['SELECT * FROM customers ORDER BY id'], address)
      assert.equal(rows(ran), personalData, address)
    }
    for (const address of pod)
      assert.match((await agent.psql(['SELECT 1'], address)).stderr, /server closed the connection/)
    const refused = await agent.audited(({ event }) => event === 'egress.refused', pod.length)
    assert.equal(refused.length, pod.length)
  }).timeout('3m')

  it('is denied a DROP by an error of the protocol, and goes on', async () => {
    const { stdout, stderr } = await agent.psql(['DROP TABLE orders', 'SELECT count(*) FROM orders'])
    assert.match(stderr, /^ERROR: {2}denied by policy agents\/orders-guardrails, rule no-schema-changes$/m)
    assert.equal(stdout, '3\n')
  }).timeout('3m')

  it('is in the audit trail with its identity and its pod', async () => {
    const [denied] = await agent.audited(({ text }) => text === 'DROP TABLE orders')
    assert.equal(denied?.decision, 'deny')
    assert.equal(denied?.identity, 'agents/support-bot')
    const [{ proof } = {}] = await agent.audited(
      ({ event, session }) => event === 'session.start' && session === denied?.session,
    )
    const uid = await kubectl('get', 'pod', 'agent', '-n', 'agents', '-o', 'jsonpath={.metadata.uid}')
    assert.deepEqual(proof, { kind: 'loopback', pod: { name: 'agent', uid } })
  }).timeout('3m')

  it('has what is declared in force everywhere, as the status says', async () => {
    const status = '{.status.pods} {.status.containedPods} {.status.conditions[?(@.type=="Ready")].status}'
    const read = (): Promise<string> =>
      kubectl('get', 'agentidentity', 'support-bot', '-n', 'agents', '-o', `jsonpath=${status}`)
    await eventually(read, /^1 1 True$/)
  }).timeout('3m')

  it('obeys a changed policy in a session that is open', async () => {
    await using session = await OpenPsql.start(agent)
    const query = 'SELECT name FROM customers WHERE id = 1'
    assert.equal(await session.ask(query), 'Ada Okafor')
    const elapsed: number[] = []
    const policy = 'guardrailpolicy/orders-guardrails'
    const original = JSON.parse(await kubectl('get', policy, '-n', 'agents', '-o', 'json')) as {
      spec: { rules: object[] }
    }
    const denying = { name: 'no-more', match: { objects: ['public.customers'] }, effect: 'deny' }
    for (const [rules, expected] of [
      [[...original.spec.rules, denying], /denied by policy agents\/orders-guardrails, rule no-more/],
      [original.spec.rules, /^Ada Okafor$/],
    ] as const) {
      await patch(policy, { spec: { rules } })
      const from = performance.now()
      await eventually(() => session.ask(query), expected)
      elapsed.push(performance.now() - from)
    }
    console.log(`      in force after ${elapsed.map((each) => Math.round(each)).join(' and ')} ms`)
  }).timeout('3m')

  it('uses a rotated Secret for new sessions, while open ones go on', async () => {
    await using session = await OpenPsql.start(agent)
    assert.equal(await session.ask('SELECT 1'), '1')
    const password = 'the second password of reader'
    await supportBot.sql(`ALTER ROLE reader PASSWORD '${password}'`)
    await patch('secret/orders-reader', { stringData: { password } })
    await eventually(async () => (await agent.psql(['SELECT 2'])).stdout, /^2\n$/)
    assert.equal(await session.ask('SELECT 3'), '3')
    await agent.audited(({ event }) => event === 'credential.rotated')
  }).timeout('3m')

  it('runs Jobs to their end, with their sidecars', async () => {
    const { spec } = agentPod('agents', 'job', {
      container: { command: ['psql', '-At', '-c', 'SELECT count(*) FROM orders'] },
    }) as { spec: object }
    const template = { metadata: { labels: { app: 'support-bot' } }, spec }
    const job = { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'count', namespace: 'agents' } }
    await product().cluster.kubectl.apply(stringify({ ...job, spec: { backoffLimit: 0, template } }))
    await kubectl('wait', 'job/count', '-n', 'agents', '--for=condition=Complete', '--timeout=120s')
    assert.equal(await kubectl('logs', 'job/count', '-n', 'agents', '-c', 'agent'), '3\n')
    await kubectl(
      'wait',
      'pod',
      '-l',
      'job-name=count',
      '-n',
      'agents',
      '--for=jsonpath={.status.phase}=Succeeded',
      '--timeout=120s',
    )
  }).timeout('5m')

  it('still reaches its database from what it does when it is stopped', async () => {
    const preStop = { exec: { command: ['psql', '-c', "SELECT 'the last query'"] } }
    const { name } = await supportBot.startAgent('stopped', {
      container: { lifecycle: { preStop }, command: untilStopped },
      spec: { terminationGracePeriodSeconds: 60 },
    })
    const { program, kubeconfig } = product().cluster.kubectl
    const logs = ['logs', '-f', name, '-n', 'agents', '-c', layout.enforcerContainer]
    const following = spawn(program, [`--kubeconfig=${kubeconfig}`, ...logs], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      let seen = ''
      following.stdout.setEncoding('utf8').on('data', (text: string) => {
        seen += text
      })
      const ended = once(following, 'close')
      // from a pod that is gone there would be nothing to follow
      await eventually(() => seen, /"event":"audit.start"/)
      await kubectl('delete', 'pod', name, '-n', 'agents')
      await ended
      assert.match(seen, /the last query.*"rows":1/)
    } finally {
      following.kill()
    }
  }).timeout('5m')

  it('is the only one who reaches the database: another pod, without injection, does not', async () => {
    const stranger = agentPod('default', 'stranger', { labels: { app: 'other' } }) as { spec: object }
    try {
      const spec = { ...stranger.spec, serviceAccountName: 'default' }
      await product().cluster.kubectl.apply(stringify({ ...stranger, spec }))
      await kubectl('wait', 'pod/stranger', '-n', 'default', '--for=condition=Ready', '--timeout=180s')
      const { pod, service } = await supportBot.databaseAddresses()
      for (const address of [...pod, ...service]) {
        const attempt = ['exec', 'stranger', '-n', 'default', '--', 'nc', '-zvw2', address, '5432']
        const { status, stderr } = await product().cluster.kubectl.attempt(attempt)
        assert.notEqual(status, 0, address)
        assert.match(stderr, /timed out/)
      }
    } finally {
      await kubectl('delete', 'pod', 'stranger', '-n', 'default', '--ignore-not-found')
    }
  }).timeout('5m')
})

/** @throws with what psql says when it fails. */
function rows({ status, stdout, stderr }: Output): string {
  assert.equal(status, 0, stderr)
  return stdout
}
