/** Who may reach the pods of a protected system: contained agents, and whom its manifest lists. */
import { type AgentIdentity, addressOf, type ProtectedResource } from '@firebreak/crds'
import type { V1NetworkPolicyPeer } from '@kubernetes/client-node'
import { type NetworkPolicy, ownerOf } from '../kubernetes/objects.ts'
import { agentPodLabels, managed, type OperatorPlace } from './names.ts'

/** Tells the NetworkPolicies of a resource, in whatever namespace. */
export function resourceLabels({ metadata: { namespace, name } }: ProtectedResource): Record<string, string> {
  return { ...managed, 'firebreak.dev/resource': name, 'firebreak.dev/resource-namespace': namespace }
}

/**
 * One NetworkPolicy for each namespace that the resource's pods may be in.
 *
 * @param identities those that may use the resource.
 */
export function resourceNetworkPolicies(
  resource: ProtectedResource,
  identities: readonly AgentIdentity[],
  namespaces: readonly string[],
  operator: OperatorPlace,
): NetworkPolicy[] {
  const { workload } = resource.spec
  if (!workload) return []
  const { podSelector, alsoFrom = [], port = addressOf(resource).port } = workload
  const { namespace: own, name } = resource.metadata
  const agents = identities.map(
    (identity): V1NetworkPolicyPeer => ({
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': own } },
      podSelector: { matchLabels: agentPodLabels(identity) },
    }),
  )
  return namespaces.map((namespace) => ({
    metadata: {
      name: namespace === own ? `firebreak-resource-${name}` : `firebreak-resource-${own}-${name}`,
      namespace,
      labels: resourceLabels(resource),
      // an owner has to be in the same namespace; elsewhere the resource's finalizer cleans up
      ...(namespace === own && { ownerReferences: [ownerOf(resource)] }),
    },
    spec: {
      policyTypes: ['Ingress'],
      podSelector,
      ingress: [
        { from: [...agents, operatorPods(operator)], ports: [{ protocol: 'TCP', port }] },
        ...(alsoFrom.length > 0 ? [{ from: alsoFrom.map(peerOf) }] : []),
      ],
    },
  }))
}

/** The operator tries whether the resource can be reached and its credentials are valid. */
function operatorPods({ namespace, podSelector }: OperatorPlace): V1NetworkPolicyPeer {
  return { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } }, podSelector }
}

type AlsoFrom = NonNullable<NonNullable<ProtectedResource['spec']['workload']>['alsoFrom']>[number]

function peerOf({ cidr, podSelector, namespaceSelector }: AlsoFrom): V1NetworkPolicyPeer {
  if (cidr !== undefined) return { ipBlock: { cidr } }
  return { ...(podSelector && { podSelector }), ...(namespaceSelector && { namespaceSelector }) }
}
