/** From a change of a policy to the last acknowledgement, with many agents' pods: a real API server, no kubelets. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { typeUrls } from '@firebreak/xds'
import { importPKCS8, SignJWT } from 'jose'
import type { ControlPlane } from '../e2e/index.ts'
import type { KubernetesClient } from '../operator/kubernetes/client.ts'
import {
  agentIdentities,
  guardrailPolicies,
  type KubernetesObject,
  pods,
  protectedResources,
  Resource,
} from '../operator/kubernetes/objects.ts'
import { ReplicaProcess } from '../operator/testdata/replica-process.ts'
import { startApiServer } from '../test/api-server.ts'
import type { Counted, StreamsSettings } from './control-plane-streams.ts'

const agents = 20
const podCount = 2_000
const policies = 200
/** Of the policies, those that apply to all agents; the others apply to one each. */
const common = 20
const changes = 5

const namespace = 'agents'

export async function benchControlPlane(): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const { cluster, client } = stack.use(await startApiServer([]))
  const tokens = await populate(cluster, client)
  const user = await cluster.user({ name: 'firebreak-operator', groups: ['system:masters'] })
  const operator = stack.use(
    await ReplicaProcess.start({
      kubeconfig: user.kubeconfig,
      user: user.name,
      replica: 'one',
      controlPort: 0,
    }),
  )
  const streams = fork(fileURLToPath(new URL('control-plane-streams.ts', import.meta.url)))
  stack.defer(() => void streams.kill('SIGKILL'))
  const count = async (): Promise<Counted> => {
    streams.send('count')
    const [counted] = (await once(streams, 'message')) as [Counted]
    return counted
  }
  const startedAt = Date.now()
  streams.send({
    control: `127.0.0.1:${operator.controlPort}`,
    ca: operator.controlCa,
    tokens,
  } satisfies StreamsSettings)
  const first = await settled(count, podCount)
  report('all sidecars connect', startedAt, first, operator.pid)
  await contained(client)
  console.log(`all pods contained in the status after ${Date.now() - startedAt} ms`)
  for (const [name, policy, expected] of [
    ['a policy of all agents changes', 'common-0', podCount],
    ['a policy of one agent changes', 'own-0', podCount / agents],
  ] as const)
    for (let change = 0; change < changes; change++) {
      const cpu = cpuSeconds(operator.pid)
      const at = Date.now()
      await client.merge(guardrailPolicies, policy, namespace, { spec: rules(String(at), policy) })
      const counted = await settled(count, expected)
      report(name, at, counted, operator.pid)
      await contained(client)
      console.log(
        `  status after ${Date.now() - at} ms, ${(cpuSeconds(operator.pid) - cpu).toFixed(2)} s of CPU until then`,
      )
      await delay(1_000)
    }
}

/** Pods are made before there are webhooks, with the label that these would set. @returns a token of each pod. */
async function populate(cluster: ControlPlane, client: KubernetesClient): Promise<string[]> {
  for (const name of ['firebreak-system', namespace]) await cluster.kubectl.run(['create', 'namespace', name])
  await cluster.kubectl.run(['create', 'serviceaccount', 'bot', '-n', namespace])
  const ours = { namespace }
  for (let agent = 0; agent < agents; agent++) {
    await client.create(protectedResources, {
      metadata: { name: `db-${agent}`, ...ours },
      spec: {
        type: 'postgresql',
        address: '127.0.0.1:1',
        tls: { mode: 'disable' },
        roles: [{ name: 'agent', credential: { env: { password: 'NONE' } } }],
      },
    } as unknown as KubernetesObject as never)
    await client.create(agentIdentities, {
      metadata: { name: `agent-${agent}`, ...ours },
      spec: {
        workload: { podSelector: { matchLabels: { app: `agent-${agent}` } } },
        access: [{ resource: `db-${agent}`, roles: ['agent'] }],
      },
    } as unknown as KubernetesObject as never)
  }
  await inParallel(policies, async (index) => {
    const name = index < common ? `common-${index}` : `own-${index - common}`
    await client.create(guardrailPolicies, {
      metadata: { name, ...ours },
      spec: rules('first', name),
    } as unknown as KubernetesObject as never)
  })
  const sign = await signer(cluster, client)
  return await inParallel(podCount, async (index) => {
    const agent = `agent-${index % agents}`
    const pod = await client.create(pods, {
      metadata: {
        name: `bot-${index}`,
        ...ours,
        labels: { app: agent, 'firebreak.dev/agent': agent },
      },
      spec: { serviceAccountName: 'bot', containers: [{ name: 'agent', image: 'x' }] },
    })
    return await sign(pod.metadata.name, pod.metadata.uid ?? '')
  })
}

