/** What the enforcer needs to know of Kubernetes' objects (API reference, v1 and networking.k8s.io/v1). */

export type Labels = Readonly<Record<string, string>>

export interface LabelSelector {
  readonly matchLabels?: Labels
  readonly matchExpressions?: readonly LabelRequirement[]
}

interface LabelRequirement {
  readonly key: string
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
  readonly values?: readonly string[]
}

export interface Pod {
  readonly metadata: {
    readonly namespace: string
    readonly name: string
    readonly uid: string
    readonly labels?: Labels
  }
  readonly spec: {
    readonly nodeName?: string
    readonly hostNetwork?: boolean
    readonly containers: readonly Container[]
    readonly initContainers?: readonly Container[]
  }
  readonly status: {
    readonly phase?: string
    readonly podIPs?: readonly { readonly ip: string }[]
  }
}

interface Container {
  readonly ports?: readonly {
    readonly name?: string
    readonly containerPort: number
    readonly protocol?: Protocol
  }[]
}

export type Protocol = 'TCP' | 'UDP' | 'SCTP'

export interface Namespace {
  readonly metadata: { readonly name: string; readonly labels?: Labels }
}

export interface NetworkPolicy {
  readonly metadata: { readonly namespace: string; readonly name: string }
  readonly spec: {
    readonly podSelector: LabelSelector
    readonly policyTypes?: readonly Direction[]
    readonly ingress?: readonly { readonly from?: readonly Peer[]; readonly ports?: readonly Port[] }[]
    readonly egress?: readonly { readonly to?: readonly Peer[]; readonly ports?: readonly Port[] }[]
  }
}

export type Direction = 'Ingress' | 'Egress'

export interface Peer {
  readonly podSelector?: LabelSelector
  readonly namespaceSelector?: LabelSelector
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] }
}

export interface Port {
  readonly protocol?: Protocol
  /** A number, or the name of a container's port. */
  readonly port?: number | string
  readonly endPort?: number
}

/** Everything at one moment. */
export interface ClusterState {
  readonly pods: readonly Pod[]
  readonly namespaces: readonly Namespace[]
  readonly policies: readonly NetworkPolicy[]
}

export function selects(selector: LabelSelector, labels: Labels = {}): boolean {
  const exact = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value)
  return exact && (selector.matchExpressions ?? []).every((requirement) => meets(requirement, labels))
}

function meets({ key, operator, values = [] }: LabelRequirement, labels: Labels): boolean {
  const value = labels[key]
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
  }
}
