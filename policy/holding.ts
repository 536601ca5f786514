/** Who has to agree to a command that rules hold. */
import type { ApprovalTerms } from './decision.ts'
import { seconds } from './duration.ts'
import type { CompiledRule } from './rule.ts'

/** Every rule asks its own people; of what is about the waiting, the strictest stands. */
export function approvalTerms(rules: readonly CompiledRule[]): ApprovalTerms {
  return rules.map(termsOf).reduce(mergeApprovals)
}

/** The terms of two sets of rules, of two links of a chain for example, that both hold a command. */
export function mergeApprovals(a: ApprovalTerms, b: ApprovalTerms): ApprovalTerms {
  const known = new Set(a.requirements.map(({ rule }) => `${rule.policy}/${rule.rule}`))
  const others = b.requirements.filter(({ rule }) => !known.has(`${rule.policy}/${rule.rule}`))
  return {
    requirements: [...a.requirements, ...others],
    expiresAfterSeconds: Math.min(a.expiresAfterSeconds, b.expiresAfterSeconds),
    whileWaiting: a.whileWaiting === 'fail' ? 'fail' : b.whileWaiting,
    boundTo: a.boundTo === 'session' ? 'session' : b.boundTo,
  }
}

function termsOf({ reference, spec: { approval } }: CompiledRule): ApprovalTerms {
  return {
    requirements: [{ rule: reference, groups: approval?.groups ?? [], quorum: approval?.quorum ?? 1 }],
    expiresAfterSeconds: seconds(approval?.expiresAfter ?? '15m'),
    whileWaiting: approval?.whileWaiting ?? 'wait',
    boundTo: approval?.boundTo ?? 'identity',
  }
}
