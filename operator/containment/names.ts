/** Labels, annotations and names that the operator gives. */
import type { AgentIdentity } from '@firebreak/crds'
import type { V1LabelSelector } from '@kubernetes/client-node'

export const labels = {
  /** On agent pods, by the webhook: the AgentIdentity's name. What the pod may reach hangs on it, so nobody else may set or change it. */
  agent: 'firebreak.dev/agent',
  /** On everything that the operator makes. */
  managedBy: 'app.kubernetes.io/managed-by',
} as const

/** On namespaces with agents, by the operator: only there are pods asked about. */
export const agentsLabel = 'firebreak.dev/agents'

/** On agents' pods, by the webhook. */
export const annotations = {
  /** The version of the parts that were injected. */
  injected: 'firebreak.dev/injected',
  /** The users that Envoy and the enforcer run as in this pod. */
  uids: 'firebreak.dev/uids',
  /** PEM of what the pod's clients trust for the cluster's own API. */
  authority: 'firebreak.dev/authority',
} as const

/** On a namespace: which namespaces' ProtectedResources may put NetworkPolicies on its pods. Separated by commas. */
export const resourcesFromAnnotation = 'firebreak.dev/resources-from'

export const managed = { [labels.managedBy]: 'firebreak' } as const

/** Addresses and ports behind the API server's Service: NetworkPolicies are about these. */
export interface ApiServerPlace {
  readonly cidrs: readonly string[]
  readonly ports: readonly number[]
}

/** The pods of the operator, as NetworkPolicies select them. */
export interface OperatorPlace {
  readonly namespace: string
  readonly podSelector: V1LabelSelector
  /** Of the configuration stream. */
  readonly port: number
  /** Of the cluster that this is. Absent: anywhere, on the ports that are usual. */
  readonly apiServer?: ApiServerPlace
}

export function agentPodLabels(identity: AgentIdentity): Record<string, string> {
  return { [labels.agent]: identity.metadata.name }
}
