/** The objects of one kind as they are now, kept up by list and watch. */
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { ApiError, type KubernetesClient, type Selection } from '../kubernetes/client.ts'
import type { KubernetesObject, Resource } from '../kubernetes/objects.ts'

/** `namespace/name`, or the name alone where there is no namespace. */
export type Key = string

export function keyOf({ metadata: { namespace, name } }: KubernetesObject): Key {
  return namespace ? `${namespace}/${name}` : name
}

/** @param before undefined when it is new. @param now undefined when it is gone. */
export type Listener<T> = (key: Key, now: T | undefined, before: T | undefined) => void

/**
 * Whether the two differ in nothing but the status and the API server's books. Where there is no generation, nothing
 * is known of that. https://kubernetes.io/docs/reference/using-api/api-concepts/
 */
export function differInStatusOnly(before: KubernetesObject, now: KubernetesObject): boolean {
  const fixed = ({ metadata }: KubernetesObject): unknown[] => [
    metadata.uid,
    metadata.generation,
    metadata.labels,
    metadata.annotations,
    metadata.finalizers,
    metadata.deletionTimestamp,
  ]
  return now.metadata.generation !== undefined && isDeepStrictEqual(fixed(before), fixed(now))
}

/** A server sends a bookmark every minute; a watch that says nothing for longer is dead, whatever the connection says. */
const longestSilence = 90_000
const firstBackoff = 500
const maximumBackoff = 30_000

export interface InformerEvents {
  /** The watch ended by a failure, and starts again; it does so for as long as the informer lives. */
  readonly failed: (error: Error) => void
}

export interface InformerSettings<T> {
  /** What is kept of an object; all but the API server's books, when absent. */
  readonly keep?: (object: T) => T
  /** In milliseconds. */
  readonly quietFor?: number
}

/** The objects of one kind as they are now. */
export interface Watched<T extends KubernetesObject> {
  readonly resource: Resource<T>
  /** Resolves when the objects were listed for the first time. */
  readonly synced: Promise<void>
  /** How often a watch had to be started again after a failure. */
  readonly restarts: number
  get(key: Key): T | undefined
  list(): Iterable<T>
  /** The listener is told of what is there already at once. */
  onChange(listener: Listener<T>): void
}

export class Informer<T extends KubernetesObject> implements Watched<T>, Disposable {
  readonly resource: Resource<T>
  readonly synced: Promise<void>
  readonly #client: KubernetesClient
  readonly #selection: Selection
  readonly #events: InformerEvents
  readonly #quietFor: number
  readonly #keep: (object: T) => T
  readonly #objects = new Map<Key, T>()
  readonly #listeners: Listener<T>[] = []
  readonly #ended = new AbortController()
  #markSynced: () => void = () => {}
  /** Where to watch on from; undefined means that everything has to be listed. */
  #resourceVersion: string | undefined
  #restarts = 0

  constructor(
    client: KubernetesClient,
    resource: Resource<T>,
    events: InformerEvents,
    selection: Selection = {},
    { keep = (object) => object, quietFor = longestSilence }: InformerSettings<T> = {},
  ) {
    this.resource = resource
    this.#client = client
    this.#events = events
    this.#selection = selection
    this.#quietFor = quietFor
    this.#keep = keep
    this.synced = new Promise((resolve) => {
      this.#markSynced = resolve
    })
    void this.#keepUp()
  }

  get(key: Key): T | undefined {
    return this.#objects.get(key)
  }

  list(): Iterable<T> {
    return this.#objects.values()
  }

  get restarts(): number {
    return this.#restarts
  }

  onChange(listener: Listener<T>): void {
    this.#listeners.push(listener)
    for (const [key, object] of this.#objects) listener(key, object, undefined)
  }

  [Symbol.dispose](): void {
    this.#ended.abort()
  }

  async #keepUp(): Promise<void> {
    let backoff = firstBackoff
    while (!this.#ended.signal.aborted) {
      try {
        if (this.#resourceVersion === undefined) await this.#listAll()
        const startedAt = performance.now()
        await this.#watch(() => {
          backoff = firstBackoff
        })
        // a server that ends every watch at once must not be asked in a tight loop
        if (performance.now() - startedAt < firstBackoff) await this.#pause(firstBackoff)
      } catch (error) {
        if (this.#ended.signal.aborted) return
        // a version that is too old is no failure: the server forgets
        if (error instanceof ApiError && error.status === 410) this.#resourceVersion = undefined
        else this.#events.failed(error instanceof Error ? error : new Error(String(error)))
        this.#restarts++
        await delay(backoff * (0.5 + Math.random()), undefined, { signal: this.#ended.signal }).catch(
          () => {},
        )
        backoff = Math.min(backoff * 2, maximumBackoff)
      }
    }
  }

  async #pause(milliseconds: number): Promise<void> {
    await delay(milliseconds, undefined, { signal: this.#ended.signal }).catch(() => {})
  }

  async #listAll(): Promise<void> {
    const found = new Map<Key, T>()
    let listed = ''
    for await (const page of this.#client.pages(this.resource, this.#selection, this.#ended.signal)) {
      for (const item of page.items) found.set(keyOf(item), this.#kept(item))
      listed = page.resourceVersion
    }
    for (const key of this.#objects.keys()) if (!found.has(key)) this.#set(key, undefined)
    for (const [key, item] of found) this.#set(key, item)
    this.#resourceVersion = listed
    this.#markSynced()
  }

  async #watch(onEvent: () => void): Promise<void> {
    const quiet = new AbortController()
    const timer = setTimeout(() => quiet.abort(new Error('the watch fell silent')), this.#quietFor)
    try {
      const events = this.#client.watch(
        this.resource,
        this.#resourceVersion ?? '',
        this.#selection,
        AbortSignal.any([this.#ended.signal, quiet.signal]),
      )
      for await (const event of events) {
        timer.refresh()
        onEvent()
        if (event.type === 'ADDED' || event.type === 'MODIFIED')
          this.#set(keyOf(event.object), this.#kept(event.object))
        if (event.type === 'DELETED') this.#set(keyOf(event.object), undefined)
        if (event.type !== 'ERROR') this.#resourceVersion = event.object.metadata.resourceVersion
      }
    } finally {
      clearTimeout(timer)
    }
  }

  /** Who wrote which field is often the longest part of an object, and nobody asks an informer for it. */
  #kept(object: T): T {
    delete object.metadata.managedFields
    return this.#keep(object)
  }

  #set(key: Key, now: T | undefined): void {
    const before = this.#objects.get(key)
    if (before?.metadata.resourceVersion === now?.metadata.resourceVersion) return
    if (now) this.#objects.set(key, now)
    else this.#objects.delete(key)
    for (const listener of this.#listeners) listener(key, now, before)
  }
}
