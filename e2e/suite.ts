/** Tests that need a cluster with nodes share one, which starts before the first of them and ends with the process. */
import { canHaveNodes } from './cluster/cluster.ts'
import { toStandardError } from './cluster/progress.ts'
import { existing } from './providers/existing.ts'
import { local } from './providers/local.ts'
import type { ClusterProvider, TestCluster } from './providers/provider.ts'

const providers: Readonly<Record<string, ClusterProvider>> = {
  local,
  existing,
  // its library takes a second to load
  k3s: { provide: async (progress) => (await import('./providers/k3s.ts')).k3s.provide(progress) },
}

let shared: Promise<TestCluster> | undefined

/**
 * A describe() whose tests run on a cluster: the one that FIREBREAK_CLUSTER says (local, existing or k3s), or the machine's
 * own when it isn't set. Where the machine can't carry one, there are no such tests.
 */
export function describeOnCluster(title: string, define: (cluster: () => TestCluster) => void): void {
  const provider = chooseProvider()
  if (provider === undefined) return
  describe(title, () => {
    let cluster: TestCluster | undefined

    before(async function () {
      // the first run on a machine compiles Kubernetes and makes the images
      this.timeout('60m')
      if (shared === undefined) process.once('beforeExit', endSharedCluster)
      shared ??= provider.provide(toStandardError)
      cluster = await shared
    })

    define(() => {
      if (cluster === undefined)
        throw new Error('The cluster is there in hooks and tests, not while they are defined')
      return cluster
    })
  })
}

/** For tests of the cluster's own start and end; the next suite starts another. */
export async function endSharedCluster(): Promise<void> {
  const ending = shared
  shared = undefined
  await (await ending?.catch(() => undefined))?.[Symbol.asyncDispose]()
}

function chooseProvider(): ClusterProvider | undefined {
  const choice = process.env.FIREBREAK_CLUSTER
  if (choice === undefined) return canHaveNodes() ? local : undefined
  const provider = providers[choice]
  if (provider === undefined)
    throw new Error(`FIREBREAK_CLUSTER must be one of ${Object.keys(providers).join(', ')}`)
  return provider
}
