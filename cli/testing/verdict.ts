/** What becomes of a text: its statements are decided together, so the strictest of their decisions stands. */
import type { RuleReference } from '@firebreak/policy'
import type { Explanation } from '@firebreak/sidecar'

export interface Actual {
  readonly decision: 'allow' | 'deny' | 'hold'
  readonly rule?: RuleReference
  readonly reason: string
  /** Of the rule. */
  readonly message?: string
  /** By the column's label. */
  readonly masks: Readonly<Record<string, string>>
}

const severity = { allow: 0, hold: 1, deny: 2 } as const

export function actualOf(explained: readonly Explanation[]): Actual {
  const [first, ...others] = explained
  if (!first) return { decision: 'allow', reason: 'there is no statement in it', masks: {} }
  const { decision } = others.reduce(
    (strictest, each) =>
      severity[each.decision.effect] > severity[strictest.decision.effect] ? each : strictest,
    first,
  )
  const { effect, rule, reason, hint } = decision
  return {
    decision: effect,
    ...(rule && { rule }),
    reason,
    ...(hint !== undefined && { message: hint }),
    masks: effect === 'deny' ? {} : Object.fromEntries(explained.flatMap(masksOf)),
  }
}

function masksOf({ command, decision }: Explanation): [label: string, strategy: string][] {
  if (decision.effect === 'deny') return []
  return decision.masks.flatMap((mask, index): [string, string][] =>
    mask ? [[command.fields[index]?.label ?? '', mask.strategy.kind]] : [],
  )
}
