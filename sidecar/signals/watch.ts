/** Everything that is watched of one identity. */
import type { SignalRule } from '@firebreak/policy'
import { Baseline, type KeptBaseline } from './baseline.ts'
import { detectorFor } from './detect/index.ts'
import type { Detector, Finding, Now, SignalEvent } from './events.ts'

/** A rule has found something. */
export interface Found {
  readonly rule: SignalRule
  readonly finding: Finding
  /** Undefined: the same was told within the window, and is told again when that is over. Otherwise how often that was so. */
  readonly untold: number | undefined
}

interface Watched {
  readonly rule: SignalRule
  readonly detector: Detector
  quietUntil: number
  untold: number
}

export class Watch {
  readonly baseline: Baseline
  /** By what a rule says: one that comes again with another configuration goes on counting. */
  readonly #watched = new Map<string, Watched>()
  #byRules = new WeakMap<readonly SignalRule[], readonly Watched[]>()

  constructor(wall: number, kept?: KeptBaseline) {
    this.baseline = new Baseline(wall, kept)
  }

  /** @param sizeWanted told of what a detector wants to know the size of. */
  observe(
    rules: readonly SignalRule[],
    event: SignalEvent,
    now: Now,
    sizeWanted: (object: string) => void = () => {},
  ): readonly Found[] {
    let found: Found[] | undefined
    for (const watched of this.#of(rules)) {
      const seen = watched.detector.observe(event, now)
      if (seen === undefined) continue
      if (seen.kind === 'sizeWanted') sizeWanted(seen.object)
      else {
        found ??= []
        found.push(tell(watched, seen, now))
      }
    }
    if (event.kind === 'command') this.baseline.learn(event, now.wall)
    return found ?? nothing
  }

  /** A person has looked at it: what was counted so far counts no more. What was learned stays. */
  startAnew(): void {
    for (const [key, watched] of this.#watched) this.#watched.set(key, freshly(watched.rule, this.baseline))
    this.#byRules = new WeakMap()
  }

  /** Forgets rules that are in force no longer. */
  keepOnly(rules: readonly SignalRule[]): void {
    const keys = new Set(rules.map(keyOf))
    for (const key of this.#watched.keys()) if (!keys.has(key)) this.#watched.delete(key)
    this.#byRules = new WeakMap()
  }

  #of(rules: readonly SignalRule[]): readonly Watched[] {
    const known = this.#byRules.get(rules)
    if (known) return known
    const watched = rules.map((rule) => {
      const key = keyOf(rule)
      const before = this.#watched.get(key)
      if (before) return before
      const fresh = freshly(rule, this.baseline)
      this.#watched.set(key, fresh)
      return fresh
    })
    this.#byRules.set(rules, watched)
    return watched
  }
}

const nothing: readonly Found[] = []

function freshly(rule: SignalRule, baseline: Baseline): Watched {
  return { rule, detector: detectorFor(rule, baseline), quietUntil: Number.NEGATIVE_INFINITY, untold: 0 }
}

/** Who is told the same over and over stops to read it. */
function tell(watched: Watched, finding: Finding, { monotonic }: Now): Found {
  const { rule, untold } = watched
  if (monotonic < watched.quietUntil) {
    watched.untold++
    return { rule, finding, untold: undefined }
  }
  watched.quietUntil = monotonic + rule.windowMilliseconds
  watched.untold = 0
  return { rule, finding, untold }
}

function keyOf(rule: SignalRule): string {
  return JSON.stringify(rule)
}
