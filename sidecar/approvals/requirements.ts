/** Who still has to agree. */
import type { ApprovalRequest } from '@firebreak/crds'
import type { ApprovalRequirement } from '@firebreak/policy'

export interface Approver {
  /** As the system knows the person. */
  readonly user: string
  readonly groups: readonly string[]
}

type Requirement = ApprovalRequest['spec']['requirements'][number]
type Vote = NonNullable<NonNullable<ApprovalRequest['status']>['approvals']>[number]

/** What a requirement says, whether from a request or from the policy in force. */
export interface Asked {
  readonly groups?: readonly string[]
  readonly quorum: number
}

/** An approver needs one of a requirement's groups; where it names none, the right to write requests is all. */
export function mayDecide({ groups = [] }: Asked, { groups: has }: Pick<Approver, 'groups'>): boolean {
  return groups.length === 0 || groups.some((group) => has.includes(group))
}

/** How many more have to agree. One person counts once, whatever groups. */
export function missingVotes(asked: Asked, votes: readonly Vote[]): number {
  const agreed = votes.filter(
    (vote) => vote.decision === 'Approved' && mayDecide(asked, { groups: vote.groups ?? [] }),
  )
  return Math.max(0, asked.quorum - agreed.length)
}

export function unmet<A extends Asked>(requirements: readonly A[], votes: readonly Vote[]): readonly A[] {
  return requirements.filter((requirement) => missingVotes(requirement, votes) > 0)
}

/** Whether a request asks the people that the policy in force wants to be asked. */
export function asksFor(request: ApprovalRequest, wanted: readonly ApprovalRequirement[]): boolean {
  return wanted.every(({ rule, groups, quorum }) =>
    request.spec.requirements.some(
      (asked) =>
        asked.policy === rule.policy &&
        asked.rule === rule.rule &&
        asked.quorum === quorum &&
        (asked.groups ?? []).join('\0') === groups.join('\0'),
    ),
  )
}

export function toSpec({ rule, groups, quorum }: ApprovalRequirement): Requirement {
  return { policy: rule.policy, rule: rule.rule, ...(groups.length > 0 && { groups: [...groups] }), quorum }
}

/** `dba; 2 of security` for people. */
export function inWords(requirements: readonly Asked[]): string {
  const words = requirements.map(({ groups = [], quorum }) => {
    const who = groups.length > 0 ? groups.join(' or ') : 'any approver'
    return quorum === 1 ? who : `${quorum} of ${who}`
  })
  return [...new Set(words)].join('; ')
}
