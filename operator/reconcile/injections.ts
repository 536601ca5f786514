import { annotations, labels } from '../containment/names.ts'
import type { World } from '../watch/world.ts'
import type { Recorder } from './event-recorder.ts'

/** Tells of an agent's pods that get their sidecars, from now on: what admission let in may still not come to be. */
export function tellOfInjections(world: World, recorder: Recorder, signal: AbortSignal): void {
  let known = false
  world.pods.onChange((_key, now, before) => {
    if (!known || signal.aborted || !now || before) return
    const { namespace, labels: podLabels, annotations: podAnnotations } = now.metadata
    const identity = world.identities.get(`${namespace}/${podLabels?.[labels.agent]}`)
    if (!identity) return
    const note = `pods get the sidecars of version ${podAnnotations?.[annotations.injected]}`
    recorder.record(identity, { type: 'Normal', reason: 'Injected', action: 'Inject', note })
  })
  known = true
}
