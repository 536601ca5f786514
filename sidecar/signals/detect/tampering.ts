import type { SignalRule } from '@firebreak/policy'
import type { CommandEvent, Detector, Finding, Now, SignalEvent } from '../events.ts'
import { Evidence } from './evidence.ts'
import { RecentSet } from './recent-set.ts'

/** Attempts to disable, reconfigure or reach around the gateway, whether policy lets them pass or not. */
export class Tampering implements Detector {
  readonly #rule: SignalRule
  readonly #attempts: RecentSet
  readonly #evidence = new Evidence()

  constructor(rule: SignalRule) {
    this.#rule = rule
    this.#attempts = new RecentSet(rule.windowMilliseconds, Math.min(rule.threshold, 10_000))
  }

  observe(event: SignalEvent, { monotonic }: Now): Finding | undefined {
    if (event.kind !== 'command') return undefined
    const words = attemptInWords(event)
    if (words === undefined) return undefined
    this.#evidence.add(event.reference)
    // each attempt counts, also the same again
    if (this.#attempts.add(event.reference, monotonic) < this.#rule.threshold) return undefined
    this.#attempts.clear()
    const { effect } = event.decision
    const verdict =
      effect === 'deny' ? 'denied' : effect === 'hold' ? 'held for approval' : 'allowed by policy'
    return {
      kind: 'finding',
      explanation: `sent a command to ${event.resource} that ${words}; it was ${verdict}`,
      evidence: this.#evidence.take(),
    }
  }
}

function attemptInWords({ traits, decision, approved }: CommandEvent): string | undefined {
  // what people have agreed to is nobody's attempt
  if (approved) return undefined
  return traits.reachesAround ?? (decision.effect === 'allow' ? undefined : traits.mayReachAround)
}
