/** What the leader does. */
import type { NamespaceCompiler } from '../compile/namespace.ts'
import type { OperatorPlace } from '../containment/names.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import type { Records } from '../records/records.ts'
import type { World } from '../watch/world.ts'
import { type Acknowledgements, agentIdentityController, type Changing } from './agent-identity.ts'
import { agentNamespaceController } from './agent-namespace.ts'
import { approvalRequestController, type TellApproval } from './approval-request.ts'
import { type ControllerEvents, runController } from './controller.ts'
import type { Recorder } from './event-recorder.ts'
import { guardrailPolicyController } from './guardrail-policy.ts'
import { tellOfInjections } from './injections.ts'
import { type Probe, protectedResourceController } from './protected-resource.ts'

export interface Reconciling {
  readonly world: World
  readonly compiler: NamespaceCompiler
  readonly client: KubernetesClient
  readonly operator: OperatorPlace
  readonly acknowledgements: Acknowledgements
  /** Of what is injected now. */
  readonly sidecarVersion: string
  readonly probe: Probe
  readonly recorder: Recorder
  readonly tellApproval: TellApproval
  /** Where those of all agents go. */
  readonly records?: Records | undefined
  /** Of clients that come by TLS. */
  readonly certificates?: Changing | undefined
  readonly events: ControllerEvents
}

/** Reconciles until the signal ends it, and what has begun is finished. */
export async function reconcileAll(reconciling: Reconciling, signal: AbortSignal): Promise<void> {
  const {
    world,
    compiler,
    client,
    operator,
    acknowledgements,
    sidecarVersion,
    probe,
    recorder,
    events,
    records,
  } = reconciling
  await using stack = new AsyncDisposableStack()
  const controllers = [
    agentNamespaceController(world, client),
    guardrailPolicyController(world, compiler, client, recorder, records?.targets.recordings),
    protectedResourceController(world, probe, operator, client, recorder),
    approvalRequestController(world, client, reconciling.tellApproval),
    agentIdentityController(
      world,
      compiler,
      acknowledgements,
      sidecarVersion,
      operator,
      client,
      recorder,
      records,
      reconciling.certificates,
    ),
  ]
  tellOfInjections(world, recorder, signal)
  for (const controller of controllers) stack.use(await runController(controller, events))
  if (signal.aborted) return
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
}
