/** All that the operator knows of the cluster. */
import type { Secret } from '@firebreak/crds'
import type { Objects } from '../compile/namespace.ts'
import { managed } from '../containment/names.ts'
import type { KubernetesClient, Selection } from '../kubernetes/client.ts'
import {
  agentIdentities,
  approvalRequests,
  guardrailPolicies,
  type KubernetesObject,
  namespaces,
  networkPolicies,
  pods,
  protectedResources,
  type Resource,
  secrets,
} from '../kubernetes/objects.ts'
import { Informer, type InformerSettings, type Key, keyOf, type Watched } from './informer.ts'
import { Joined } from './joined.ts'
import { type KnownPod, known } from './known-pod.ts'

/** Secrets that no credential is in, and of which clusters have many. */
const otherSecrets = ['helm.sh/release.v1', 'bootstrap.kubernetes.io/token']

export class World implements Disposable {
  readonly identities
  readonly resources
  readonly policies
  readonly approvals
  readonly secrets: Watched<(typeof secrets)['object']>
  readonly readsSecretsOf: (namespace: string) => boolean
  readonly pods
  readonly namespaces
  /** Only the operator's own. */
  readonly networkPolicies
  readonly #informers = new DisposableStack()

  /** @param secretNamespaces the only ones whose Secrets are read; all, when absent. */
  constructor(
    client: KubernetesClient,
    onFailure: (kind: string, error: Error) => void,
    secretNamespaces?: readonly string[],
  ) {
    this.readsSecretsOf = (namespace) => secretNamespaces?.includes(namespace) ?? true
    const watch = <T extends KubernetesObject>(
      resource: Resource<T>,
      selection: Selection = {},
      settings: InformerSettings<T> = {},
    ): Informer<T> => {
      const events = { failed: (error: Error) => onFailure(resource.kind, error) }
      return this.#informers.use(new Informer(client, resource, events, selection, settings))
    }
    this.identities = watch(agentIdentities)
    this.resources = watch(protectedResources)
    this.policies = watch(guardrailPolicies)
    this.approvals = watch(approvalRequests)
    const fieldSelector = otherSecrets.map((type) => `type!=${type}`).join(',')
    const secretsIn = (namespace: string) =>
      [namespace, watch(secrets, { namespace, fieldSelector })] as const
    this.secrets = secretNamespaces
      ? new Joined(secrets, new Map(secretNamespaces.map(secretsIn)))
      : watch(secrets, { fieldSelector })
    this.pods = watch<KnownPod>(pods, {}, { keep: known })
    this.namespaces = watch(namespaces)
    this.networkPolicies = watch(networkPolicies, {
      labelSelector: Object.entries(managed)
        .map(([name, value]) => `${name}=${value}`)
        .join(),
    })
  }

  get synced(): Promise<unknown> {
    return Promise.all(this.#all.map((informer) => informer.synced))
  }

  /** By kind, how often its watch had to be started again after a failure. */
  restarts(): [string, number][] {
    return this.#all.map(({ resource, restarts }) => [resource.kind, restarts])
  }

  get #all() {
    const { identities, resources, policies, approvals, pods, namespaces, networkPolicies } = this
    return [identities, resources, policies, approvals, this.secrets, pods, namespaces, networkPolicies]
  }

  objectsOf(namespace: string): Objects {
    return {
      identities: inNamespace(this.identities, namespace),
      resources: inNamespace(this.resources, namespace),
      policies: inNamespace(this.policies, namespace),
      secrets: inNamespace(this.secrets, namespace).map(decoded),
    }
  }

  [Symbol.dispose](): void {
    this.#informers.dispose()
  }
}

/** In the order of their names, so that equal worlds give equal results. */
export function inNamespace<T extends KubernetesObject>(informer: Watched<T>, namespace: string): T[] {
  return [...informer.list()]
    .filter(({ metadata }) => metadata.namespace === namespace)
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
}

export function keysIn<T extends KubernetesObject>(
  informer: Watched<T>,
  namespace: string | undefined,
): Key[] {
  return [...informer.list()].filter(({ metadata }) => metadata.namespace === namespace).map(keyOf)
}

function decoded({ metadata, data = {} }: (typeof secrets)['object']): Secret {
  const { name, namespace = '', uid, resourceVersion } = metadata
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace, ...(uid && { uid }), ...(resourceVersion && { resourceVersion }) },
    data: Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
    ),
  }
}

export type { Key }
