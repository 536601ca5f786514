/** What containment costs in pods of a real cluster: time to start, and PostgreSQL through both ways of the sidecar. */
import { stringify } from 'yaml'
import { toStandardError } from '../e2e/cluster/progress.ts'
import { AgentPod, agentPod } from '../e2e/product/agent-pod.ts'
import { Product } from '../e2e/product/product.ts'
import { SupportBot } from '../e2e/product/support-bot.ts'
import { local } from '../e2e/providers/local.ts'
import { median } from './median.ts'

const rounds = 5
const script = '\\set id random(1, 2)\nSELECT total FROM orders WHERE id = :id;\n'
const scriptPath = '/tmp/read.sql'
const namespace = 'strangers'

/** @param seconds for each measurement. @throws Error when the machine can't carry a cluster. */
export async function benchPods(seconds: number): Promise<void> {
  await using cluster = await local.provide(toStandardError)
  await using product = await Product.install(cluster)
  await using supportBot = await SupportBot.deploy(product)
  await using stack = new AsyncDisposableStack()
  await product.kubectl('create', 'namespace', namespace)
  stack.defer(async () => void (await product.kubectl('delete', 'namespace', namespace)))

  const start = async (inNamespace: string, name: string): Promise<number> => {
    const spec = inNamespace === namespace ? { serviceAccountName: 'default' } : {}
    const began = performance.now()
    await cluster.kubectl.apply(stringify(agentPod(inNamespace, name, { spec })))
    await new AgentPod(cluster.kubectl, inNamespace, name).ready()
    return performance.now() - began
  }
  // images are unpacked with the first pod
  const starts = new Map<string, number[]>([
    ['without sidecars', []],
    ['contained', []],
  ])
  for (let round = 0; round <= rounds; round++)
    for (const [title, times] of starts) {
      const time = await start(title === 'contained' ? supportBot.namespace : namespace, `pod-${round}`)
      if (round > 0) times.push(time)
    }
  console.log(`\nfrom kubectl apply to a ready pod, median of ${rounds}`)
  for (const [title, times] of starts)
    console.log(`  ${title.padEnd(18)} ${(median(times) / 1_000).toFixed(1)} s`)

  await benchQueries(product, supportBot, seconds)
}

async function benchQueries(product: Product, supportBot: SupportBot, seconds: number): Promise<void> {
  const { kubectl } = product.cluster
  await kubectl.apply(stringify(admission(supportBot.databaseNamespace)))
  const agent = new AgentPod(kubectl, supportBot.namespace, 'pod-0')
  const stranger = new AgentPod(kubectl, namespace, 'pod-0')
  const [service = ''] = (await supportBot.databaseAddresses()).service
  const password = ['PGPASSWORD=the first password of reader', 'PGSSLMODE=require']
  const ways: readonly Way[] = [
    { title: 'direct', pod: stranger, where: ['-h', service, '-U', 'reader'], environment: password },
    { title: 'loopback listener', pod: agent, where: [], environment: [] },
    { title: 'captured', pod: agent, where: ['-h', service, '-p', '5432'], environment: [] },
  ]
  for (const { pod } of ways) await pod.run(['sh', '-c', `cat > ${scriptPath}`], { input: script })
  for (const clients of [1, 8]) {
    console.log(`\n${clients} clients, pgbench, simple protocol, median of 3`)
    const rates = new Map(ways.map((way): [Way, number[]] => [way, []]))
    for (let round = 0; round < 3; round++)
      for (const [way, measured] of rates) measured.push(await rateOf(way, clients, seconds))
    const [directly = 1] = [...rates.values()].map(median)
    for (const [{ title }, measured] of rates) {
      const rate = median(measured)
      const each = ((clients * 1_000) / rate).toFixed(2)
      console.log(
        `  ${title.padEnd(18)} ${Math.round(rate)} tps, ${each} ms, ${(rate / directly).toFixed(2)} of direct`,
      )
    }
  }
}

interface Way {
  readonly title: string
  readonly pod: AgentPod
  readonly where: readonly string[]
  readonly environment: readonly string[]
}

async function rateOf({ pod, where, environment }: Way, clients: number, seconds: number): Promise<number> {
  const load = ['-n', '-f', scriptPath, '-T', `${seconds}`, '-c', `${clients}`, '-j', '2', 'orders']
  const { stdout, stderr } = await pod.run(['env', ...environment, 'pgbench', ...where, ...load])
  const [, rate] = /tps = ([\d.]+)/.exec(stdout) ?? []
  if (rate === undefined) throw new Error(`pgbench measured nothing: ${stdout}${stderr}`)
  return Number(rate)
}

/** Lets the pods that aren't contained reach the database, for comparison. */
function admission(databaseNamespace: string): object {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'for-comparison', namespace: databaseNamespace },
    spec: {
      podSelector: {},
      ingress: [
        { from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } } }] },
      ],
    },
  }
}
