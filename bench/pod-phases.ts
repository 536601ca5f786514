/** When what became of a pod that starts. */
import type { KubeConfig, V1ContainerStatus } from '@kubernetes/client-node'
import { KubernetesClient } from '../operator/kubernetes/client.ts'
import { pods } from '../operator/kubernetes/objects.ts'

type Pod = (typeof pods)['object']

/** In milliseconds, in the order in which they came. */
export type Phases = ReadonlyMap<string, number>

/** @param start makes the pod. @returns once it is ready. */
export async function startOf(
  access: KubeConfig,
  namespace: string,
  name: string,
  start: () => Promise<unknown>,
): Promise<Phases> {
  await using client = new KubernetesClient(access)
  const selection = { namespace, fieldSelector: `metadata.name=${name}` }
  const { resourceVersion } = await client.list(pods, selection)
  const ended = new AbortController()
  const signal = AbortSignal.any([ended.signal, AbortSignal.timeout(120_000)])
  const phases = new Map<string, number>()
  const began = performance.now()
  const starting = start()
  try {
    for await (const event of client.watch(pods, resourceVersion, selection, signal)) {
      if (event.type !== 'ADDED' && event.type !== 'MODIFIED') continue
      for (const phase of phasesOf(event.object))
        if (!phases.has(phase)) phases.set(phase, performance.now() - began)
      if (phases.has(ready)) return phases
    }
    throw new Error(`the watch of pod ${name} ended before it was ready`)
  } finally {
    ended.abort()
    await starting
  }
}

const ready = 'the pod is ready'

function phasesOf({ status }: Pod): string[] {
  const of = ({ name, state }: V1ContainerStatus): string[] => {
    if (state?.terminated) return [`${name} has ended`]
    return state?.running ? [`${name} runs`] : []
  }
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]
  const isReady = status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True')
  return [...containers.flatMap(of), ...(isReady ? [ready] : [])]
}
