import type { GuardrailPolicySpec } from '@firebreak/crds'
import type { DetectorKind, Limits, SessionTerms } from './decision.ts'
import { seconds } from './duration.ts'
import { combineRecording } from './recording.ts'
import type { SignalRule } from './signals.ts'

const textStrictness = { full: 0, normalized: 1, digest: 2 } as const
const failureStrictness = { drop: 0, spool: 1, block: 2 } as const

type OnFailure = SessionTerms['audit']['onFailure']

/** The strictest of all policies that apply to a session, and of what was passed on to it. */
export function combineTerms(
  policies: readonly GuardrailPolicySpec[],
  scopes: readonly Limits[],
  masks: boolean,
  signals: readonly SignalRule[],
  revision: string,
): SessionTerms {
  const detectors = new Set<DetectorKind>(policies.flatMap((policy) => policy.detection?.kinds ?? []))
  const texts = policies.map((policy) => policy.audit?.text ?? 'full')
  return {
    limits: combineLimits([...policies.map((policy) => limitsOf(policy.limits ?? {})), ...scopes]),
    detectors: [...detectors].sort(),
    masks,
    signals,
    audit: {
      text: texts.reduce((a, b) => (textStrictness[b] > textStrictness[a] ? b : a), 'full'),
      onFailure: strictestFailure(policies.map((policy) => policy.audit?.onFailure ?? 'block')),
    },
    recording: combineRecording(policies),
    revision,
  }
}

function strictestFailure(all: readonly OnFailure[]): OnFailure {
  const [first = 'block', ...others] = all
  return others.reduce((a, b) => (failureStrictness[b] > failureStrictness[a] ? b : a), first)
}

function limitsOf({ commandDuration, ...counts }: NonNullable<GuardrailPolicySpec['limits']>): Limits {
  return { ...counts, ...(commandDuration !== undefined && { commandSeconds: seconds(commandDuration) }) }
}

function combineLimits(all: readonly Limits[]): Limits {
  const strictest: { -readonly [Name in keyof Limits]: number } = {}
  for (const limits of all)
    for (const name of Object.keys(limits) as (keyof Limits)[])
      strictest[name] = Math.min(
        strictest[name] ?? Number.POSITIVE_INFINITY,
        limits[name] ?? Number.POSITIVE_INFINITY,
      )
  return strictest
}
