/** A place as people write it → the store there. */
import type { RecordingStore } from '../store.ts'

/**
 * @param place a directory.
 * @throws Error in words, when there is nothing of that kind or it can't be used.
 */
export async function openStore(place: string): Promise<RecordingStore> {
  const [, scheme] = /^([a-z0-9]+):\/\//.exec(place) ?? []
  if (scheme === undefined) return await (await import('./directory.ts')).DirectoryStore.open(place)
  throw new Error(`recordings can't be kept in ${scheme}://: a directory is needed`)
}
