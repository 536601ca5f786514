/** Who hears of what happens to a request: `kubectl describe` of the request and of its pod, and a webhook. */
import type { ApprovalEvent, EventKind } from '@firebreak/sidecar/approvals/events.ts'
import type { Notifier } from '@firebreak/sidecar/approvals/notifier.ts'
import { inWords } from '@firebreak/sidecar/approvals/requirements.ts'
import { pods } from '../kubernetes/objects.ts'
import type { TellApproval } from '../reconcile/approval-request.ts'
import type { Recorder } from '../reconcile/event-recorder.ts'
import type { World } from '../watch/world.ts'

export function tellApproval(world: World, recorder: Recorder, notifier: Notifier | undefined): TellApproval {
  return (event, request) => {
    notifier?.notify(event)
    const { name, namespace } = request.metadata
    const happening = {
      type: event.decision === 'Denied' ? ('Warning' as const) : ('Normal' as const),
      reason: reasons[event.kind] ?? 'Changed',
      action: 'Approve',
      note: inSentence(event),
    }
    recorder.record(request, happening)
    const pod = world.pods.get(`${namespace}/${request.spec.pod}`)
    if (pod)
      recorder.record(
        { ...pod, apiVersion: pods.apiVersion, kind: pods.kind },
        { ...happening, note: `approvalrequest/${name}: ${happening.note}` },
      )
  }
}

const reasons: Partial<Record<EventKind, string>> = {
  requested: 'ApprovalRequested',
  decided: 'ApprovalDecided',
  used: 'ApprovalUsed',
  withdrawn: 'ApprovalWithdrawn',
  expired: 'ApprovalExpired',
  granted: 'ElevationGranted',
  ended: 'ElevationEnded',
}

function inSentence({ kind, request, by, decision, reason }: ApprovalEvent): string {
  const why = reason === undefined ? '' : `: ${reason}`
  const until = request?.status?.grantedUntil
  if (kind === 'requested') return `waits for ${inWords(request?.spec.requirements ?? [])}`
  if (kind === 'decided') return `${decision === 'Denied' ? 'denied' : 'approved'} by ${by?.user}${why}`
  if (kind === 'granted') return `in force until ${until}${why}`
  if (kind === 'used') return `the command ran in ${request?.status?.usedBy?.pod}`
  return `${kind}${why}`
}
