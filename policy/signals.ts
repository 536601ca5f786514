/** Which patterns across commands a policy wants to hear of, with every default filled in. */
import type { GuardrailPolicySpec } from '@firebreak/crds'
import type { QualifiedName, RuleReference } from './decision.ts'
import { seconds } from './duration.ts'

type SignalSpec = NonNullable<GuardrailPolicySpec['signals']>[number]

export type SignalKind = SignalSpec['kind']

export interface SignalRule {
  /** `rule` is `signal probing`, so that approval requests can name it like any other rule. */
  readonly reference: RuleReference
  readonly kind: SignalKind
  readonly action: SignalSpec['action']
  /** Whoever approves or resumes must have one. Empty: whoever has the right. */
  readonly groups: readonly string[]
  readonly threshold: number
  readonly windowMilliseconds: number
  /** How long from its first command on it is only learned what is usual for an identity. */
  readonly learnMilliseconds: number
  readonly idleMilliseconds: number
  readonly hours?: SignalSpec['hours']
}

/** Chosen so that ordinary work stays below: retries, a deployment, a nightly load, a busy morning. docs/signals.md says why. */
const defaults: Readonly<Record<SignalKind, { readonly threshold: number; readonly window: string }>> = {
  repeatedApprovalRequests: { threshold: 3, window: '1h' },
  probing: { threshold: 10, window: '10m' },
  tampering: { threshold: 1, window: '1h' },
  egress: { threshold: 20, window: '10m' },
  maskingExceptions: { threshold: 5, window: '10m' },
  idleThenBurst: { threshold: 100, window: '5m' },
  firstSeen: { threshold: 1, window: '1h' },
  volumeSpike: { threshold: 5, window: '1h' },
  rowHarvest: { threshold: 20, window: '24h' },
  offHours: { threshold: 1, window: '1h' },
  tokenMisuse: { threshold: 5, window: '10m' },
  childActsAsParent: { threshold: 1, window: '1h' },
}
export const signalKinds = Object.keys(defaults) as readonly SignalKind[]

const aWeek = '7d'

/** How long people may be asked about a command that is held because of a signal. */
export const signalApprovalSeconds = 15 * 60

export function signalRules(policy: QualifiedName, spec: GuardrailPolicySpec): readonly SignalRule[] {
  return (spec.signals ?? []).map(
    ({ kind, action, groups = [], threshold, window, learnFor = aWeek, idleFor = aWeek, hours }) => ({
      reference: { policy, rule: `signal ${kind}` },
      kind,
      action,
      groups,
      threshold: threshold ?? defaults[kind].threshold,
      windowMilliseconds: seconds(window ?? defaults[kind].window) * 1_000,
      learnMilliseconds: seconds(learnFor) * 1_000,
      idleMilliseconds: seconds(idleFor) * 1_000,
      ...(hours && { hours }),
    }),
  )
}

/** @returns the fields whose time zone this system's database does not know. */
export function unknownTimeZones(spec: GuardrailPolicySpec): readonly { field: string; message: string }[] {
  return (spec.signals ?? []).flatMap(({ hours }, index) =>
    hours === undefined || isTimeZone(hours.timeZone)
      ? []
      : [
          {
            field: `spec.signals[${index}].hours.timeZone`,
            message: `there is no time zone ${hours.timeZone}`,
          },
        ],
  )
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
