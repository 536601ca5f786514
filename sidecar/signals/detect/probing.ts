import type { SignalRule } from '@firebreak/policy'
import { duration } from '../../identity/duration.ts'
import type { CommandEvent, Detector, Finding, Now, SignalEvent } from '../events.ts'
import { Evidence } from './evidence.ts'
import { listInWords } from './in-words.ts'
import { RecentSet } from './recent-set.ts'

/** Many different things are denied, or aren't there: somebody tries what goes. The same again and again is only a mistake. */
export class Probing implements Detector {
  readonly #rule: SignalRule
  readonly #tried: RecentSet
  readonly #evidence = new Evidence()

  constructor(rule: SignalRule) {
    this.#rule = rule
    this.#tried = new RecentSet(rule.windowMilliseconds, Math.min(rule.threshold, 10_000))
  }

  observe(event: SignalEvent, { monotonic }: Now): Finding | undefined {
    if (event.kind !== 'command') return undefined
    const tried = triedInVain(event)
    if (tried === undefined) return undefined
    this.#evidence.add(event.reference)
    const count = this.#tried.add(tried, monotonic)
    if (count < this.#rule.threshold) return undefined
    const examples = listInWords(this.#tried.some(3), count)
    this.#tried.clear()
    return {
      kind: 'finding',
      explanation: `tried ${count} different things in vain within ${duration(this.#rule.windowMilliseconds)}: ${examples}`,
      evidence: this.#evidence.take(),
    }
  }
}

function triedInVain({ decision, traits, outcome, resource }: CommandEvent): string | undefined {
  const { error } = outcome
  if (error && traits.isProbe(error.code) && decision.effect === 'allow')
    return `${resource}: ${traits.tried ?? error.message}`
  if (decision.effect !== 'deny') return undefined
  // what names nothing, as a name that is not there, is told apart by what the target would say
  const named = traits.signature === '' ? (error?.message ?? decision.reason) : traits.signature
  return `${resource}: ${traits.tried ?? named}`
}
