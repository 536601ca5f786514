/** The service by which sidecars tell of signals. */
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect'
import { SlidingWindow } from '@firebreak/sidecar/limits/sliding-window.ts'
import { type Routes, Signals } from '@firebreak/xds'
import type { Caller } from '../approvals/service.ts'
import type { Key } from '../watch/informer.ts'
import type { World } from '../watch/world.ts'
import type { ProvenPod } from '../xds/authenticate.ts'
import { type Told, told } from './told.ts'

/** Of all pods of an agent, by this replica: each tells the same once within its window. */
const maximumPerMinute = 120

export type TellSignal = (pod: ProvenPod, signal: Extract<Told, { ok: true }>['value']) => void

/** @param admit proves the pod. */
export function signalsService(
  admit: (context: HandlerContext) => Promise<Caller>,
  world: World,
  tell: TellSignal,
): Routes {
  const heard = new Map<Key, SlidingWindow>()
  const delegates = (from: Key, to: Key): boolean => {
    const [namespace, name = ''] = to.split('/')
    return (
      from.startsWith(`${namespace}/`) &&
      world.identities.get(to) !== undefined &&
      (world.identities.get(from)?.spec.delegation?.to ?? []).includes(name)
    )
  }
  return (router) => {
    router.service(Signals, {
      tell: async ({ signal }, context) => {
        using caller = await admit(context)
        const { pod } = caller
        const window = heard.get(pod.agent) ?? new SlidingWindow(60_000)
        heard.set(pod.agent, window)
        const now = performance.now()
        if (window.total(now) >= maximumPerMinute)
          throw new ConnectError(
            `${pod.agent} has told of ${maximumPerMinute} signals within a minute, and that is the most it may tell`,
            Code.ResourceExhausted,
          )
        window.add(1, now)
        const line = told(signal, { agent: pod.agent, delegates })
        if (!line.ok) throw new ConnectError(line.error, Code.PermissionDenied)
        tell(pod, line.value)
        return {}
      },
    })
  }
}
