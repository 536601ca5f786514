import type { SignalRule } from '@firebreak/policy'
import { duration } from '../../identity/duration.ts'
import type { Detector, Finding, Now, SignalEvent } from '../events.ts'
import { RecentSet } from './recent-set.ts'

/** Different things that people have denied, of which it is remembered how often they were asked for again. */
const maximumDenied = 64

/** People said no, and are asked for the same again. */
export class RepeatedRequests implements Detector {
  readonly #rule: SignalRule
  readonly #denied: RecentSet
  readonly #again = new Map<string, string[]>()

  constructor(rule: SignalRule) {
    this.#rule = rule
    this.#denied = new RecentSet(rule.windowMilliseconds, maximumDenied)
  }

  observe(event: SignalEvent, { monotonic }: Now): Finding | undefined {
    if (event.kind !== 'asked' && event.kind !== 'denied') return undefined
    const { signature, request } = event
    const denied = this.#denied.has(signature, monotonic)
    if (event.kind === 'denied') {
      if (!denied) this.#again.set(signature, [])
      this.#denied.add(signature, monotonic)
      return undefined
    }
    for (const known of this.#again.keys()) if (!this.#denied.has(known, monotonic)) this.#again.delete(known)
    const requests = this.#again.get(signature)
    if (!requests || requests.push(request) < this.#rule.threshold) return undefined
    this.#again.set(signature, [])
    return {
      kind: 'finding',
      explanation: `asked ${requests.length} times again for what people had denied, within ${duration(this.#rule.windowMilliseconds)}: ${signature}`,
      evidence: requests.slice(-8),
    }
  }
}
