/** What requests to a Kubernetes API do that could get around the gateway, or change who may do what. */
import type { Touch } from '@firebreak/policy'
import { firstOf, isForbidden, triedInRequest } from '../../http/analysis/suspicions.ts'
import type { Suspicions } from '../../suspicions.ts'
import type { KubernetesAction } from './actions.ts'

/** What is ordinary work of whoever policy lets do it. */
const beyond: Partial<Record<KubernetesAction, string>> = {
  'k8s:privileged': 'runs containers that can leave themselves',
  'k8s:hostAccess': 'reaches into the node',
  'k8s:grant': 'changes who may do what',
  'k8s:token': 'obtains a token that is good past the gateway',
  'k8s:approve': 'decides whom the API server trusts',
  'k8s:admission': 'changes what is asked before objects are taken',
  'k8s:extend': 'changes what the API itself is',
}

export const kubernetesSuspicions: Suspicions = {
  reachesAround: (command) =>
    firstOf(command, (touch) =>
      asked(touch) && touch.action === 'k8s:changeFirebreak' ? 'changes what is Firebreak’s own' : undefined,
    ),
  mayReachAround: (command) => firstOf(command, mayInWords),
  readsOn: () => false,
  isProbe: isForbidden,
  tried: triedInRequest,
  passing: () => false,
}

function mayInWords(touch: Touch): string | undefined {
  if (!asked(touch)) return undefined
  const { action, object } = touch
  if (action === 'k8s:proxy' && object.path[1] === 'nodes') return 'speaks to a kubelet past the API server'
  return beyond[action as KubernetesAction]
}

function asked({ origin }: Touch): boolean {
  return origin !== 'implied'
}
