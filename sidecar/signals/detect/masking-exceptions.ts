import type { SignalRule } from '@firebreak/policy'
import { duration } from '../../identity/duration.ts'
import { SlidingWindow } from '../../limits/sliding-window.ts'
import type { Baseline } from '../baseline.ts'
import type { CommandEvent, Detector, Finding, Now, SignalEvent } from '../events.ts'
import { Evidence } from './evidence.ts'
import { listInWords } from './in-words.ts'

/** Masked data is asked for in ways that masking refuses, or classified data is read as it is where it never was. */
export class MaskingExceptions implements Detector {
  readonly #rule: SignalRule
  readonly #baseline: Baseline
  readonly #refused: SlidingWindow
  readonly #evidence = new Evidence()

  constructor(rule: SignalRule, baseline: Baseline) {
    this.#rule = rule
    this.#baseline = baseline
    this.#refused = new SlidingWindow(rule.windowMilliseconds)
  }

  observe(event: SignalEvent, now: Now): Finding | undefined {
    if (event.kind !== 'command') return undefined
    const { decision } = event
    if (decision.effect === 'deny') return decision.byMask ? this.#count(event, now) : undefined
    return decision.unmasked && event.outcome.rows > 0 ? this.#look(event, now) : undefined
  }

  #count({ reference, decision }: CommandEvent, { monotonic }: Now): Finding | undefined {
    this.#refused.add(1, monotonic)
    this.#evidence.add(reference)
    const count = this.#refused.total(monotonic)
    if (count < this.#rule.threshold) return undefined
    this.#refused.clear()
    return {
      kind: 'finding',
      explanation: `asked ${count} times within ${duration(this.#rule.windowMilliseconds)} for masked data in ways that would reveal it; last: ${decision.reason}`,
      evidence: this.#evidence.take(),
    }
  }

  #look(event: CommandEvent, { wall }: Now): Finding | undefined {
    const fresh = this.#baseline.unmaskedIn(event)
    if (fresh.length === 0 || this.#baseline.learns(wall, this.#rule.learnMilliseconds)) return undefined
    const by = event.elevated ? ', with rights that it was granted for a while' : ''
    return {
      kind: 'finding',
      explanation: `read classified data unmasked for the first time, as role ${event.role} of ${event.resource}${by}: ${listInWords(fresh, fresh.length)}`,
      evidence: [event.reference],
    }
  }
}
