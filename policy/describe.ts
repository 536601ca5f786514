/** Commands and decisions in words for people. */
import type { Source, Touch } from './command.ts'
import type { Decision, RuleReference } from './decision.ts'
import { joinName, shownName } from './names.ts'

/** `sql:update on table public.users (ssn)`. */
export function describeTouch(
  touch: Touch,
  parts: readonly string[] | undefined = touch.object.parts,
): string {
  const shown =
    parts && parts.length > 0 ? ` (${parts.slice(0, 8).join(', ')}${parts.length > 8 ? ', …' : ''})` : ''
  const { kind, path } = touch.object
  return `${touch.action} on ${kind} ${joinName(kind, path)}${shown}`
}

export function describeSource({ path, part }: Source): string {
  return [...path, part].map(shownName).join('.')
}

/** `policy agents/orders, rule no-drop`. */
export function describeRule({ policy, rule }: RuleReference): string {
  return `policy ${policy}, rule ${rule}`
}

/** `denied by policy agents/orders, rule no-drop`. */
export function describeDecision(decision: Decision): string {
  const verb = { allow: 'allowed', deny: 'denied', hold: 'held for approval' }[decision.effect]
  return decision.rule ? `${verb} by ${describeRule(decision.rule)}` : verb
}
