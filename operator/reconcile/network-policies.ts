import { isDeepStrictEqual } from 'node:util'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { type NetworkPolicy, networkPolicies } from '../kubernetes/objects.ts'
import { keyOf } from '../watch/informer.ts'
import type { World } from '../watch/world.ts'

export interface Belonging {
  readonly labels: Readonly<Record<string, string>>
  /** Absent: in all namespaces. */
  readonly namespace?: string
}

/** Makes the NetworkPolicies that belong to an object be exactly those that are wanted. */
export async function applyNetworkPolicies(
  client: KubernetesClient,
  world: Pick<World, 'networkPolicies'>,
  wanted: readonly NetworkPolicy[],
  { labels, namespace }: Belonging,
): Promise<void> {
  for (const policy of wanted) {
    const known = world.networkPolicies.get(keyOf(policy))
    if (!known || !isAsWanted(known, policy)) await client.apply(networkPolicies, policy)
  }
  const keys = new Set(wanted.map(keyOf))
  for (const policy of world.networkPolicies.list()) {
    const { metadata } = policy
    const belongs =
      (namespace === undefined || metadata.namespace === namespace) &&
      Object.entries(labels).every(([name, value]) => metadata.labels?.[name] === value)
    if (belongs && !keys.has(keyOf(policy)))
      await client.delete(networkPolicies, metadata.name, metadata.namespace)
  }
}

function isAsWanted(known: NetworkPolicy, wanted: NetworkPolicy): boolean {
  return isDeepStrictEqual(known.spec, JSON.parse(JSON.stringify(wanted.spec)))
}
