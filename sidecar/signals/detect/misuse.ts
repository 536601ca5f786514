import type { SignalRule } from '@firebreak/policy'
import { duration } from '../../identity/duration.ts'
import { SlidingWindow } from '../../limits/sliding-window.ts'
import type { Detector, Finding, Now, SignalEvent } from '../events.ts'
import { Evidence } from './evidence.ts'

/** Tokens that prove nothing, or delegations used for more than they are. Of what honest agents do as well it takes several. */
export class Misuse implements Detector {
  readonly #rule: SignalRule
  readonly #of: 'token' | 'delegation'
  readonly #ordinary: SlidingWindow
  readonly #evidence = new Evidence()

  constructor(rule: SignalRule) {
    this.#rule = rule
    this.#of = rule.kind === 'tokenMisuse' ? 'token' : 'delegation'
    this.#ordinary = new SlidingWindow(rule.windowMilliseconds)
  }

  observe(event: SignalEvent, { monotonic }: Now): Finding | undefined {
    if (event.kind !== 'misuse' || event.of !== this.#of) return undefined
    const { windowMilliseconds, threshold } = this.#rule
    this.#evidence.add(event.reference)
    this.#ordinary.add(1, monotonic)
    const count = this.#ordinary.total(monotonic)
    if (event.ordinary && count < threshold) return undefined
    this.#ordinary.clear()
    const times = count === 1 ? '' : `${count} times within ${duration(windowMilliseconds)}, last: `
    return { kind: 'finding', explanation: `${times}${event.words}`, evidence: this.#evidence.take() }
  }
}
