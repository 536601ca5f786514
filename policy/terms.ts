import type { GuardrailPolicySpec } from '@firebreak/crds'
import type { DetectorKind, Limits, SessionTerms } from './decision.ts'
import { seconds } from './duration.ts'

const textStrictness = { full: 0, normalized: 1, digest: 2 } as const

/** The strictest of all policies that apply to a session. */
export function combineTerms(
  policies: readonly GuardrailPolicySpec[],
  masks: boolean,
  revision: string,
): SessionTerms {
  const detectors = new Set<DetectorKind>(policies.flatMap((policy) => policy.detection?.kinds ?? []))
  const texts = policies.map((policy) => policy.audit?.text ?? 'full')
  return {
    limits: combineLimits(policies.map((policy) => policy.limits ?? {})),
    detectors: [...detectors].sort(),
    masks,
    audit: {
      text: texts.reduce((a, b) => (textStrictness[b] > textStrictness[a] ? b : a), 'full'),
      onFailure:
        policies.length > 0 && policies.every((policy) => policy.audit?.onFailure === 'spool')
          ? 'spool'
          : 'block',
    },
    revision,
  }
}

function combineLimits(all: readonly NonNullable<GuardrailPolicySpec['limits']>[]): Limits {
  const least = (values: readonly (number | undefined)[]): number | undefined => {
    const given = values.filter((value) => value !== undefined)
    return given.length === 0 ? undefined : Math.min(...given)
  }
  const limits: Record<keyof Limits, number | undefined> = {
    rowsPerCommand: least(all.map((limit) => limit.rowsPerCommand)),
    rowsPerHour: least(all.map((limit) => limit.rowsPerHour)),
    bytesPerCommand: least(all.map((limit) => limit.bytesPerCommand)),
    bytesPerHour: least(all.map((limit) => limit.bytesPerHour)),
    commandsPerMinute: least(all.map((limit) => limit.commandsPerMinute)),
    commandSeconds: least(
      all.map((limit) => (limit.commandDuration === undefined ? undefined : seconds(limit.commandDuration))),
    ),
  }
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined))
}
