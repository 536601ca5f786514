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

/** @throws Error when it takes longer than anything does on a busy machine. */
export async function untilTrue(what: () => boolean): Promise<void> {
  const until = performance.now() + 60_000
  while (!what()) {
    if (performance.now() > until) throw new Error(`it never came about that ${what}`)
    await delay(10)
  }
}
