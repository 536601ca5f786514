/** From a person's decision to the held command, while many requests are open: a real API server, two replicas of the operator. */
import { setTimeout as delay } from 'node:timers/promises'
import { KubernetesClient } from '../operator/kubernetes/client.ts'
import { approvalRequests } from '../operator/kubernetes/objects.ts'
import { kubeConfigOf } from '../test/api-server.ts'
import {
  type ApprovalClient,
  approvalClient,
  decoded,
  encoded,
  heldCommand,
} from '../test/approval-client.ts'
import { ApprovalCluster, namespace } from '../test/approval-cluster.ts'

const open = 500
const oneByOne = 300
const together = 25

export async function benchApprovals(): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await ApprovalCluster.start())
  await cluster.makePod('bot-1')
  const token = await cluster.tokenOf('bot-1')
  const sidecar = approvalClient(cluster.controlPort, cluster.controlCa, token)
  const alice = cluster.users.get('alice')
  if (!alice) throw new Error('there is no alice')
  const person = stack.use(new KubernetesClient(kubeConfigOf(alice)))
  const approved = new Map<string, () => void>()
  const stop = new AbortController()
  const following = follow(sidecar, approved, stop.signal)
  const waiting: string[] = []
  const ask = async (): Promise<void> => {
    const request = heldCommand(`DELETE FROM carts WHERE id = ${Math.random()}`)
    await sidecar.client.ask({ request: encoded(request) }, sidecar.options)
    waiting.push(request.metadata.name)
  }
  const asking = performance.now()
  for (let index = 0; index < open; index++) await ask()
  console.log(`${open} requests asked in ${Math.round(performance.now() - asking)} ms, one after the other`)
  /** @returns from the approver's patch on: until the sidecar knows, and until it may go. In milliseconds. */
  const decide = async (): Promise<readonly [told: number, used: number]> => {
    const name = waiting.shift() ?? ''
    const told = new Promise<void>((resolve) => approved.set(name, resolve))
    const at = performance.now()
    const patched = person.merge(approvalRequests, name, namespace, { spec: { decision: 'Approved' } })
    await told
    const known = performance.now() - at
    const { used } = await sidecar.client.use({ name, claim: name }, sidecar.options)
    if (!used) throw new Error(`${name} could not be used`)
    const gone = performance.now() - at
    await patched
    return [known, gone]
  }
  const measured: (readonly [number, number])[] = []
  for (let index = 0; index < oneByOne; index++) {
    measured.push(await decide())
    await ask()
    // the operator lets an agent make so many a minute
    await delay(20)
  }
  report(`${oneByOne} decisions, one by one`, measured)
  const burst: (readonly [number, number])[] = []
  for (let round = 0; round < 8; round++)
    burst.push(...(await Promise.all(Array.from({ length: together }, decide))))
  report(`${burst.length} decisions, ${together} at a time`, burst)
  stop.abort()
  await following
}

async function follow(
  { client, options }: ApprovalClient,
  approved: Map<string, () => void>,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const { news } of client.follow({}, { ...options, signal })) {
      if (news.case !== 'request') continue
      const { metadata, status } = decoded(news.value)
      if (status?.state === 'Approved') approved.get(metadata.name)?.()
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

function report(what: string, measured: readonly (readonly [number, number])[]): void {
  console.log(`${what}, with ${open} requests open; milliseconds from the approver's patch on`)
  for (const [index, until] of ['the sidecar knows', 'its use is written, and the command goes'].entries()) {
    const sorted = measured.map((each) => each[index] ?? 0).sort((a, b) => a - b)
    const at = (share: number): string => (sorted[Math.ceil(sorted.length * share) - 1] ?? 0).toFixed(0)
    console.log(`  until ${until}: p50 ${at(0.5)}, p95 ${at(0.95)}, p99 ${at(0.99)}, worst ${at(1)}`)
  }
}
