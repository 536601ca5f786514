/** Which pods are an agent. */
import type { AgentIdentity } from '@firebreak/crds'
import type { V1LabelSelector } from '@kubernetes/client-node'

/** A pod, as far as an identity selects by it; in admission it has no name yet. */
export interface SelectablePod {
  readonly metadata?: { readonly labels?: Record<string, string> }
  readonly spec?: { readonly serviceAccountName?: string }
}

/** Without a workload an identity selects nothing. */
export function selectedBy({ spec: { workload } }: AgentIdentity, pod: SelectablePod): boolean {
  if (!workload?.podSelector && !workload?.serviceAccounts) return false
  const { podSelector, serviceAccounts } = workload
  return (
    (!podSelector || selectsLabels(podSelector, pod.metadata?.labels ?? {})) &&
    (serviceAccounts?.includes(pod.spec?.serviceAccountName ?? 'default') ?? true)
  )
}

/** https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#resources-that-support-set-based-requirements */
export function selectsLabels(
  { matchLabels = {}, matchExpressions = [] }: V1LabelSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  return (
    Object.entries(matchLabels).every(([name, value]) => labels[name] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key]
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value)
        case 'NotIn':
          return value === undefined || !values.includes(value)
        case 'Exists':
          return value !== undefined
        case 'DoesNotExist':
          return value === undefined
        default:
          return false
      }
    })
  )
}
