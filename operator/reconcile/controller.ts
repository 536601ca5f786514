/** Brings what changes to a reconciler: level-triggered, one key at a time, whatever made the key worth a look. */
import { ApiError } from '../kubernetes/client.ts'
import type { KubernetesObject } from '../kubernetes/objects.ts'
import { differInStatusOnly, type Key, type Watched } from '../watch/informer.ts'
import { WorkQueue } from './work-queue.ts'

export interface Controller {
  /** In logs and metrics. */
  readonly name: string
  /**
   * Makes the world as the object of this key wants it. Reads what is now, never what has happened.
   *
   * @returns after how many milliseconds to look again, if at all.
   */
  reconcile(key: Key): Promise<number | undefined>
  /** What it depends on, and the keys that a change there concerns. */
  readonly watches: readonly Watch[]
}

export interface Watch {
  readonly synced: Promise<void>
  onKeys(listener: (key: Key) => void): void
}

/** The same for kinds whose status is written by reconcilers: nobody reconciles because of what another has written there. */
export function watchingSpec<T extends KubernetesObject>(
  informer: Watched<T>,
  keysOf?: (object: T, key: Key) => Iterable<Key>,
): Watch {
  return watching(informer, keysOf, differInStatusOnly)
}

/**
 * The keys of the objects that change; `keysOf` where the change of one kind concerns another.
 *
 * @param irrelevant which changes concern nobody.
 */
export function watching<T extends KubernetesObject>(
  informer: Watched<T>,
  keysOf: (object: T, key: Key) => Iterable<Key> = (_object, key) => [key],
  irrelevant: (before: T, now: T) => boolean = () => false,
): Watch {
  return {
    synced: informer.synced,
    onKeys: (listener) =>
      informer.onChange((key, now, before) => {
        if (before && now && irrelevant(before, now)) return
        const keys = new Set([before, now].flatMap((object) => (object ? [...keysOf(object, key)] : [])))
        for (const concerned of keys) listener(concerned)
      }),
  }
}

export interface ControllerEvents {
  readonly failed: (controller: string, key: Key, error: Error) => void
  readonly reconciled: (controller: string, milliseconds: number) => void
  /** @param depth how many keys wait for their turn. */
  readonly running: (controller: string, depth: () => number) => void
}

/** Runs until it is disposed of. */
export async function runController(controller: Controller, events: ControllerEvents): Promise<WorkQueue> {
  const queue = new WorkQueue(
    async (key) => {
      const startedAt = performance.now()
      const again = await controller.reconcile(key).catch(lookAgainAfterConflict)
      events.reconciled(controller.name, performance.now() - startedAt)
      return again
    },
    { concurrency: 4, onError: (key, error) => events.failed(controller.name, key, error) },
  )
  events.running(controller.name, () => queue.depth)
  // a reconciler that sees only a part of the world would tear down the rest
  await Promise.all(controller.watches.map(({ synced }) => synced))
  for (const watch of controller.watches) watch.onKeys((key) => queue.add(key))
  return queue
}

/** Somebody else wrote in between: that is no failure, the next look sees what they wrote. */
function lookAgainAfterConflict(error: unknown): number {
  if (error instanceof ApiError && error.status === 409) return 50
  throw error
}
