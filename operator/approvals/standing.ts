/** Where a request stands, by what is written in it and the time. Pure. */
import type { ApprovalRequest } from '@firebreak/crds'
import { windowOf } from '@firebreak/sidecar/approvals/admission.ts'
import { unmet } from '@firebreak/sidecar/approvals/requirements.ts'
import { isFinished } from '@firebreak/sidecar/approvals/store.ts'

export type Status = NonNullable<ApprovalRequest['status']>
export type Standing = ApprovalRequest & { readonly status: Status }

/**
 * The request with the status that follows from the votes. Admission writes these into the spec, in one step with the
 * decision; the status that is written follows a moment later, and says alone what was used or withdrawn.
 */
export function standing(request: ApprovalRequest, now: Date): Standing {
  const { spec, status = {} } = request
  const approvals = spec.votes && { approvals: spec.votes }
  if (isFinished(request)) return { ...request, status: { ...status, ...approvals } }
  return { ...request, status: { ...status, ...approvals, ...decided(request, now) } }
}

/** When nothing more can be decided, used or ended: the time at which to look again. Undefined when that is now. */
export function lapsesAt({ spec, status }: Standing): string | undefined {
  if (status.state === 'Approved') return status.grantedUntil ?? spec.expiresAt
  return status.state === 'Pending' ? spec.expiresAt : undefined
}

type Decided = Pick<Status, 'state' | 'grantedUntil'>

function decided({ spec, status = {} }: ApprovalRequest, now: Date): Decided {
  const { votes = [], decision, requirements, expiresAt } = spec
  const denial = votes.find((vote) => vote.decision === 'Denied')
  if (decision === 'Denied' && denial)
    return { state: 'Denied', ...(status.grantedUntil !== undefined && { grantedUntil: denial.at }) }
  if (status.state === 'Approved' && spec.elevation?.breakGlass) return lapsing(status, now)
  const agreed = votes.filter((vote) => vote.decision === 'Approved')
  if (decision === 'Approved' && agreed.length > 0 && unmet(requirements, votes).length === 0) {
    const last = agreed.map(({ at }) => Date.parse(at)).reduce((a, b) => Math.max(a, b))
    return lapsing({ state: 'Approved', ...windowOf(spec, new Date(last)) }, now, expiresAt)
  }
  return lapsing({ state: 'Pending' }, now, expiresAt)
}

function lapsing({ state, grantedUntil }: Status, now: Date, expiresAt?: string): Decided {
  const until = grantedUntil ?? expiresAt
  const over = until !== undefined && now >= new Date(until)
  return {
    state: over ? 'Expired' : (state ?? 'Pending'),
    ...(grantedUntil !== undefined && { grantedUntil }),
  }
}
