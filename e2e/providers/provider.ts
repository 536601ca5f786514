/** Clusters for end-to-end tests, wherever they come from. */

import type { Subject } from '../../operator/certificates/authority.ts'
import type { Cluster } from '../cluster/cluster.ts'
import type { User } from '../cluster/control-plane/start.ts'
import type { Kubectl } from '../cluster/kubectl.ts'
import type { Progress } from '../cluster/progress.ts'

export interface TestCluster extends AsyncDisposable {
  /** Path of the administrator's kubeconfig. */
  readonly kubeconfig: string
  /** The administrator's. */
  readonly kubectl: Kubectl
  /** Someone who may do what RBAC grants them. */
  user(subject: Subject): Promise<User>
  /** A service account, by a token for this audience (the API server's own when none is given). */
  serviceAccount(namespace: string, name: string, audience?: string): Promise<User>
  /** Makes the images of an archive (OCI layout or docker save) available to pods. */
  loadImage(archive: string): Promise<void>
  /** The cluster's own processes and nodes, for tests that break them; only where the cluster runs on this machine. */
  readonly machinery: Cluster | undefined
}

export interface ClusterProvider {
  /** @throws with what is missing when it can't be had. */
  provide(progress: Progress): Promise<TestCluster>
}
