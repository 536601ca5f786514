/** All objects of one kind, kept current by a watch. */
import { setTimeout as delay } from 'node:timers/promises'
import type { ApiClient } from '../api-client.ts'

interface ApiObject {
  readonly metadata: { readonly uid: string; readonly resourceVersion: string }
}

interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  readonly object: T
}

export class WatchedList<T> {
  readonly #client: ApiClient
  readonly #path: string
  readonly #onChange: () => void
  #objects = new Map<string, T & ApiObject>()
  #complete = false

  /** Path of the kind's list, such as /api/v1/pods. */
  constructor(client: ApiClient, path: string, onChange: () => void) {
    this.#client = client
    this.#path = path
    this.#onChange = onChange
  }

  get objects(): T[] {
    return [...this.#objects.values()]
  }

  /** Whether the list has been read once. */
  get complete(): boolean {
    return this.#complete
  }

  /** Goes on until the signal; after a failure it starts again with the list. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#watchFrom(await this.#list(signal), signal)
      } catch (error) {
        if (!signal.aborted) console.error(`${this.#path}: ${(error as Error).message}`)
      }
      await delay(200, undefined, { signal }).catch(() => {})
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const { status, body } = await this.#client.request({ path: this.#path, signal })
    if (status !== 200) throw new Error(`answered with ${status}`)
    const list = JSON.parse(body) as { metadata: { resourceVersion: string }; items: (T & ApiObject)[] }
    this.#objects = new Map(list.items.map((item) => [item.metadata.uid, item]))
    this.#complete = true
    this.#onChange()
    return list.metadata.resourceVersion
  }

  async #watchFrom(version: string, signal: AbortSignal): Promise<void> {
    // an error event, such as that the version is too old, ends the watch too
    await this.#client.watch(
      `${this.#path}?watch=true&resourceVersion=${version}`,
      (event) => this.#apply(event as WatchEvent<T & ApiObject>),
      signal,
    )
  }

  #apply({ type, object }: WatchEvent<T & ApiObject>): void {
    if (type === 'ERROR') throw new Error('the watch has to start again')
    if (type === 'BOOKMARK') return
    if (type === 'DELETED') this.#objects.delete(object.metadata.uid)
    else this.#objects.set(object.metadata.uid, object)
    this.#onChange()
  }
}
