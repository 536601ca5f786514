/** Admission of decisions: who decides is who the API server says, by the rules of a decision, and once. */
import { isDeepStrictEqual } from 'node:util'
import type { ApprovalRequest } from '@firebreak/crds'
import { admitDecision } from '@firebreak/sidecar/approvals/admission.ts'
import type { World } from '../watch/world.ts'
import { type Admission, type AdmissionRequest, allowed, refused } from '../webhooks/admission.ts'
import { isAgent } from '../webhooks/agents.ts'
import type { Authorizer } from '../webhooks/pods.ts'
import { standing } from './standing.ts'

export interface DecisionContext {
  readonly world: World
  readonly operatorUser: string
  readonly mayDo: Authorizer
}

type Spec = ApprovalRequest['spec']
type Judgement =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'refused'; readonly reason: string }
  /** As it has to stand then. */
  | { readonly kind: 'admitted'; readonly spec: Spec }

/** A vote is stamped a moment before it is looked at again. In milliseconds. */
const stampedWithin = 60_000

/** Mutating: notes who decides, and takes a decision that others still have to agree to out again. */
export async function stampDecision(request: AdmissionRequest, context: DecisionContext): Promise<Admission> {
  if (request.userInfo.username === context.operatorUser) return allowed
  const after = request.object as ApprovalRequest
  const judgement = await judge(request, after, new Date(), context)
  if (judgement.kind === 'refused') return refused(judgement.reason)
  if (judgement.kind === 'unchanged') return allowed
  return { allowed: true, patch: [{ op: 'replace', path: '/spec', value: judgement.spec }] }
}

/** Validating: requests are made by the operator alone, and changed by nobody but for a decision as it was stamped. */
export async function validateApproval(
  request: AdmissionRequest,
  context: DecisionContext,
): Promise<Admission> {
  const { operation, subResource, userInfo } = request
  if (userInfo.username === context.operatorUser) return allowed
  if (operation === 'CREATE')
    return refused('approval requests are made by Firebreak, where a command is held')
  if (subResource === 'status') return refused('the status of approval requests is written by Firebreak')
  const before = request.oldObject as ApprovalRequest
  const after = request.object as ApprovalRequest
  if (isDeepStrictEqual(before.spec, after.spec)) return allowed
  const vote = after.spec.votes?.find(
    (each) => !before.spec.votes?.some((known) => isDeepStrictEqual(known, each)),
  )
  const at = new Date(vote?.at ?? 0)
  if (!vote || vote.user !== userInfo.username || Math.abs(Date.now() - at.getTime()) > stampedWithin)
    return refused('a decision is noted by Firebreak alone, in the name of who decides')
  const { decision, reason } = vote
  const { reason: _, ...spec } = before.spec
  const attempt = { ...before, spec: { ...spec, decision, ...(reason !== undefined && { reason }) } }
  const judgement = await judge(request, attempt, at, context)
  if (judgement.kind === 'refused') return refused(judgement.reason)
  return judgement.kind === 'admitted' && isDeepStrictEqual(judgement.spec, after.spec)
    ? allowed
    : refused('the decision was changed by another webhook')
}

async function judge(
  { oldObject, userInfo }: AdmissionRequest,
  after: ApprovalRequest,
  now: Date,
  { world, mayDo }: DecisionContext,
): Promise<Judgement> {
  // the schema is looked at only after what is made of it here
  if (!['Approved', 'Denied', undefined].includes(after.spec.decision))
    return { kind: 'refused', reason: `a decision is Approved or Denied, not ${after.spec.decision}` }
  const before = standing(oldObject as ApprovalRequest, now)
  const { name, namespace } = before.metadata
  const { username, groups = [] } = userInfo
  const admission = admitDecision({
    before,
    // the status is not written here, whatever is sent
    after: { ...after, status: before.status },
    by: { user: username, groups },
    agentUsers: isAgent(userInfo, world) ? [username] : [],
    now,
  })
  if (admission.kind === 'refused') return admission
  if (admission.kind === 'unchanged')
    return after.spec.reason === before.spec.reason
      ? admission
      : { kind: 'refused', reason: 'a reason is written together with a decision' }
  if (!(await mayDo(userInfo, 'approve', 'approvalrequests', { namespace, name })))
    return {
      kind: 'refused',
      reason: `${username} may not decide: it takes the verb approve on approvalrequests.firebreak.dev ${name} in namespace ${namespace}`,
    }
  const { spec, status } = admission.request
  return { kind: 'admitted', spec: { ...spec, votes: status?.approvals ?? [] } }
}
