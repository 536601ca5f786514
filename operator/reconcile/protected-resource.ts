/** ProtectedResource: its NetworkPolicies, and whether it can be reached with the credentials that its roles refer to. */
import type { ProtectedResource, ProtectedResourceStatus } from '@firebreak/crds'
import { type OperatorPlace, resourcesFromAnnotation } from '../containment/names.ts'
import { resourceLabels, resourceNetworkPolicies } from '../containment/resource-network-policy.ts'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import { type KubernetesObject, protectedResources } from '../kubernetes/objects.ts'
import { keyOf } from '../watch/informer.ts'
import { inNamespace, type Key, keysIn, type World } from '../watch/world.ts'
import { conditionsFor, type Finding } from './conditions.ts'
import { type Controller, watching, watchingSpec } from './controller.ts'
import type { Recorder } from './event-recorder.ts'
import { applyNetworkPolicies } from './network-policies.ts'
import { selectsLabels } from './selection.ts'
import { writeStatus } from './status.ts'

/** Owners have to be in the same namespace as what they own; what is elsewhere is cleaned up before the resource goes. */
export const resourceFinalizer = 'firebreak.dev/network-policies'
/** How often a resource that hasn't changed is tried again, in milliseconds. */
const probeEvery = 300_000
const probeAgainAfterFailure = 30_000

/** Tries to reach a resource as each of its roles. */
export type Probe = (resource: ProtectedResource, world: World) => Promise<readonly Finding[]>

export function protectedResourceController(
  world: World,
  probe: Probe,
  operator: OperatorPlace,
  client: KubernetesClient,
  recorder: Recorder,
): Controller {
  const allOf = (namespace: string | undefined): Key[] => keysIn(world.resources, namespace)
  return {
    name: 'ProtectedResource',
    watches: [
      watchingSpec(world.resources),
      watchingSpec(world.identities, ({ metadata: { namespace } }) => allOf(namespace)),
      watching(world.secrets, ({ metadata: { namespace } }) => allOf(namespace)),
      watching(world.namespaces, () =>
        [...world.resources.list()].filter(({ spec }) => spec.workload?.namespaceSelector).map(keyOf),
      ),
      watching(world.networkPolicies, ({ metadata: { labels = {} } }) => {
        const [name, namespace] = [
          labels['firebreak.dev/resource'],
          labels['firebreak.dev/resource-namespace'],
        ]
        return name === undefined ? [] : [`${namespace}/${name}`]
      }),
    ],
    async reconcile(key) {
      const resource = world.resources.get(key)
      if (!resource) return undefined
      const { namespace, name, generation, deletionTimestamp, finalizers = [] } = resource.metadata
      const belonging = { labels: resourceLabels(resource) }
      if (deletionTimestamp !== undefined) {
        await applyNetworkPolicies(client, world, [], belonging)
        if (finalizers.includes(resourceFinalizer)) await release(resource, client)
        return undefined
      }
      const places = placesOf(resource, world)
      const elsewhere = places.agreed.some((place) => place !== namespace)
      if (elsewhere && !finalizers.includes(resourceFinalizer))
        await client.merge(protectedResources, name, namespace, {
          metadata: {
            finalizers: [...finalizers, resourceFinalizer],
            resourceVersion: resource.metadata.resourceVersion,
          },
        })
      const identities = inNamespace(world.identities, namespace).filter(({ spec: { access = [] } }) =>
        access.some((access) => access.resource === name),
      )
      await applyNetworkPolicies(
        client,
        world,
        resourceNetworkPolicies(resource, identities, places.agreed, operator),
        belonging,
      )
      const findings = [
        ...(resource.spec.workload ? [shielded(places)] : []),
        ...(await probe(resource, world)),
      ]
      const status: ProtectedResourceStatus = {
        ...(generation !== undefined && { observedGeneration: generation }),
        conditions: conditionsFor(
          findings,
          generation,
          resource.status?.conditions,
          new Date().toISOString(),
        ),
      }
      await writeStatus(client, recorder, protectedResources, resource, status)
      return findings.every((finding) => finding.status === 'True') ? probeEvery : probeAgainAfterFailure
    },
  }
}

/** Lets the API server delete it. */
async function release(
  { metadata }: ProtectedResource & KubernetesObject,
  client: KubernetesClient,
): Promise<void> {
  const { name, namespace, finalizers = [] } = metadata
  try {
    await client.merge(protectedResources, name, namespace, {
      metadata: { finalizers: finalizers.filter((each) => each !== resourceFinalizer) },
    })
  } catch (error) {
    // it is gone already, and the watch has not told yet
    if (!(error instanceof ApiError && error.status === 404)) throw error
  }
}

interface Places {
  readonly agreed: readonly string[]
  /** Selected, but without the annotation by which a namespace lets others' resources shield its pods. */
  readonly refused: readonly string[]
}

function placesOf({ spec: { workload }, metadata }: ProtectedResource, world: World): Places {
  if (!workload) return { agreed: [], refused: [] }
  const { namespaceSelector } = workload
  if (!namespaceSelector) return { agreed: [metadata.namespace], refused: [] }
  const selected = [...world.namespaces.list()].filter(
    (namespace) =>
      !namespace.metadata.deletionTimestamp &&
      selectsLabels(namespaceSelector, namespace.metadata.labels ?? {}),
  )
  const agrees = (namespace: (typeof selected)[number]): boolean =>
    namespace.metadata.name === metadata.namespace ||
    (namespace.metadata.annotations?.[resourcesFromAnnotation] ?? '')
      .split(',')
      .some((each) => each.trim() === metadata.namespace)
  const namesOf = (some: typeof selected): string[] => some.map((namespace) => namespace.metadata.name).sort()
  return {
    agreed: namesOf(selected.filter(agrees)),
    refused: namesOf(selected.filter((namespace) => !agrees(namespace))),
  }
}

function shielded({ agreed, refused }: Places): Finding {
  const type = 'Shielded'
  if (refused.length > 0)
    return {
      type,
      status: 'False',
      reason: 'NamespaceDoesNotAgree',
      message: `namespace ${refused.join(', ')} needs the annotation ${resourcesFromAnnotation} with this namespace in it`,
    }
  if (agreed.length === 0)
    return { type, status: 'False', reason: 'NoNamespace', message: 'namespaceSelector selects no namespace' }
  return {
    type,
    status: 'True',
    reason: 'Applied',
    message: `ingress is limited by a NetworkPolicy in ${agreed.join(', ')}`,
  }
}
