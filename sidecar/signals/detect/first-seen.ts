import type { SignalRule } from '@firebreak/policy'
import { duration } from '../../identity/duration.ts'
import type { Baseline } from '../baseline.ts'
import type { Detector, Finding, Now, SignalEvent } from '../events.ts'
import { Evidence } from './evidence.ts'
import { listInWords } from './in-words.ts'
import { RecentSet } from './recent-set.ts'

/** Something new for the identity: an action, or an object that it has not made itself. */
export class FirstSeen implements Detector {
  readonly #rule: SignalRule
  readonly #baseline: Baseline
  readonly #fresh: RecentSet
  readonly #evidence = new Evidence()

  constructor(rule: SignalRule, baseline: Baseline) {
    this.#rule = rule
    this.#baseline = baseline
    this.#fresh = new RecentSet(rule.windowMilliseconds, Math.min(rule.threshold, 10_000))
  }

  observe(event: SignalEvent, { wall, monotonic }: Now): Finding | undefined {
    if (event.kind !== 'command' || event.outcome.error || event.decision.effect === 'deny') return undefined
    const names = this.#baseline.newIn(event)
    if (names.length === 0 || this.#baseline.learns(wall, this.#rule.learnMilliseconds)) return undefined
    let count = 0
    for (const name of names) count = this.#fresh.add(name, monotonic)
    this.#evidence.add(event.reference)
    if (count < this.#rule.threshold) return undefined
    const examples = listInWords(this.#fresh.some(3), count)
    this.#fresh.clear()
    const within = count > 1 ? ` within ${duration(this.#rule.windowMilliseconds)}` : ''
    return {
      kind: 'finding',
      explanation: `used for the first time${within}: ${examples}`,
      evidence: this.#evidence.take(),
    }
  }
}
