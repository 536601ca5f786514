import type { Kubectl } from '../e2e/cluster/kubectl.ts'
import type { Eventually } from './eventually.ts'

/**
 * Makes a pod of an agent. A replica that has just begun to serve may not know the agent yet, and lets its pod pass as
 * anybody's: then it is made anew.
 *
 * @returns once it has its sidecars.
 */
export async function makeInjectedPod(
  kubectl: Kubectl,
  eventually: Eventually,
  pod: { readonly metadata: { readonly name: string; readonly namespace: string } },
): Promise<void> {
  const input = JSON.stringify(pod)
  const { name, namespace } = pod.metadata
  await kubectl.apply(input)
  await eventually(async () => {
    const sidecars = await kubectl.run([
      ...['get', 'pod', name, '-n', namespace],
      ...['-o', 'jsonpath={.spec.initContainers[*].name}'],
    ])
    if (sidecars === '') await kubectl.run(['replace', '--force', '-f', '-'], { input })
    return sidecars
  }, /^firebreak-enforcer /)
}
