import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'yaml'
import { annotations } from '../../operator/containment/names.ts'
import { layout } from '../../operator/injection/layout.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import { AgentPod, agentPod, type PodOptions } from './agent-pod.ts'
import { describeWithProduct } from './suite.ts'
import { SupportBot } from './support-bot.ts'

interface Attempt {
  readonly name: string
  /** Words for attempt.py. */
  readonly attempt?: readonly string[]
  readonly command?: readonly string[]
  readonly says: string
  readonly audited?: string
  /** Gets out where nothing is contained. */
  readonly open?: boolean
}

interface AccountAttempt {
  readonly name: string
  readonly kubectl?: readonly string[]
  readonly apply?: object
  readonly says: string
}

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const attacks = (name: string): string => readFileSync(file(`../../attacks/${name}`), 'utf8')
const { attacks: fromNamespaces } = parse(attacks('containment.yaml')) as { attacks: Attempt[] }
const { inside, uncontained, account } = parse(attacks('pods.yaml')) as {
  inside: Attempt[]
  uncontained: { name: string; namespace: string }[]
  account: AccountAttempt[]
}
const ways = [...fromNamespaces, ...inside]
const script = attacks('containment/attempt.py')
const scriptPath = '/tmp/attempt.py'
const users = { 'an ordinary user': 1000, root: 0 } as const
/** Of pods that nobody contains. */
const outside = 'outside'
/** Wait for whatever gets out. */
const canaries = ['canary', 'another-canary'] as const
/** A test cluster has no such place, or lets no container ping. */
const openElsewhereOnly = /metadata address|ping|resolver|DNS over TLS/