function rules(marker: string, policy: string): object {
  const [kind, index] = policy.split('-')
  return {
    ...(kind === 'own' && { appliesTo: { identities: [`agent-${Number(index) % agents}`] } }),
    rules: Array.from({ length: 5 }, (_, rule) => ({
      name: `rule-${rule}-${marker}`,
      match: { actions: ['sql:delete'], condition: `command.sql.restricted && ${rule} < 10` },
      effect: 'deny',
    })),
  }
}

const serviceAccounts = new Resource<KubernetesObject>('v1', 'ServiceAccount', 'serviceaccounts')

/** Tokens as the API server would give them, signed with its key: thousands in a moment. */
async function signer(
  cluster: ControlPlane,
  client: KubernetesClient,
): Promise<(pod: string, uid: string) => Promise<string>> {
  const example = await cluster.kubectl.run(['create', 'token', 'bot', '-n', namespace])
  const [header = '', payload = ''] = example
    .split('.')
    .map((part) => Buffer.from(part, 'base64url').toString())
  const { kid } = JSON.parse(header) as { kid: string }
  const { iss } = JSON.parse(payload) as { iss: string }
  const account = await client.get(serviceAccounts, 'bot', namespace)
  const pem = readFileSync(join(dirname(cluster.kubeconfig), 'certificates', 'service-accounts.key'), 'utf8')
  const key = await importPKCS8(pem, 'ES256')
  return async (name, uid) =>
    await new SignJWT({
      'kubernetes.io': {
        namespace,
        pod: { name, uid },
        serviceaccount: { name: 'bot', uid: account?.metadata.uid },
      },
    })
      .setProtectedHeader({ alg: 'ES256', kid })
      .setIssuer(iss)
      .setSubject(`system:serviceaccount:${namespace}:bot`)
      .setAudience('firebreak-control')
      .setIssuedAt()
      .setNotBefore('0s')
      .setExpirationTime('1h')
      .sign(key)
}

async function inParallel<T>(length: number, make: (index: number) => Promise<T>): Promise<T[]> {
  const made: T[] = []
  let next = 0
  const work = async (): Promise<void> => {
    for (let index = next++; index < length; index = next++) made[index] = await make(index)
  }
  await Promise.all(Array.from({ length: 20 }, work))
  return made
}

/** @returns what was counted once so many sidecars have taken a configuration, and nothing more comes. */
async function settled(count: () => Promise<Counted>, expected: number): Promise<Counted> {
  const responses: Record<string, number> = {}
  for (;;) {
    await delay(100)
    const counted = await count()
    for (const [type, some] of Object.entries(counted.responses))
      responses[type] = (responses[type] ?? 0) + some
    const quiet = Object.keys(counted.responses).length === 0
    if (quiet && (responses[typeUrls.agentConfiguration] ?? 0) >= expected)
      return { responses, lastAt: counted.lastAt }
  }
}

async function contained(client: KubernetesClient): Promise<void> {
  for (;;) {
    const { items } = await client.list(agentIdentities, { namespace })
    const all = items.every(({ status }) => status?.containedPods === podCount / agents)
    if (all) return
    await delay(100)
  }
}

function report(what: string, startedAt: number, { responses, lastAt }: Counted, pid: number): void {
  const pushes = Object.entries(responses).map(
    ([type, some]) => `${some} ${type.slice(type.lastIndexOf('.') + 1)}`,
  )
  console.log(
    `${what}: last acknowledgement after ${lastAt - startedAt} ms; pushes ${pushes.join(', ')}; operator ${residentMegabytes(pid)} MB`,
  )
}

/** Clock ticks are hundredths of a second on Linux. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function residentMegabytes(pid: number): number {
  const [, kilobytes = '0'] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Math.round(Number(kilobytes) / 1024)
}
