import type { SignalRule } from '@firebreak/policy'
import { duration } from '../../identity/duration.ts'
import { SlidingWindow } from '../../limits/sliding-window.ts'
import { type Amounts, type Baseline, daysKept, type Peaks } from '../baseline.ts'
import type { Detector, Finding, Now, SignalEvent } from '../events.ts'

/** Below that nothing is much, however little there was before. */
const floor: Amounts = { rows: 10_000, commands: 1_000 }

/** Far more rows, or commands, than in any window of the days before. */
export class VolumeSpike implements Detector {
  readonly #rule: SignalRule
  readonly #baseline: Baseline
  readonly #peaks: Peaks
  readonly #windows: Readonly<Record<keyof Amounts, SlidingWindow>>
  /** What was told is no news until it was less in between. */
  readonly #high = { rows: false, commands: false }

  constructor(rule: SignalRule, baseline: Baseline) {
    this.#rule = rule
    this.#baseline = baseline
    this.#peaks = baseline.peaks(rule.windowMilliseconds)
    this.#windows = {
      rows: new SlidingWindow(rule.windowMilliseconds),
      commands: new SlidingWindow(rule.windowMilliseconds),
    }
  }

  observe(event: SignalEvent, now: Now): Finding | undefined {
    if (event.kind !== 'command') return undefined
    const { rows } = event.outcome
    return this.#add('rows', rows, event.reference, now) ?? this.#add('commands', 1, event.reference, now)
  }

  #add(what: keyof Amounts, more: number, reference: string, { wall, monotonic }: Now): Finding | undefined {
    const { threshold, windowMilliseconds, learnMilliseconds } = this.#rule
    this.#windows[what].add(more, monotonic)
    const amount = this.#windows[what].total(monotonic)
    this.#peaks.note(what, amount, wall)
    if (amount < floor[what]) {
      this.#high[what] = false
      return undefined
    }
    const most = this.#peaks.before(what, wall)
    const isHigh = amount >= threshold * most && !this.#baseline.learns(wall, learnMilliseconds)
    const wasHigh = this.#high[what]
    this.#high[what] = isHigh
    if (!isHigh || wasHigh) return undefined
    return {
      kind: 'finding',
      explanation: `${what === 'rows' ? 'read' : 'ran'} ${amount} ${what} within ${duration(windowMilliseconds)}; in the ${daysKept} days before the most was ${most}`,
      evidence: [reference],
    }
  }
}
