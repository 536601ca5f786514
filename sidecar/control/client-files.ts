/** Files in an agent's pod by which its clients find what is protected. The agent reads them, and can't write there. */
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isOwnCluster } from '@firebreak/crds'
import type { QualifiedName } from '@firebreak/policy'
import type { Configuration } from '../configuration/configuration.ts'
import { nameOf } from '../configuration/name.ts'

/** A Kubernetes API behind a listener of this pod. */
export interface GuardedCluster {
  readonly name: string
  readonly port: number
  /** That the agent may use; the first is used where none is asked for. */
  readonly roles: readonly string[]
  /** The namespace of clients that name none. */
  readonly namespace?: string
}

export class ClientFiles {
  readonly #directory: string
  readonly #written = new Map<string, string>()

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Replaces the file in one step; clients may be reading it. @throws the system's error. */
  async write(name: string, text: string): Promise<void> {
    if (this.#written.get(name) === text) return
    const path = join(this.#directory, name)
    // what a process that was killed left there
    await rm(`${path}.new`, { force: true })
    await writeFile(`${path}.new`, text, { mode: 0o444, flag: 'wx' })
    await rename(`${path}.new`, path)
    this.#written.set(name, text)
  }
}

/** The Kubernetes APIs of an agent, in the order of its access. @param portOf the listener of a resource. */
export function guardedClusters(
  { manifests: { identities, resources } }: Configuration,
  agent: QualifiedName,
  portOf: (resource: string) => number | undefined,
): GuardedCluster[] {
  const identity = identities.find((candidate) => nameOf(candidate) === agent)
  return (identity?.spec.access ?? []).flatMap(({ resource: name, roles }) => {
    const resource = resources.find(({ metadata }) => metadata.name === name)
    const port = portOf(name)
    if (resource?.spec.type !== 'kubernetes' || port === undefined) return []
    const { namespace } = resource.metadata
    return [{ name, port, roles, ...(isOwnCluster(resource) && { namespace }) }]
  })
}

/**
 * A context for each cluster, and where there are several roles one for each as well: `shop`, `shop/viewer`. It holds no
 * credential: being in the pod says who asks, and the user name says as which role.
 */
export function kubeconfigFor(clusters: readonly GuardedCluster[]): string {
  const contexts = clusters.flatMap(contextsOf)
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: clusters.map(({ name, port }) => ({
        name,
        cluster: { server: `http://127.0.0.1:${port}` },
      })),
      users: contexts.map(({ context, role }) => ({ name: context.user, user: { username: role } })),
      contexts: contexts.map(({ name, context }) => ({ name, context })),
      'current-context': contexts[0]?.name ?? '',
    },
    undefined,
    2,
  )}\n`
}

interface Context {
  readonly name: string
  readonly role: string
  readonly context: { readonly cluster: string; readonly user: string; readonly namespace?: string }
}

function contextsOf({ name: cluster, roles, namespace }: GuardedCluster): Context[] {
  const contextOf = (name: string, role: string): Context => ({
    name,
    role,
    context: { cluster, user: name, ...(namespace !== undefined && { namespace }) },
  })
  const [first] = roles
  if (first === undefined) return []
  const named = roles.length > 1 ? roles.map((role) => contextOf(`${cluster}/${role}`, role)) : []
  return [contextOf(cluster, first), ...named]
}
