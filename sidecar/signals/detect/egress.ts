import type { SignalRule } from '@firebreak/policy'
import { duration } from '../../identity/duration.ts'
import type { Detector, Finding, Now, SignalEvent } from '../events.ts'
import { listInWords } from './in-words.ts'
import { RecentSet } from './recent-set.ts'

/** A contained agent tries many ways out: addresses, ports, or names that carry something. One that is tried over and over is a setting. */
export class Egress implements Detector {
  readonly #rule: SignalRule
  readonly #ways: RecentSet

  constructor(rule: SignalRule) {
    this.#rule = rule
    this.#ways = new RecentSet(rule.windowMilliseconds, Math.min(rule.threshold, 10_000))
  }

  observe(event: SignalEvent, { monotonic }: Now): Finding | undefined {
    if (event.kind !== 'egress') return undefined
    const count = this.#ways.add(event.what, monotonic)
    if (count < this.#rule.threshold) return undefined
    const examples = listInWords(this.#ways.some(3), count)
    this.#ways.clear()
    return {
      kind: 'finding',
      explanation: `tried ${count} different ways out of its pod within ${duration(this.#rule.windowMilliseconds)}, last ${event.words}: ${examples}`,
      evidence: [],
    }
  }
}
