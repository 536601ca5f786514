import { setTimeout as delay } from 'node:timers/promises'

/**
 * What comes over a network may fail once and be there the next time.
 *
 * @param isWorthIt whether a failure may be over the next time. @param pauses milliseconds before each further try.
 */
export async function again<T>(
  attempt: () => Promise<T>,
  isWorthIt: (error: unknown) => boolean = () => true,
  pauses: readonly number[] = [2_000, 15_000],
): Promise<T> {
  for (const pause of pauses) {
    try {
      return await attempt()
    } catch (error) {
      if (!isWorthIt(error)) throw error
      await delay(pause)
    }
  }
  return await attempt()
}

/** Whether Go's compiler could not fetch a module: it says from where. What it has fetched and compiled is kept. */
export function couldNotFetchModule(error: unknown): boolean {
  const { stderr, message } = error as { readonly stderr?: string; readonly message?: string }
  return /https?:\/\//.test(stderr ?? message ?? '')
}
