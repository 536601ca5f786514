/** What has happened to a request between two of its statuses. Pure. */
import type { ApprovalRequest } from '@firebreak/crds'
import type { ApprovalEvent, EventKind } from '@firebreak/sidecar/approvals/events.ts'

/** @param before as its status was told of last. @param request as it stands now. In the order in which it happened. */
export function happenings(
  { status: before }: Pick<ApprovalRequest, 'status'>,
  request: ApprovalRequest,
): readonly ApprovalEvent[] {
  const { spec, status: { state, approvals = [], why, grantedUntil } = {} } = request
  const known = before?.conditions?.find(({ type }) => type === 'Approved')?.reason
  const events: ApprovalEvent[] = known === undefined ? [{ kind: 'requested', request }] : []
  for (const { user, groups = [], decision, reason, at } of approvals) {
    const noted = before?.approvals?.some((vote) => vote.user === user && vote.at === at)
    if (noted) continue
    events.push({
      kind: 'decided',
      request,
      by: { user, groups },
      decision,
      ...(reason !== undefined && { reason }),
    })
  }
  const granted = grantedUntil !== undefined
  if (granted && before?.grantedUntil === undefined)
    events.push({
      kind: 'granted',
      request,
      ...(spec.elevation?.breakGlass && { reason: spec.justification ?? '' }),
    })
  const kind = state === known ? undefined : endOf(state, granted)
  return kind ? [...events, { kind, request, ...(why !== undefined && { reason: why }) }] : events
}

function endOf(
  state: NonNullable<ApprovalRequest['status']>['state'],
  granted: boolean,
): EventKind | undefined {
  if (granted && state !== 'Approved') return 'ended'
  if (state === 'Used') return 'used'
  if (state === 'Expired') return 'expired'
  return state === 'Withdrawn' ? 'withdrawn' : undefined
}
