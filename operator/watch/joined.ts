import type { KubernetesObject, Resource } from '../kubernetes/objects.ts'
import type { Informer, Key, Listener, Watched } from './informer.ts'

/** The objects of one kind in some namespaces, each watched for itself, as if they were watched at once. */
export class Joined<T extends KubernetesObject> implements Watched<T> {
  readonly resource: Resource<T>
  readonly synced: Promise<void>
  readonly #byNamespace: ReadonlyMap<string, Informer<T>>

  constructor(resource: Resource<T>, byNamespace: ReadonlyMap<string, Informer<T>>) {
    this.resource = resource
    this.#byNamespace = byNamespace
    this.synced = Promise.all([...byNamespace.values()].map(({ synced }) => synced)).then(() => {})
  }

  get restarts(): number {
    return [...this.#byNamespace.values()].reduce((sum, { restarts }) => sum + restarts, 0)
  }

  get(key: Key): T | undefined {
    const [namespace = ''] = key.split('/')
    return this.#byNamespace.get(namespace)?.get(key)
  }

  *list(): Iterable<T> {
    for (const informer of this.#byNamespace.values()) yield* informer.list()
  }

  onChange(listener: Listener<T>): void {
    for (const informer of this.#byNamespace.values()) informer.onChange(listener)
  }
}
