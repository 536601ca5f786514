/** What leaves an agent's pod, as far as NetworkPolicies can say it: the layer behind the rules in the pod. */
import { isIP } from 'node:net'
import { type AgentIdentity, addressOf, isOwnCluster, type ProtectedResource } from '@firebreak/crds'
import type { V1LabelSelector, V1NetworkPolicyEgressRule, V1NetworkPolicyPeer } from '@kubernetes/client-node'
import { type NetworkPolicy, ownerOf } from '../kubernetes/objects.ts'
import type { Destination } from '../records/records.ts'
import { agentPodLabels, labels, managed, type OperatorPlace } from './names.ts'

const anywhere: V1NetworkPolicyPeer[] = [{ ipBlock: { cidr: '0.0.0.0/0' } }, { ipBlock: { cidr: '::/0' } }]

/**
 * NetworkPolicies know addresses and pods, not names: a destination outside the cluster that is known by its name is
 * open on its port. The rules in the pod are narrower.
 *
 * @param records where the sidecars' recordings and audit lines go.
 */
export function agentNetworkPolicies(
  identity: AgentIdentity,
  resources: readonly ProtectedResource[],
  operator: OperatorPlace,
  records: readonly Destination[] = [],
): NetworkPolicy[] {
  const { name, namespace } = identity.metadata
  const egress = [
    clusterDns,
    to([podsIn(operator.namespace, operator.podSelector)], [operator.port]),
    ...resources.map((resource) => toResource(resource, operator)),
    ...resources.flatMap(credentialSources).map(toHost),
    ...records.map(toHost),
    ...(identity.spec.egress ?? []).map(({ cidr, port }) =>
      to(cidr === undefined ? anywhere : [{ ipBlock: { cidr } }], [port]),
    ),
  ]
  const policy = (suffix: string, spec: NonNullable<NetworkPolicy['spec']>): NetworkPolicy => ({
    metadata: {
      name: `firebreak-agent-${name}${suffix}`,
      namespace,
      labels: { ...managed, [labels.agent]: name },
      ownerReferences: [ownerOf(identity)],
    },
    spec: { policyTypes: ['Egress'], ...spec },
  })
  const injected = policy('', { podSelector: { matchLabels: agentPodLabels(identity) }, egress })
  const selector = identity.spec.workload?.podSelector
  if (!selector) return [injected]
  // the same workload without the sidecar: it would have slipped through admission, and reaches nothing. The API server
  // keeps no empty list of rules: with one, what is stored would never be as wanted
  const uninjected = policy('-uninjected', {
    podSelector: {
      ...selector,
      matchExpressions: [
        ...(selector.matchExpressions ?? []),
        { key: labels.agent, operator: 'DoesNotExist' },
      ],
    },
  })
  return [injected, uninjected]
}

const clusterDns: V1NetworkPolicyEgressRule = {
  to: [
    {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
      podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
    },
  ],
  ports: [
    { protocol: 'UDP', port: 53 },
    { protocol: 'TCP', port: 53 },
  ],
}

function toResource(resource: ProtectedResource, { apiServer }: OperatorPlace): V1NetworkPolicyEgressRule {
  // it runs in no pod that could be selected, and its Service leads to other ports
  if (isOwnCluster(resource))
    return apiServer
      ? to(
          apiServer.cidrs.map((cidr) => ({ ipBlock: { cidr } })),
          apiServer.ports,
        )
      : to(anywhere, [443, 6443])

  const { port } = addressOf(resource)
  const { workload } = resource.spec
  if (workload) {
    const { podSelector, namespaceSelector, port: podPort = port } = workload
    const peer = namespaceSelector
      ? { podSelector, namespaceSelector }
      : podsIn(resource.metadata.namespace, podSelector)
    return to([peer], [podPort])
  }
  return toHost(addressOf(resource))
}

/** Where sidecars get what the resource takes: its token endpoint, and vaults. */
function credentialSources({ spec: { http, roles } }: ProtectedResource): Destination[] {
  const tokenUrl = http?.authentication?.oauth2?.tokenUrl
  const vaults = roles.flatMap(({ credential }) => credential?.http?.url ?? [])
  const urls = [...(tokenUrl === undefined ? [] : [tokenUrl]), ...vaults]
  // what is no URL nobody can be asked at
  return urls
    .filter((url) => URL.canParse(url))
    .map((url) => {
      const { hostname, port, protocol } = new URL(url)
      return {
        host: hostname.replace(/^\[|\]$/g, ''),
        port: Number(port || (protocol === 'https:' ? 443 : 80)),
      }
    })
}

function toHost({ host, port }: Destination): V1NetworkPolicyEgressRule {
  const family = isIP(host)
  return to(family === 0 ? anywhere : [{ ipBlock: { cidr: `${host}/${family === 4 ? 32 : 128}` } }], [port])
}

function podsIn(namespace: string, podSelector: V1LabelSelector): V1NetworkPolicyPeer {
  return { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } }, podSelector }
}

function to(peers: V1NetworkPolicyPeer[], ports: readonly number[]): V1NetworkPolicyEgressRule {
  return { to: peers, ports: ports.map((port) => ({ protocol: 'TCP', port })) }
}
