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

/**
 * The conditions that stand for findings, and `Ready` that sums them up: true when all are, else as the first that isn't.
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
  return conditionsSince([...findings, ...besides, ready], generation, before, now)
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
