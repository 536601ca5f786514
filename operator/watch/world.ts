/** All that the operator knows of the cluster. */
import type { Secret } from '@firebreak/crds'
import type { Objects } from '../compile/namespace.ts'
import { managed } from '../containment/names.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import {
  agentIdentities,
  guardrailPolicies,
  type KubernetesObject,
  namespaces,
  networkPolicies,
  pods,
  protectedResources,
  type Resource,
  secrets,
} from '../kubernetes/objects.ts'
import { Informer, type Key, keyOf } from './informer.ts'

/** Secrets that no credential is in, and of which clusters have many. */
const otherSecrets = [
  'helm.sh/release.v1',
  'kubernetes.io/service-account-token',
  'bootstrap.kubernetes.io/token',
]

export class World implements Disposable {
  readonly identities
  readonly resources
  readonly policies
  readonly secrets
  readonly pods
  readonly namespaces
  /** Only the operator's own. */
  readonly networkPolicies
  readonly #informers = new DisposableStack()

  constructor(client: KubernetesClient, onFailure: (kind: string, error: Error) => void) {
    const watch = <T extends KubernetesObject>(
      resource: Resource<T>,
      selection: { labelSelector?: string; fieldSelector?: string } = {},
    ): Informer<T> => {
      const events = { failed: (error: Error) => onFailure(resource.kind, error) }
      return this.#informers.use(new Informer(client, resource, events, selection))
    }
    this.identities = watch(agentIdentities)
    this.resources = watch(protectedResources)
    this.policies = watch(guardrailPolicies)
    this.secrets = watch(secrets, {
      fieldSelector: otherSecrets.map((type) => `type!=${type}`).join(','),
    })
    this.pods = watch(pods)
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
    const { identities, resources, policies, pods, namespaces, networkPolicies } = this
    return [identities, resources, policies, this.secrets, pods, namespaces, networkPolicies]
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
export function inNamespace<T extends KubernetesObject>(informer: Informer<T>, namespace: string): T[] {
  return [...informer.list()]
    .filter(({ metadata }) => metadata.namespace === namespace)
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
}

export function keysIn<T extends KubernetesObject>(
  informer: Informer<T>,
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
