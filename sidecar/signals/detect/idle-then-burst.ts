import type { SignalRule } from '@firebreak/policy'
import { duration } from '../../identity/duration.ts'
import { SlidingWindow } from '../../limits/sliding-window.ts'
import type { Baseline } from '../baseline.ts'
import type { Detector, Finding, Now, SignalEvent } from '../events.ts'
import { Evidence } from './evidence.ts'

/** How long after it woke an identity is looked at. */
const aDay = 86_400_000

/** An identity that nobody has heard of for long does a lot at once. */
export class IdleThenBurst implements Detector {
  readonly #rule: SignalRule
  readonly #baseline: Baseline
  readonly #commands: SlidingWindow
  readonly #evidence = new Evidence()
  #awakeSince = Number.NEGATIVE_INFINITY
  #idle = 0

  constructor(rule: SignalRule, baseline: Baseline) {
    this.#rule = rule
    this.#baseline = baseline
    this.#commands = new SlidingWindow(rule.windowMilliseconds)
  }

  observe(event: SignalEvent, { wall, monotonic }: Now): Finding | undefined {
    if (event.kind !== 'command') return undefined
    const idle = wall - this.#baseline.lastSeen
    if (idle >= this.#rule.idleMilliseconds) {
      this.#awakeSince = wall
      this.#idle = idle
    }
    if (wall - this.#awakeSince > aDay) return undefined
    this.#commands.add(1, monotonic)
    this.#evidence.add(event.reference)
    const count = this.#commands.total(monotonic)
    if (count < this.#rule.threshold) return undefined
    this.#commands.clear()
    this.#awakeSince = Number.NEGATIVE_INFINITY
    return {
      kind: 'finding',
      explanation: `ran ${count} commands within ${duration(this.#rule.windowMilliseconds)}, after it had been idle for ${duration(this.#idle)}`,
      evidence: this.#evidence.take(),
    }
  }
}
