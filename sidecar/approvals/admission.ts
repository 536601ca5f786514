/** The rules of a decision, as one pure function: the standalone runner and the operator's webhook ask the same. */
import { isDeepStrictEqual } from 'node:util'
import type { ApprovalRequest } from '@firebreak/crds'
import { seconds } from '@firebreak/policy'
import { type Approver, mayDecide, missingVotes, unmet } from './requirements.ts'

export interface DecisionAttempt {
  readonly before: ApprovalRequest
  /** As somebody has written it. */
  readonly after: ApprovalRequest
  readonly by: Approver
  /** Users that agents run as. */
  readonly agentUsers: readonly string[]
  readonly now: Date
}

export type Admission =
  | { readonly kind: 'unchanged' }
  | {
      readonly kind: 'refused'
      /** For the one who tried. */
      readonly reason: string
      /** More than the decision and its reason was changed. */
      readonly tampering: boolean
    }
  /** The request as it stands now: decided, or with one more vote while others still have to agree. */
  | { readonly kind: 'admitted'; readonly request: ApprovalRequest }

/** The API's bound of `status.approvals`. */
const maximumVotes = 16

export function admitDecision(attempt: DecisionAttempt): Admission {
  const { before, after, by } = attempt
  const changed = changedBeyondDecision(before, after)
  if (changed) return refused(`only decision and reason can be set, and ${changed} was changed`, true)
  const { decision } = after.spec
  if (decision === before.spec.decision && after.spec.reason === before.spec.reason)
    return { kind: 'unchanged' }
  if (decision === undefined && before.spec.decision === undefined) return { kind: 'unchanged' }
  const refusal = timing(attempt) ?? whoMayNot(attempt)
  if (refusal !== undefined) return refused(refusal, false)
  return { kind: 'admitted', request: decision === 'Denied' ? denied(attempt) : voted(attempt, by) }
}

function refused(reason: string, tampering: boolean): Admission {
  return { kind: 'refused', reason, tampering }
}

/** @returns what was changed that may not be. */
function changedBeyondDecision(before: ApprovalRequest, after: ApprovalRequest): string | undefined {
  if (before.metadata.name !== after.metadata.name || before.metadata.namespace !== after.metadata.namespace)
    return 'its name'
  const keys = new Set([...Object.keys(before.spec), ...Object.keys(after.spec)]) as Set<
    keyof ApprovalRequest['spec']
  >
  for (const key of keys) {
    if (key === 'decision' || key === 'reason') continue
    if (!isDeepStrictEqual(before.spec[key], after.spec[key])) return `spec.${key}`
  }
  return isDeepStrictEqual(before.status, after.status) ? undefined : 'status'
}

/** Whether there is (still) something to decide. */
function timing({ before, after, now }: DecisionAttempt): string | undefined {
  const state = before.status?.state ?? 'Pending'
  const { decision } = after.spec
  if (state === 'Approved') {
    if (decision !== 'Denied')
      return before.spec.decision === undefined
        ? 'it has been granted already'
        : 'it has been approved already, and only a denial can follow'
    const until = before.status?.grantedUntil ?? before.spec.expiresAt
    return until !== undefined && now >= new Date(until) ? 'it is over already' : undefined
  }
  if (state !== 'Pending') return `it is ${state.toLowerCase()} already`
  const { expiresAt, resumption } = before.spec
  if (expiresAt !== undefined && now >= new Date(expiresAt)) return `it expired at ${expiresAt}`
  return resumption && decision === 'Denied'
    ? `there is nothing to deny: ${before.spec.identity} stays as it is until somebody approves`
    : undefined
}

function whoMayNot({ before, after, by, agentUsers }: DecisionAttempt): string | undefined {
  const { requirements, chain } = before.spec
  const links = chain.flatMap(({ identity }) => [identity, identity.slice(identity.indexOf('/') + 1)])
  if (links.includes(by.user))
    return `${by.user} is in the chain that asks, and nobody approves for themselves`
  if (agentUsers.includes(by.user) || by.user === before.spec.resumption?.agentUser)
    return `${by.user} is a user that agents run as, and nobody approves for themselves`
  if (!requirements.some((requirement) => mayDecide(requirement, by))) {
    const groups = [...new Set(requirements.flatMap((requirement) => requirement.groups ?? []))]
    return `${by.user} is in none of the groups that may decide: ${groups.join(', ')}`
  }
  const votes = before.status?.approvals ?? []
  if (after.spec.decision === 'Denied') return undefined
  if (votes.some((vote) => vote.user === by.user))
    return `${by.user} has agreed already, and others have to as well`
  if (!unmet(requirements, votes).some((requirement) => mayDecide(requirement, by)))
    return `those whom ${by.user} belongs to have agreed already, and others have to as well`
  return votes.length < maximumVotes
    ? undefined
    : 'as many as can be noted have agreed, and others have to as well'
}

function denied({ before, after, by, now }: DecisionAttempt): ApprovalRequest {
  const { status = {}, spec } = before
  const { reason } = after.spec
  const others = (status.approvals ?? []).filter((vote) => vote.user !== by.user).slice(0, maximumVotes - 1)
  return {
    ...before,
    spec: withDecision(spec, 'Denied', reason),
    status: {
      ...status,
      state: 'Denied',
      approvals: [...others, vote(by, spec.requirements, 'Denied', reason, now)],
      ...(status.grantedUntil !== undefined && { grantedUntil: now.toISOString() }),
    },
  }
}

function voted({ before, after, now }: DecisionAttempt, by: Approver): ApprovalRequest {
  const { status = {}, spec } = before
  const { reason } = after.spec
  const approvals = [...(status.approvals ?? []), vote(by, spec.requirements, 'Approved', reason, now)]
  if (spec.requirements.some((requirement) => missingVotes(requirement, approvals) > 0))
    return { ...before, status: { ...status, state: 'Pending', approvals } }
  return {
    ...before,
    spec: withDecision(spec, 'Approved', reason),
    status: { ...status, state: 'Approved', approvals, ...windowOf(spec, now) },
  }
}

/** From when to when an elevation is granted. */
export function windowOf(
  { elevation }: ApprovalRequest['spec'],
  now: Date,
): { grantedUntil: string } | undefined {
  if (!elevation) return undefined
  return { grantedUntil: new Date(now.getTime() + seconds(elevation.duration) * 1_000).toISOString() }
}

function withDecision(
  { reason: _before, ...spec }: ApprovalRequest['spec'],
  decision: 'Approved' | 'Denied',
  reason: string | undefined,
): ApprovalRequest['spec'] {
  return { ...spec, decision, ...(reason !== undefined && { reason }) }
}

/** Of the groups those that matter come first, should there be more than can be noted. */
function vote(
  { user, groups }: Approver,
  requirements: ApprovalRequest['spec']['requirements'],
  decision: 'Approved' | 'Denied',
  reason: string | undefined,
  now: Date,
): NonNullable<NonNullable<ApprovalRequest['status']>['approvals']>[number] {
  const matters = new Set(requirements.flatMap((requirement) => requirement.groups ?? []))
  const noted = [...groups].sort((a, b) => Number(matters.has(b)) - Number(matters.has(a))).slice(0, 256)
  return {
    user,
    ...(noted.length > 0 && { groups: noted }),
    decision,
    ...(reason !== undefined && { reason }),
    at: now.toISOString(),
  }
}
