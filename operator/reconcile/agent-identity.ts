/** AgentIdentity: its NetworkPolicies, and whether all of its pods are contained by the configuration that is in force. */
import type { AgentIdentity, AgentIdentityStatus } from '@firebreak/crds'
import { rolesGrantedTo } from '../approvals/granted-roles.ts'
import { agentOf } from '../approvals/requests.ts'
import { compileAgent } from '../compile/agent.ts'
import type { NamespaceCompiler } from '../compile/namespace.ts'
import { agentNetworkPolicies } from '../containment/agent-network-policy.ts'
import { annotations, labels, type OperatorPlace } from '../containment/names.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { agentIdentities } from '../kubernetes/objects.ts'
import type { Records } from '../records/records.ts'
import { keyOf } from '../watch/informer.ts'
import type { KnownPod } from '../watch/known-pod.ts'
import { inNamespace, type Key, keysIn, type World } from '../watch/world.ts'
import { conditionsFor, type Finding } from './conditions.ts'
import { type Controller, type Watch, watching, watchingSpec } from './controller.ts'
import type { Recorder } from './event-recorder.ts'
import { applyNetworkPolicies } from './network-policies.ts'
import { selectedBy } from './selection.ts'
import { writeStatus } from './status.ts'

/** What sidecars have said about the configuration that they got. */
export interface Acknowledgements {
  /** The revision that a pod's sidecar has in force, or why it refused the last one. */
  of(podUid: string): { readonly revision?: string; readonly refusal?: string } | undefined
  /** Told by the key of the AgentIdentity. */
  readonly changes: Watch
}

/** @param sidecarVersion of what is injected now. */
export function agentIdentityController(
  world: World,
  compiler: NamespaceCompiler,
  acknowledgements: Acknowledgements,
  sidecarVersion: string,
  operator: OperatorPlace,
  client: KubernetesClient,
  recorder: Recorder,
  records?: Records,
  certificates?: Changing,
): Controller {
  const allOf = (namespace: string | undefined): Key[] => keysIn(world.identities, namespace)
  return {
    name: 'AgentIdentity',
    watches: [
      watchingSpec(world.identities, ({ metadata: { namespace } }) => allOf(namespace)),
      watchingSpec(world.resources, ({ metadata: { namespace } }) => allOf(namespace)),
      watchingSpec(world.policies, ({ metadata: { namespace } }) => allOf(namespace)),
      watching(world.approvals, (request) =>
        request.spec.elevation?.role === undefined ? [] : [agentOf(request)],
      ),
      watching(world.secrets, ({ metadata: { namespace } }) => allOf(namespace)),
      watching(world.pods, ({ metadata: { namespace, labels: podLabels } }) => {
        const agent = podLabels?.[labels.agent]
        return agent === undefined ? allOf(namespace) : [`${namespace}/${agent}`]
      }),
      watching(world.networkPolicies, ({ metadata: { namespace, labels: policyLabels } }) => {
        const agent = policyLabels?.[labels.agent]
        return agent === undefined ? [] : [`${namespace}/${agent}`]
      }),
      acknowledgements.changes,
      ...[records, certificates].flatMap((changing) => (changing ? [concerningAll(changing, world)] : [])),
    ],
    async reconcile(key) {
      const identity = world.identities.get(key)
      // what it owns is deleted with it
      if (!identity || identity.metadata.deletionTimestamp) return undefined
      const { namespace, generation } = identity.metadata
      const compiledNamespace = compiler.compile(world.objectsOf(namespace))
      const { resources } = compiledNamespace.objects
      const used = resources.filter(({ metadata }) =>
        identity.spec.access?.some(({ resource }) => resource === metadata.name),
      )
      await applyNetworkPolicies(
        client,
        world,
        agentNetworkPolicies(identity, used, operator, records?.destinations),
        {
          labels: { [labels.agent]: identity.metadata.name },
          namespace,
        },
      )
      const compiled = compileAgent(identity, compiledNamespace, rolesGrantedTo(key, world))
      const revision = compiled.kind === 'compiled' ? compiled.configuration.revision : undefined
      const own = inNamespace(world.pods, namespace).filter(
        (pod) => isRunning(pod) && selectedBy(identity, pod),
      )
      const contained = own.filter(
        (pod) =>
          pod.metadata.labels?.[labels.agent] === identity.metadata.name &&
          acknowledgements.of(pod.metadata.uid ?? '')?.revision === revision,
      )
      const outdated = own.filter(({ metadata: { annotations: podAnnotations } }) => {
        const version = podAnnotations?.[annotations.injected]
        return version !== undefined && version !== sidecarVersion
      })
      const status: AgentIdentityStatus = {
        ...(generation !== undefined && { observedGeneration: generation }),
        pods: own.length,
        containedPods: contained.length,
        outdatedPods: outdated.length,
        ...(compiled.kind === 'compiled' && { policies: compiled.configuration.objects.policies.length }),
        ...(revision !== undefined && { revision }),
        conditions: conditionsFor(
          [
            configured(compiled),
            accessible(
              identity,
              resources.map(({ metadata }) => metadata.name),
            ),
            containment(own, contained, identity, acknowledgements),
          ],
          generation,
          identity.status?.conditions,
          new Date().toISOString(),
          [currentness(own, outdated)],
        ),
      }
      await writeStatus(client, recorder, agentIdentities, identity, status)
      return undefined
    },
  }
}

