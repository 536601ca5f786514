/** Who hears of a signal: `kubectl describe` of the identity and of the pod, a webhook, and Prometheus. */
import type { Notifier } from '@firebreak/sidecar/approvals/notifier.ts'
import { agentIdentities, pods } from '../kubernetes/objects.ts'
import type { Recorder } from '../reconcile/event-recorder.ts'
import type { World } from '../watch/world.ts'
import type { TellSignal } from './service.ts'

export interface SignalHearers {
  readonly world: World
  readonly recorder: Recorder
  readonly notifier: Notifier | undefined
  readonly counted: (kind: string, severity: string) => void
}

export function tellSignal({ world, recorder, notifier, counted }: SignalHearers): TellSignal {
  return ({ key }, signal) => {
    const { kind, severity, action = 'alert', identity, explanation } = signal
    counted(kind, severity)
    notifier?.signal({ ...signal, pod: key })
    const happening = {
      type: 'Warning',
      reason: `Signal${inCapitals(kind)}`,
      action: inCapitals(action),
      note: printable(explanation),
    } as const
    const agent = world.identities.get(identity)
    if (agent) recorder.record({ ...agent, ...typeOf(agentIdentities) }, happening)
    const pod = world.pods.get(key)
    if (pod) recorder.record({ ...pod, ...typeOf(pods) }, happening)
  }
}

function typeOf({ apiVersion, kind }: { readonly apiVersion: string; readonly kind: string }): {
  readonly apiVersion: string
  readonly kind: string
} {
  return { apiVersion, kind }
}

function inCapitals(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1)
}

/** It may quote what an agent has sent, and kubectl prints an Event as it is. */
function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ')
}
