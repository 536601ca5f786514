/** Where nobody may come but by way of a sidecar. */
import { BlockList, isIP } from 'node:net'
import { addressOf, type ProtectedResource } from '@firebreak/crds'
import { ApiError, type KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import { namespaces, pods } from '@firebreak/operator/kubernetes/objects.ts'
import { selectsLabels } from '@firebreak/operator/reconcile/selection.ts'
import { urlOf } from '../../probe/plan.ts'
import type { Destination } from './judge.ts'
import { verifyLabel } from './manifests.ts'

export interface Target {
  readonly resource: ProtectedResource
  /** The pods behind it, as far as the person may see them. */
  readonly pods: readonly Destination[]
  /** By its own name or address; only where there are pods behind it. */
  readonly itself: readonly Destination[]
}

export async function targetOf(client: KubernetesClient, resource: ProtectedResource): Promise<Target> {
  const { workload, type, address } = resource.spec
  if (!workload) return { resource, pods: [], itself: [] }
  const own = addressOf(resource)
  const port = workload.port ?? own.port
  const behind = await podsOf(client, resource)
  return {
    resource,
    pods: behind.map(({ host, name }) => ({
      url: urlOf({ host, port }, type),
      host,
      what: `its pod ${name} (${isIP(host) === 6 ? `[${host}]` : host}:${port})`,
    })),
    itself: [{ url: urlOf(own, type), host: own.host, what: address }],
  }
}

async function podsOf(
  client: KubernetesClient,
  { metadata, spec: { workload } }: ProtectedResource,
): Promise<{ host: string; name: string }[]> {
  if (!workload) return []
  const { podSelector, namespaceSelector } = workload
  const found = await Promise.all(
    (await namespacesOf(client, metadata.namespace, namespaceSelector)).map((namespace) =>
      asFarAsSeen(client.list(pods, { namespace })),
    ),
  )
  return found
    .flat()
    .filter(({ metadata: { labels = {} } }) => selectsLabels(podSelector, labels) && !(verifyLabel in labels))
    .flatMap(({ metadata: { name, namespace }, status }) =>
      (status?.phase === 'Running' ? (status.podIPs ?? []) : []).map(({ ip }) => ({
        host: ip,
        name: `${namespace}/${name}`,
      })),
    )
}

type Workload = NonNullable<ProtectedResource['spec']['workload']>

/** Most name the one namespace, and then nobody has to see all of them. */
async function namespacesOf(
  client: KubernetesClient,
  own: string,
  selector: Workload['namespaceSelector'],
): Promise<readonly string[]> {
  if (!selector) return [own]
  const named = selector.matchLabels?.['kubernetes.io/metadata.name']
  if (named !== undefined) return [named]
  return (await asFarAsSeen(client.list(namespaces)))
    .filter(({ metadata }) => selectsLabels(selector, metadata.labels ?? {}))
    .map(({ metadata }) => metadata.name)
}

/** None of what the person may not see: the address of the resource itself is tried anyway. */
async function asFarAsSeen<T>(listed: Promise<{ readonly items: readonly T[] }>): Promise<readonly T[]> {
  try {
    return (await listed).items
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return []
    throw error
  }
}

export interface Stranger {
  readonly namespace: string
  readonly namespaceLabels: Readonly<Record<string, string>>
  readonly addresses: readonly string[]
}

/** Whether a manifest lets in a pod that has none of the labels of others. */
export function letsIn({ spec: { workload } }: ProtectedResource, stranger: Stranger): boolean {
  return (workload?.alsoFrom ?? []).some(({ cidr, podSelector, namespaceSelector }) => {
    if (cidr !== undefined) return stranger.addresses.some((address) => contains(cidr, address))
    // without one it means the namespace of the pods behind the resource
    const fits = namespaceSelector
      ? selectsLabels(namespaceSelector, stranger.namespaceLabels)
      : !workload?.namespaceSelector
    return fits && (!podSelector || selectsLabels(podSelector, {}))
  })
}

function contains(cidr: string, address: string): boolean {
  const [network = '', prefix] = cidr.split('/')
  const family = (text: string): 'ipv4' | 'ipv6' => (isIP(text) === 6 ? 'ipv6' : 'ipv4')
  const range = new BlockList()
  range.addSubnet(network, Number(prefix), family(network))
  return range.check(address, family(address))
}
