import type { SignalRule } from '@firebreak/policy'
import { duration } from '../../identity/duration.ts'
import { SlidingWindow } from '../../limits/sliding-window.ts'
import type { Detector, Finding, Now, SignalEvent } from '../events.ts'
import { Evidence } from './evidence.ts'

/**
 * Tokens that prove nothing, or delegations used for more than they are. Of what honest agents do as well it takes several;
 * those whose time is over are counted by themselves, and take nothing from anybody.
 */
export class Misuse implements Detector {
  readonly #rule: SignalRule
  readonly #of: 'token' | 'delegation'
  readonly #late: Seen
  readonly #suspicious: Seen

  constructor(rule: SignalRule) {
    this.#rule = rule
    this.#of = rule.kind === 'tokenMisuse' ? 'token' : 'delegation'
    this.#late = new Seen(rule)
    this.#suspicious = new Seen(rule)
  }

  observe(event: SignalEvent, { monotonic }: Now): Finding | undefined {
    if (event.kind !== 'misuse' || event.of !== this.#of) return undefined
    const { weight, reference, words } = event
    const late = weight === 'late'
    const seen = late ? this.#late : this.#suspicious
    const count = seen.add(reference, monotonic)
    if (weight !== 'grave' && count < this.#rule.threshold) return undefined
    const times =
      count === 1 ? '' : `${count} times within ${duration(this.#rule.windowMilliseconds)}, last: `
    return {
      kind: 'finding',
      explanation: `${times}${words}`,
      evidence: seen.take(),
      ...(late && { onlyTold: true }),
    }
  }
}

class Seen {
  readonly #times: SlidingWindow
  readonly #evidence = new Evidence()

  constructor({ windowMilliseconds }: SignalRule) {
    this.#times = new SlidingWindow(windowMilliseconds)
  }

  /** @returns how many there were within the window. */
  add(reference: string, monotonic: number): number {
    this.#evidence.add(reference)
    this.#times.add(1, monotonic)
    return this.#times.total(monotonic)
  }

  take(): readonly string[] {
    this.#times.clear()
    return this.#evidence.take()
  }
}
