/** What happens to requests, for the audit trail and for whoever is to be notified. */
import type { ApprovalRequest } from '@firebreak/crds'
import type { ApprovalEventName, ApprovalLine, Notices } from '../audit/lines.ts'
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
  /** Its file could not be written. */
  | 'unsaved'

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
export function eventName({ kind }: ApprovalEvent): ApprovalEventName {
  if (kind === 'granted' || kind === 'ended') return `elevation.${kind}`
  return `approval.${kind === 'tampering' ? 'refused' : kind}`
}

/** As it stands in the audit trail. The text is in the command's own line, by the rules of that. */
export function auditLine({ request, name, by, decision, reason, reference }: ApprovalEvent): ApprovalLine {
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
      resumption: spec.resumption,
      justification: spec.justification,
      rules: spec.requirements.map(({ policy, rule }) => `${policy}/${rule}`),
      state: request.status?.state,
      grantedUntil: request.status?.grantedUntil,
    }),
    by: by?.user,
    groups: by && by.groups.length > 0 ? by.groups : undefined,
    verdict: decision,
    reason,
  }
}

/** What is worth an alarm. */
export function signalOf({ kind, request, name, by, reason }: ApprovalEvent): Notices['signal'] | undefined {
  const spec = request?.spec
  const about = {
    severity: 'critical' as const,
    ...(request && { request: request.metadata.name }),
    ...(request &&
      spec && {
        identity: `${request.metadata.namespace}/${spec.identity}` as const,
        resource: `${request.metadata.namespace}/${spec.resource}` as const,
      }),
  }
  if (kind === 'tampering') {
    const explanation = `${by?.user} wrote to approvalrequest/${request?.metadata.name ?? name}: ${reason}. It had no effect.`
    return { kind: 'tampering', ...about, explanation }
  }
  if (kind === 'granted' && spec?.elevation?.breakGlass) {
    const explanation = `${about.identity} broke the glass on ${about.resource}: ${spec.justification}`
    return { kind: 'breakGlass', ...about, explanation }
  }
  return undefined
}
