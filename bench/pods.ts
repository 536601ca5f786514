/** What containment costs a pod of a real cluster until it is ready. */
import { stringify } from 'yaml'
import { toStandardError } from '../e2e/cluster/progress.ts'
import { AgentPod, agentPod } from '../e2e/product/agent-pod.ts'
import { Product } from '../e2e/product/product.ts'
import { SupportBot } from '../e2e/product/support-bot.ts'
import { local } from '../e2e/providers/local.ts'
import { median } from './median.ts'

const rounds = 5
/** Of pods that nobody contains. */
const strangers = 'strangers'

/** @throws Error when the machine can't carry a cluster. */
export async function benchPods(): Promise<void> {
  await using cluster = await local.provide(toStandardError)
  await using product = await Product.install(cluster)
  await using supportBot = await SupportBot.deploy(product)
  await using stack = new AsyncDisposableStack()
  await product.kubectl('create', 'namespace', strangers)
  stack.defer(async () => void (await product.kubectl('delete', 'namespace', strangers)))

  const start = async (namespace: string, name: string): Promise<number> => {
    const spec = namespace === strangers ? { serviceAccountName: 'default' } : {}
    const began = performance.now()
    await cluster.kubectl.apply(stringify(agentPod(namespace, name, { spec })))
    await new AgentPod(cluster.kubectl, namespace, name).ready()
    return performance.now() - began
  }
  const starts = [
    { title: 'without sidecars', namespace: strangers, times: [] as number[] },
    { title: 'contained', namespace: supportBot.namespace, times: [] as number[] },
  ]
  // images are unpacked with the first pod
  for (let round = 0; round <= rounds; round++)
    for (const { namespace, times } of starts) {
      const time = await start(namespace, `pod-${round}`)
      if (round > 0) times.push(time)
    }
  console.log(`\nfrom kubectl apply to a ready pod, median of ${rounds}`)
  for (const { title, times } of starts)
    console.log(`  ${title.padEnd(18)} ${(median(times) / 1_000).toFixed(1)} s`)
}
