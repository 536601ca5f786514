/** Status conditions. https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties */

export interface Condition {
  type: string
  status: 'True' | 'False' | 'Unknown'
  observedGeneration?: number
  lastTransitionTime: string
  reason: string
  message: string
}

/** What a reconciler found out about one aspect. */
export interface Finding {
  readonly type: string
  readonly status: Condition['status']
  /** CamelCase, for machines. */
  readonly reason: string
  readonly message: string
}

/** On a ProtectedResource, by `kubectl firebreak verify` with the rights of who ran it: the operator neither writes nor removes it. */
export const verifiedCondition = 'Verified'

/** What nothing but a change of the object itself can end. */
const lasting = ['InvalidRule']

/**
 * The conditions that stand for findings, and `Ready` that sums them up: true when all are, else as the first that isn't. While it
 * isn't, tools that wait by kstatus see `Reconciling`, or `Stalled` where waiting is of no use.
 * https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
 *
 * @param before what stands in the status: a condition that hasn't changed keeps its time.
 * @param now RFC 3339.
 * @param besides what a person should know although all is in force: `Ready` doesn't depend on it.
 */
export function conditionsFor(
  findings: readonly Finding[],
  generation: number | undefined,
  before: readonly Condition[] | undefined,
  now: string,
  besides: readonly Finding[] = [],
): Condition[] {
  const worst =
    findings.find(({ status }) => status === 'False') ?? findings.find(({ status }) => status === 'Unknown')
  const ready: Finding = worst
    ? { ...worst, type: 'Ready' }
    : { type: 'Ready', status: 'True', reason: 'InForce', message: 'in force everywhere' }
  const progress: Finding[] = worst
    ? [{ ...worst, type: lasting.includes(worst.reason) ? 'Stalled' : 'Reconciling', status: 'True' }]
    : []
  return conditionsSince([...findings, ...besides, ready, ...progress], generation, before, now)
}

/** The conditions that stand for findings, each since it has been so. */
export function conditionsSince(
  findings: readonly Finding[],
  generation: number | undefined,
  before: readonly Condition[] | undefined,
  now: string,
): Condition[] {
  return findings.map((finding) => {
    const known = before?.find(({ type }) => type === finding.type)
    const since = known?.status === finding.status ? known.lastTransitionTime : now
    return {
      ...finding,
      ...(generation !== undefined && { observedGeneration: generation }),
      lastTransitionTime: since,
    }
  })
}
