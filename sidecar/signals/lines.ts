/** What is heard, as events; and what is found, as lines of the audit trail. */
import type { SignalKind, SignalRule } from '@firebreak/policy'
import type { ApprovalEvent } from '../approvals/events.ts'
import type { Notices } from '../audit/lines.ts'
import { isLate } from '../identity/signal.ts'
import type { Finding, SignalEvent } from './events.ts'

type SignalLine = Notices['signal']

/** What is often nothing, and worth a look all the same. */
const quiet: ReadonlySet<SignalKind> = new Set(['firstSeen', 'offHours', 'idleThenBurst', 'volumeSpike'])

/** Whom a finding is about. */
export interface About extends Pick<SignalLine, 'identity' | 'resource' | 'session' | 'remote' | 'chain'> {
  /** The sentence's subject. */
  readonly who: string
}

/** @param untold how often the same was seen since it was told last. */
export function toLine(
  { kind, action, reference }: SignalRule,
  { explanation, evidence }: Finding,
  untold: number,
  { who, ...about }: About,
): SignalLine {
  const before = untold === 0 ? '' : ` The same was seen ${untold} times more since it was told last.`
  const last = evidence.at(-1)
  return {
    kind,
    severity: action === 'suspend' ? 'critical' : action === 'alert' && quiet.has(kind) ? 'low' : 'high',
    ...about,
    ...(last !== undefined && { reference: last }),
    policy: reference.policy,
    action,
    evidence,
    explanation: `${who} ${explanation}.${before}`,
  }
}

/** Denials, and what is asked for. */
export function aboutRequest({ kind, request, decision }: ApprovalEvent): SignalEvent | undefined {
  const { command, elevation } = request?.spec ?? {}
  if (!request || (!command && !elevation)) return undefined
  const event =
    kind === 'requested' ? 'asked' : kind === 'decided' && decision === 'Denied' ? 'denied' : undefined
  if (!event) return undefined
  const signature = command
    ? `${command.actions.join(', ')} on ${command.objects.join(', ')}`
    : `elevation ${JSON.stringify({ ...elevation, duration: undefined })}`
  return { kind: event, request: request.metadata.name, signature }
}

export function fromEgress(line: Notices['egress.refused']): SignalEvent {
  const what = line.destination ?? line.name ?? line.kind
  return { kind: 'egress', what, words: `${what} (${line.reason})` }
}

/** Misuse of tokens and delegations, which is told one by one as well. */
export function fromSignal({
  kind,
  severity,
  problem,
  reference = '',
  explanation,
}: SignalLine): SignalEvent | undefined {
  const of = kind === 'tokenMisuse' ? 'token' : misuseOfDelegations.has(kind) ? 'delegation' : undefined
  return (
    of && {
      kind: 'misuse',
      of,
      weight: severity !== 'low' ? 'grave' : isLate(problem) ? 'late' : 'ordinary',
      reference,
      words: explanation.replace(/\.$/, ''),
    }
  )
}

const misuseOfDelegations: ReadonlySet<string> = new Set(['childActsAsParent', 'delegationMisuse'])