/** Credentials and certificates, which are changed: everybody's revision is another one then. */
export interface Changing {
  onChange(listener: () => void): void
}

function concerningAll(changing: Changing, { identities }: World): Watch {
  return {
    synced: identities.synced,
    onKeys: (listener) =>
      changing.onChange(() => {
        for (const identity of identities.list()) listener(keyOf(identity))
      }),
  }
}

function isRunning({ status, metadata }: KnownPod): boolean {
  return status?.phase !== 'Succeeded' && status?.phase !== 'Failed' && !metadata.deletionTimestamp
}

function configured(compiled: ReturnType<typeof compileAgent>): Finding {
  if (compiled.kind === 'withheld')
    return { type: 'Configured', status: 'False', reason: 'PolicyNotValid', message: compiled.reason }
  const { policies } = compiled.configuration.objects
  return policies.length > 0
    ? {
        type: 'Configured',
        status: 'True',
        reason: 'Compiled',
        message: `${policies.length} ${policies.length === 1 ? 'policy applies' : 'policies apply'}`,
      }
    : {
        type: 'Configured',
        status: 'False',
        reason: 'NoPolicy',
        message: 'no GuardrailPolicy applies, so nothing is allowed',
      }
}

function accessible({ spec: { access = [] } }: AgentIdentity, resources: readonly string[]): Finding {
  const missing = access.map(({ resource }) => resource).filter((name) => !resources.includes(name))
  return missing.length === 0
    ? {
        type: 'ResourcesFound',
        status: 'True',
        reason: 'Found',
        message: 'all resources it may use are there',
      }
    : {
        type: 'ResourcesFound',
        status: 'False',
        reason: 'NotFound',
        message: `there is no ProtectedResource ${missing.join(', ')} in this namespace`,
      }
}

function containment(
  own: readonly KnownPod[],
  contained: readonly KnownPod[],
  { metadata: { name } }: AgentIdentity,
  acknowledgements: Acknowledgements,
): Finding {
  const type = 'Contained'
  const uncontained = own.filter((pod) => !contained.includes(pod))
  const [first] = uncontained
  if (!first)
    return {
      type,
      status: 'True',
      reason: own.length === 0 ? 'NoPods' : 'AllPods',
      message: own.length === 0 ? 'no pods match' : `all ${own.length} pods have the revision in force`,
    }
  const bare = uncontained.filter((pod) => pod.metadata.labels?.[labels.agent] !== name)
  const [refusing] = uncontained.flatMap((pod) => {
    const refusal = acknowledgements.of(pod.metadata.uid ?? '')?.refusal
    return refusal === undefined
      ? []
      : [`the sidecar of ${pod.metadata.name} refused the configuration: ${refusal}`]
  })
  const message = [
    ...(refusing === undefined ? [] : [refusing]),
    ...(bare.length === 0
      ? []
      : [
          `${bare.length} of ${own.length} pods were made before the identity and have no sidecar (${namesOf(bare)}); make them anew`,
        ]),
  ].join('; ')
  return message === ''
    ? {
        type,
        status: 'False',
        reason: 'Updating',
        message: `${uncontained.length} of ${own.length} pods don't have the revision in force yet (${namesOf(uncontained)})`,
      }
    : { type, status: 'False', reason: refusing === undefined ? 'NotInjected' : 'Refused', message }
}

/** Pods keep the sidecars that they were made with: when they are made anew is for people to say. */
function currentness(own: readonly KnownPod[], outdated: readonly KnownPod[]): Finding {
  const type = 'SidecarsCurrent'
  return outdated.length === 0
    ? { type, status: 'True', reason: 'Current', message: 'no pod has older sidecars than a new one gets' }
    : {
        type,
        status: 'False',
        reason: 'Outdated',
        message: `${outdated.length} of ${own.length} pods have older sidecars than a new one gets (${namesOf(outdated)}); make them anew when it suits you`,
      }
}

function namesOf(some: readonly KnownPod[]): string {
  const shown = some.slice(0, 3).map(({ metadata }) => metadata.name)
  return some.length > 3 ? `${shown.join(', ')}, …` : shown.join(', ')
}
