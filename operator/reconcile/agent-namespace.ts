/** Namespaces with agents carry a label, by which the API server knows where to ask about pods. */
import { agentsLabel } from '../containment/names.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { namespaces } from '../kubernetes/objects.ts'
import type { World } from '../watch/world.ts'
import { type Controller, watching, watchingSpec } from './controller.ts'

export function agentNamespaceController(world: World, client: KubernetesClient): Controller {
  return {
    name: 'Namespace',
    watches: [
      watching(world.namespaces),
      watchingSpec(world.identities, ({ metadata: { namespace } }) => [namespace]),
    ],
    async reconcile(name) {
      const namespace = world.namespaces.get(name)
      if (!namespace || namespace.metadata.deletionTimestamp) return undefined
      const hasAgents = [...world.identities.list()].some(({ metadata }) => metadata.namespace === name)
      const label = namespace.metadata.labels?.[agentsLabel]
      if ((label === 'true') === hasAgents) return undefined
      await client.merge(namespaces, name, undefined, {
        metadata: { labels: { [agentsLabel]: hasAgents ? 'true' : null } },
      })
      return undefined
    },
  }
}
