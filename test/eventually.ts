import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'

/** Reads again and again until what is read is as wanted. @returns that. */
export type Eventually = (
  read: () => Promise<string> | string,
  wanted: RegExp,
  seconds?: number,
) => Promise<string>

/** @param log is shown besides what was read last, when it is never as wanted. */
export function eventuallyWith(log: () => string, patience = 40): Eventually {
  return async (read, wanted, seconds = patience) => {
    const until = performance.now() + seconds * 1000
    for (;;) {
      const seen = await read()
      if (wanted.test(seen)) return seen
      if (performance.now() > until) assert.fail(`${seen}\nis not ${wanted}\n${log()}`)
      await delay(50)
    }
  }
}

/**
 * Asks again and again until there is something. What takes a moment takes much longer on a busy machine.
 *
 * @returns that. @param otherwise what is said when there is nothing for so many seconds.
 */
export async function until<T>(
  what: () => T | undefined | false | Promise<T | undefined | false>,
  otherwise: string | (() => string) = 'it never happened',
  seconds = 30,
): Promise<T> {
  for (const end = performance.now() + seconds * 1000; ; ) {
    const found = await what()
    if (found !== undefined && found !== false) return found
    if (performance.now() > end) throw new Error(typeof otherwise === 'string' ? otherwise : otherwise())
    await delay(10)
  }
}

/** @throws Error when it takes longer than anything does on a busy machine. */
export async function untilTrue(
  what: () => boolean | Promise<boolean>,
  otherwise: string | (() => string) = `it never came about that ${what}`,
): Promise<void> {
  await until(what, otherwise, 60)
}
