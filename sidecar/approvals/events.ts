/** What happens to requests, for the audit trail and for whoever is to be notified. */
import type { ApprovalRequest } from '@firebreak/crds'
import type { Approver } from './requirements.ts'

export type EventKind =
  | 'requested'
  | 'decided'
  /** Somebody tried to decide who may not, or too late. */
  | 'refused'
  | 'used'
  | 'withdrawn'
  | 'expired'
  | 'granted'
  | 'ended'
  /** More than a decision was written into a request. */
  | 'tampering'
  | 'storeFailed'

export interface ApprovalEvent {
  readonly kind: EventKind
  readonly request?: ApprovalRequest
  /** Where there is no such request. */
  readonly name?: string
  readonly by?: Approver
  readonly decision?: 'Approved' | 'Denied'
  readonly reason?: string
  /** Of the audit line of the command. */
  readonly reference?: string
  /** Nobody was waiting for the decision. */
  readonly unheard?: boolean
}

/** Name of the event in the audit trail. */
export function eventName({ kind }: ApprovalEvent): string {
  return kind === 'granted' || kind === 'ended' ? `elevation.${kind}` : `approval.${kind}`
}

/** As it stands in the audit trail. The text is in the command's own line, by the rules of that. */
export function auditFields({
  request,
  name,
  by,
  decision,
  reason,
  reference,
}: ApprovalEvent): Readonly<Record<string, unknown>> {
  const spec = request?.spec
  const namespace = request?.metadata.namespace
  return {
    request: request?.metadata.name ?? name,
    reference,
    ...(spec && {
      identity: `${namespace}/${spec.identity}`,
      chain: spec.chain.length > 1 ? spec.chain.map((link) => link.identity) : undefined,
      resource: `${namespace}/${spec.resource}`,
      role: spec.role,
      digest: spec.command?.digest,
      actions: spec.command?.actions,
      objects: spec.command?.objects,
      elevation: spec.elevation,
      justification: spec.justification,
      rules: spec.requirements.map(({ policy, rule }) => `${policy}/${rule}`),
      state: request.status?.state,
      grantedUntil: request.status?.grantedUntil,
    }),
    by: by?.user,
    groups: by && by.groups.length > 0 ? by.groups : undefined,
    decision,
    reason,
  }
}

/** What is worth an alarm, as the audit trail's event `signal`. */
export function signalOf(event: ApprovalEvent): Readonly<Record<string, unknown>> | undefined {
  const { kind, request, by, reason } = event
  const { request: name, identity, resource, role } = auditFields(event)
  const about = { request: name, identity, resource, role, by: by?.user }
  if (kind === 'tampering') return { kind: 'tampering', severity: 'critical', ...about, reason }
  if (kind === 'granted' && request?.spec.elevation?.breakGlass)
    return { kind: 'breakGlass', severity: 'critical', ...about, reason: request.spec.justification }
  return undefined
}
