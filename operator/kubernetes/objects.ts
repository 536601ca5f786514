/** The kinds that the operator works with, and where the API server has them. */
import type { AgentIdentity, ApprovalRequest, GuardrailPolicy, ProtectedResource } from '@firebreak/crds'
import type {
  EventsV1Event,
  V1ConfigMap,
  V1Lease,
  V1MutatingWebhookConfiguration,
  V1Namespace,
  V1NetworkPolicyIngressRule,
  V1NetworkPolicyPeer,
  V1NetworkPolicySpec,
  V1ObjectMeta,
  V1OwnerReference,
  V1Pod,
  V1Secret,
  V1SelfSubjectReview,
  V1SubjectAccessReview,
  V1TokenReview,
  V1ValidatingWebhookConfiguration,
} from '@kubernetes/client-node'

export interface Metadata extends Omit<V1ObjectMeta, 'name' | 'creationTimestamp' | 'deletionTimestamp'> {
  name: string
  /** As in JSON: RFC 3339. */
  creationTimestamp?: string
  deletionTimestamp?: string
}

export interface KubernetesObject {
  apiVersion?: string
  kind?: string
  metadata: Metadata
}

/** A kind as it comes in JSON: with a name, and its times as text. */
export type Plain<T extends { metadata?: V1ObjectMeta }> = Omit<T, 'metadata'> & KubernetesObject

export interface ListOf<T> {
  readonly items: T[]
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string }
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly object: Pick<T & KubernetesObject, 'metadata'> }
  | {
      readonly type: 'ERROR'
      readonly object: { readonly code?: number; readonly reason?: string; readonly message?: string }
    }

export class Resource<T extends KubernetesObject> {
  readonly apiVersion: string
  readonly kind: string
  readonly plural: string
  /** Never there; makes resources of different kinds different types. */
  declare readonly object: T

  constructor(apiVersion: string, kind: string, plural: string) {
    this.apiVersion = apiVersion
    this.kind = kind
    this.plural = plural
  }

  path(namespace?: string, name?: string, subresource?: string): string {
    const root = this.apiVersion.includes('/') ? '/apis' : '/api'
    const parts = [
      this.apiVersion,
      ...(namespace === undefined ? [] : ['namespaces', encodeURIComponent(namespace)]),
      this.plural,
      ...(name === undefined ? [] : [encodeURIComponent(name)]),
      ...(subresource === undefined ? [] : [subresource]),
    ]
    return `${root}/${parts.join('/')}`
  }
}

const ours = 'firebreak.dev/v1alpha1'

export const agentIdentities = new Resource<AgentIdentity & KubernetesObject>(
  ours,
  'AgentIdentity',
  'agentidentities',
)
export const protectedResources = new Resource<ProtectedResource & KubernetesObject>(
  ours,
  'ProtectedResource',
  'protectedresources',
)
export const guardrailPolicies = new Resource<GuardrailPolicy & KubernetesObject>(
  ours,
  'GuardrailPolicy',
  'guardrailpolicies',
)
export const approvalRequests = new Resource<ApprovalRequest & KubernetesObject>(
  ours,
  'ApprovalRequest',
  'approvalrequests',
)
export const pods = new Resource<Plain<V1Pod>>('v1', 'Pod', 'pods')
export const secrets = new Resource<Plain<V1Secret>>('v1', 'Secret', 'secrets')
export const configMaps = new Resource<Plain<V1ConfigMap>>('v1', 'ConfigMap', 'configmaps')
export const leases = new Resource<Plain<V1Lease>>('coordination.k8s.io/v1', 'Lease', 'leases')
/** The generated type has `_from`, which is not what stands in JSON. */
type IngressRule = Omit<V1NetworkPolicyIngressRule, '_from'> & { from?: V1NetworkPolicyPeer[] }
export interface NetworkPolicy extends KubernetesObject {
  spec?: Omit<V1NetworkPolicySpec, 'ingress'> & { ingress?: IngressRule[] }
}
export const networkPolicies = new Resource<NetworkPolicy>(
  'networking.k8s.io/v1',
  'NetworkPolicy',
  'networkpolicies',
)
/** The generated type has its times as Date, which can't tell microseconds. */
export interface Event
  extends KubernetesObject,
    Pick<EventsV1Event, 'action' | 'note' | 'reason' | 'type' | 'regarding'> {
  reportingController: string
  reportingInstance: string
  /** RFC 3339 with microseconds. */
  eventTime: string
  /** From the second time on. */
  series?: { count: number; lastObservedTime: string }
}
export const events = new Resource<Event>('events.k8s.io/v1', 'Event', 'events')
export const namespaces = new Resource<Plain<V1Namespace>>('v1', 'Namespace', 'namespaces')
export const mutatingWebhooks = new Resource<Plain<V1MutatingWebhookConfiguration>>(
  'admissionregistration.k8s.io/v1',
  'MutatingWebhookConfiguration',
  'mutatingwebhookconfigurations',
)
export const subjectAccessReviews = new Resource<Plain<V1SubjectAccessReview>>(
  'authorization.k8s.io/v1',
  'SubjectAccessReview',
  'subjectaccessreviews',
)
/** Who asks. */
export const selfSubjectReviews = new Resource<Plain<V1SelfSubjectReview>>(
  'authentication.k8s.io/v1',
  'SelfSubjectReview',
  'selfsubjectreviews',
)
export const tokenReviews = new Resource<Plain<V1TokenReview>>(
  'authentication.k8s.io/v1',
  'TokenReview',
  'tokenreviews',
)
export const validatingWebhooks = new Resource<Plain<V1ValidatingWebhookConfiguration>>(
  'admissionregistration.k8s.io/v1',
  'ValidatingWebhookConfiguration',
  'validatingwebhookconfigurations',
)

/** The reference that has an object deleted with its owner, in the same namespace. */
export function ownerOf({
  apiVersion,
  kind,
  metadata: { name, uid = '' },
}: {
  apiVersion: string
  kind: string
  metadata: { name: string; uid?: string }
}): V1OwnerReference {
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true }
}
