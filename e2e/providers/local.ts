/** The cluster of this machine: the one that `npm run cluster -- up` started, or one that ends with the tests. */
import { findCluster, startCluster } from '../cluster/cluster.ts'
import type { ClusterProvider } from './provider.ts'

export const local: ClusterProvider = {
  async provide(progress) {
    const running = await findCluster()
    if (running !== undefined)
      return { ...running, machinery: running, [Symbol.asyncDispose]: async () => {} }
    const own = await startCluster({ progress })
    return { ...own, machinery: own }
  },
}
