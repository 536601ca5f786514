/** One side of a comparison: what is decided there, with conditions left open. */
import type { GuardrailPolicy, ManifestSet } from '@firebreak/crds'
import { compilePolicy, lookupsOf, type PolicySnapshot } from '@firebreak/policy'

export interface Side {
  readonly manifests: ManifestSet
  /** Asks of a command the fact `open.cN` in the place of the condition N. */
  readonly snapshot: PolicySnapshot
}

/** What can't be enumerated: expressions over commands. By their text, which means the same on both sides. */
export class Conditions {
  readonly #texts: string[] = []

  /** The fact that stands for a condition. */
  factOf(text: string): string {
    if (!this.#texts.includes(text)) this.#texts.push(text)
    return `c${this.#texts.indexOf(text)}`
  }

  textOf(fact: string): string {
    return this.#texts[Number(fact.slice(1))] ?? ''
  }
}

/** @throws Error when a policy doesn't compile: both sides have been checked. */
export function sideOf(manifests: ManifestSet, conditions: Conditions): Side {
  const compiled = compilePolicy({
    ...manifests,
    policies: manifests.policies.map((policy) => opened(policy, conditions)),
  })
  if (!compiled.ok) throw new Error(compiled.problems.map(({ message }) => message).join('; '))
  return { manifests, snapshot: compiled.snapshot }
}

function opened(policy: GuardrailPolicy, conditions: Conditions): GuardrailPolicy {
  const rules = policy.spec.rules?.map((rule) => {
    const { condition } = rule.match
    return condition === undefined || !isOpen(condition)
      ? rule
      : { ...rule, match: { ...rule.match, condition: `command.open.${conditions.factOf(condition)}` } }
  })
  return rules ? { ...policy, spec: { ...policy.spec, rules } } : policy
}

/** Who asks, and for which role, is known; what a command is like is not, and neither are the groups of tokens. */
export function isOpen(condition: string): boolean {
  return lookupsOf(condition).some(
    ([first, second]) =>
      first === 'command' || (first === 'identity' && second !== 'name' && second !== 'namespace'),
  )
}
