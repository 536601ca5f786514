/**
 * What tools that wait by kstatus (Flux, kpt, Argo CD's CLI) make of an object of a kind that they don't know.
 * https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
 */
export type Kstatus = 'Current' | 'InProgress' | 'Failed' | 'Terminating'

export interface Watched {
  readonly metadata: { readonly generation?: number; readonly deletionTimestamp?: string }
  readonly status?: {
    readonly observedGeneration?: number
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
  }
}

export function kstatus({ metadata, status = {} }: Watched): Kstatus {
  const { observedGeneration, conditions = [] } = status
  if (metadata.deletionTimestamp !== undefined) return 'Terminating'
  if (observedGeneration !== undefined && observedGeneration !== metadata.generation) return 'InProgress'
  const said = conditions.find(
    ({ type, status: is }) => ['Reconciling', 'Stalled'].includes(type) && is === 'True',
  )
  if (said) return said.type === 'Stalled' ? 'Failed' : 'InProgress'
  const ready = conditions.find(({ type }) => type === 'Ready')
  return ready && ready.status !== 'True' ? 'InProgress' : 'Current'
}