describeWithProduct('ways out of an agent pod', (product) => {
  let supportBot: SupportBot
  let free: AgentPod
  let common: readonly (readonly [string, string])[]
  const ownNames = new Map<string, readonly (readonly [string, string])[]>()

  const kubectl = (...args: string[]): Promise<string> => product().kubectl(...args)
  const get = (kind: string, name: string, namespace: string, path: string): Promise<string> =>
    kubectl('get', kind, name, '-n', namespace, '-o', `jsonpath={${path}}`)
  const arrivals = async (): Promise<string> => {
    const logs = await kubectl('logs', '-n', outside, '-l', 'app=canary', '--prefix', '--tail=-1')
    return logs.split('\n').sort().join('\n')
  }
  const eventually = eventuallyWith(() => '', 60)

  const filled = ({ name }: AgentPod, text: string): string =>
    [...common, ...(ownNames.get(name) ?? [])].reduce(
      (all, [word, value]) => all.replaceAll(word, value),
      text,
    )
  const perform = async (pod: AgentPod, { attempt, command = [] }: Attempt): Promise<string> => {
    const words = attempt ? ['python3', scriptPath, ...attempt] : command
    const { stdout, stderr } = await pod.run(words.map((word) => filled(pod, word)))
    return stdout + stderr
  }

  async function startOutside(name: string, options: PodOptions = {}): Promise<AgentPod> {
    const { kubectl } = product().cluster
    const spec = { serviceAccountName: 'default', ...options.spec }
    await kubectl.apply(stringify(agentPod(outside, name, { ...options, spec })))
    const pod = new AgentPod(kubectl, outside, name)
    await pod.ready()
    return pod
  }

  async function startAgent(name: string, uid: number): Promise<AgentPod> {
    const pod = await supportBot.startAgent(name, { spec: { securityContext: { runAsUser: uid } } })
    await pod.run(['sh', '-c', `cat > ${scriptPath}`], { input: script })
    const key = annotations.uids.replaceAll('.', '\\.')
    const [envoy = '', enforcer = ''] = (
      await get('pod', name, supportBot.namespace, `.metadata.annotations.${key}`)
    ).split(',')
    ownNames.set(name, [
      ['ENVOY', envoy],
      ['ENFORCER', enforcer],
      ['INSIDE', await get('pod', name, supportBot.namespace, '.status.podIP')],
    ])
    return pod
  }

  before(async function () {
    this.timeout('15m')
    supportBot = await SupportBot.deploy(product())
    await kubectl('delete', 'namespace', outside, '--ignore-not-found')
    await kubectl('create', 'namespace', outside)
    const program = readFileSync(file('canary.py'), 'utf8')
    for (const name of canaries)
      await startOutside(name, {
        container: { command: ['python3', '-c', program] },
        labels: { app: 'canary' },
      })
    // a pod is ready before its program is
    await eventually(arrivals, /listening[\s\S]*listening/)
    free = await startOutside('free')
    await free.run(['sh', '-c', `cat > ${scriptPath}`], { input: script })
    const canary = (await get('pod', canaries[0], outside, '.status.podIPs[*].ip')).split(' ')
    const operator = ['-n', product().namespace, '-l', 'app.kubernetes.io/name=firebreak-operator']
    const firstOf = ['-o', 'jsonpath={.items[0].status.podIP}']
    common = [
      ['OUTSIDE6', canary.find((address) => address.includes(':')) ?? assert.fail('the cluster has IPv6')],
      ['OUTSIDE', canary.find((address) => !address.includes(':')) ?? assert.fail('the cluster has IPv4')],
      ['OTHER', await get('pod', canaries[1], outside, '.status.podIP')],
      ['DATABASE_POD', await get('pod', 'orders-db', supportBot.databaseNamespace, '.status.podIP')],
      [
        'DATABASE_SERVICE',
        await get('service', 'orders-db', supportBot.databaseNamespace, '.spec.clusterIP'),
      ],
      ['DATABASE', '5432'],
      ['RESOLVER', await get('service', 'kube-dns', 'kube-system', '.spec.clusterIP')],
      ['API_SERVER', await get('service', 'kubernetes', 'default', '.spec.clusterIP')],
      ['NODE', await get('pod', canaries[0], outside, '.status.hostIP')],
      ['OPERATOR', await kubectl('get', 'pods', ...operator, ...firstOf)],
      ['RUN', layout.runDirectory],
      ['SCRIPT', scriptPath],
    ]
  })
  after(async function () {
    this.timeout('10m')
    await kubectl('delete', 'namespace', outside, '--ignore-not-found')
    await supportBot?.[Symbol.asyncDispose]()
  })

  it('get out of a pod that is not contained', async () => {
    const open = ways.filter(({ name, open }) => open && !openElsewhereOnly.test(name))
    assert.ok(open.length >= 8)
    // what an attempt takes for silence may be a canary that has not come to answer yet
    for (const way of open) await eventually(() => perform(free, way), /^out: /)
    await eventually(arrivals, / tcp 9999 /)
  }).timeout('10m')

  for (const [user, uid] of Object.entries(users))
    describe(`for ${user}`, function () {
      this.timeout('5m')
      let pod: AgentPod
      let arrived: string

      before(async () => {
        pod = await startAgent(`agent-${uid}`, uid)
        arrived = await arrivals()
      })

      it('are not needed to read what the policy allows', async () => {
        const { service } = await supportBot.databaseAddresses()
        for (const host of [undefined, 'orders-db.data', ...service]) {
          const { stdout, stderr } = await pod.psql(['SELECT email FROM customers ORDER BY id LIMIT 1'], host)
          assert.match(stdout, /^\*+\S{4}$/m, `${host}: ${stderr}`)
        }
      })

      for (const way of ways)
        it(`do not include ${way.name}`, async () => {
          const output = await perform(pod, way)
          assert.match(output, new RegExp(filled(pod, way.says), 'm'), output)
          if (way.attempt && way.says !== '(stopped|out: )') assert.doesNotMatch(output, /^out: /)
          if (way.audited !== undefined) await isAudited(pod, filled(pod, way.audited))
          assert.equal(await arrivals(), arrived)
        })
    })

  it('do not include an init container that comes before its sidecars', async () => {
    const tries = `python3 -c ${quoted(script)} tcp OUTSIDE 9999; psql -At -c 'SELECT email FROM customers LIMIT 1'`
    const before = await arrivals()
    const early = { name: 'early', image: 'firebreak.test/tools:1' }
    const command = ['sh', '-c', common.reduce((all, [word, value]) => all.replaceAll(word, value), tries)]
    await supportBot.startAgent('early', { spec: { initContainers: [{ ...early, command }] } })
    const said = await kubectl('logs', 'early', '-n', supportBot.namespace, '-c', 'early')
    assert.match(said, /^stopped: /m)
    assert.match(said, /^\*+\S{4}$/m, 'it is guarded already')
    assert.equal(await arrivals(), before)
  }).timeout('5m')

  for (const { name, namespace } of uncontained)
    it(`do not include ${name}`, async () => {
      const { kubectl } = product().cluster
      const spec = { serviceAccountName: 'default' }
      await kubectl.apply(stringify(agentPod(namespace, 'stranger', { spec, labels: { app: 'stranger' } })))
      await using stranger = new AgentPod(kubectl, namespace, 'stranger')
      await stranger.ready()
      const { pod, service } = await supportBot.databaseAddresses()
      for (const host of [...pod, ...service]) {
        const words = ['psql', '-h', host, '-U', 'reader', '-d', 'orders', '-c', 'SELECT 1']
        const { stderr } = await stranger.run(['env', 'PGCONNECT_TIMEOUT=2', ...words])
        assert.match(stderr, /timeout expired/, host)
      }
    }).timeout('5m')

  describe("for the agent's service account, with all rights in its namespace", () => {
    before(async () => {
      const inAgents = ['-n', supportBot.namespace]
      const everything = ['--verb=*', '--resource=*.*', '--resource=pods/exec,pods/ephemeralcontainers']
      await kubectl('create', 'role', 'everything', ...inAgents, ...everything)
      const subject = `--serviceaccount=${supportBot.namespace}:support-bot`
      await kubectl('create', 'rolebinding', 'everything', ...inAgents, '--role=everything', subject)
    })

    for (const { name, kubectl: words, apply, says } of account)
      it(`do not include ${name}`, async () => {
        const { kubectl } = await product().cluster.serviceAccount(supportBot.namespace, 'support-bot')
        const inAgents = ['-n', supportBot.namespace]
        const { stdout, stderr, status } = words
          ? await kubectl.attempt([...inAgents, ...words.map((word) => word.replace(/^POD$/, 'agent-1000'))])
          : await kubectl.attempt(['apply', ...inAgents, '-f', '-'], { input: JSON.stringify(apply) })
        assert.notEqual(status, 0, stdout)
        assert.match(stderr, new RegExp(says))
      }).timeout('3m')
  })

  /** Datagrams are counted every second. */
  const isAudited = async (pod: AgentPod, what: string): Promise<void> => {
    const refusals = async (): Promise<string> =>
      (await pod.audit())
        .filter(({ event, identity }) => event === 'egress.refused' && identity === 'agents/support-bot')
        .map(({ destination, name, kind }) => `${destination} ${name} ${kind}`)
        .join('\n')
    await eventually(refusals, new RegExp(what.replaceAll(/[[\].]/g, '\\$&')))
  }
})

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
