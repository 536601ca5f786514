/** `kubectl firebreak status`: what is in force for every agent, and what is in the way. */
import { parseArgs } from 'node:util'
import type { AgentIdentity } from '@firebreak/crds'
import { annotations, labels } from '@firebreak/operator/containment/names.ts'
import { layout } from '@firebreak/operator/injection/layout.ts'
import {
  agentIdentities,
  guardrailPolicies,
  pods as podsResource,
  protectedResources,
} from '@firebreak/operator/kubernetes/objects.ts'
import { printable } from '../approvals/text.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { style } from '../output.ts'
import { everywhereHelp, everywhereOptions, inPlace, type Place } from './place.ts'
import { formatOf, outputHelp, outputOptions, showTable, wroteValue } from './show.ts'

type Pod = (typeof podsResource)['object']

interface AgentStatus {
  readonly namespace: string
  readonly agent: string
  /** Pods that match, by the operator's count. */
  readonly pods: number
  /** Pods that were made with a sidecar. */
  readonly injected: number
  /** Pods whose sidecar has the revision in force. */
  readonly contained: number
  /** Pods whose sidecars are older than those that a new pod gets. */
  readonly outdated: number
  /** Pods whose sidecar is ready by the kubelet. */
  readonly ready: number
  readonly revision?: string
  readonly suspended: boolean
  readonly inForce: boolean
  /** Why it isn't in force. */
  readonly blocked: readonly string[]
  readonly versions: readonly string[]
}

interface Blocked {
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly reason: string
  readonly message: string
}

interface Status {
  readonly agents: readonly AgentStatus[]
  /** Policies and resources that aren't in force. */
  readonly blocked: readonly Blocked[]
}

const options = { ...everywhereOptions, ...outputOptions } as const

export const status: CliCommand = {
  name: 'status',
  summary: 'show what is in force for every agent, and what is in the way',
  options: Object.keys(options),
  help: `Shows for every agent its pods, how many have a sidecar, the revision in force, how many sidecars are ready, and what is
in the way: policies that aren't valid, resources that can't be reached.

Usage: kubectl firebreak status [-o json|yaml|wide] [-A | -n NS]

${outputHelp}
${everywhereHelp}

Exit code 0: all of it is in force. 1: something isn't, or the cluster can't be read.`,
  async run(words) {
    const { values, positionals } = parseArgs({ args: [...words], allowPositionals: true, options })
    if (positionals.length > 0) throw new UsageError('status takes options only')
    const format = formatOf(values.output)
    const found = await inPlace(values, statusIn)
    if (!wroteValue(format, found)) show(found, format === 'wide')
    return found.blocked.length === 0 && found.agents.every(({ inForce }) => inForce) ? 0 : 1
  },
}

async function statusIn({ client, selection }: Place): Promise<Status> {
  const [identities, resources, policies, pods] = await Promise.all([
    client.list(agentIdentities, selection),
    client.list(protectedResources, selection),
    client.list(guardrailPolicies, selection),
    client.list(podsResource, { ...selection, labelSelector: labels.agent }),
  ])
  const running = pods.items.filter(
    ({ metadata, status: { phase } = {} }) =>
      !metadata.deletionTimestamp && phase !== 'Succeeded' && phase !== 'Failed',
  )
  return {
    agents: identities.items.map((identity) =>
      agentStatus(
        identity,
        running.filter(
          ({ metadata }) =>
            metadata.namespace === identity.metadata.namespace &&
            metadata.labels?.[labels.agent] === identity.metadata.name,
        ),
      ),
    ),
    blocked: [...policies.items, ...resources.items].flatMap((object) => {
      const found = whyNotReady(object)
      const { kind, metadata } = object
      return found ? [{ kind, namespace: metadata.namespace, name: metadata.name, ...found }] : []
    }),
  }
}

function agentStatus(identity: AgentIdentity, injected: readonly Pod[]): AgentStatus {
  const { metadata, spec, status: seen = {} } = identity
  const notReady = whyNotReady(identity)
  const failing = (seen.conditions ?? []).filter(
    (condition) => condition.status !== 'True' && condition.type !== 'SidecarsCurrent',
  )
  const causes = failing
    .filter(({ type }) => !['Ready', 'Reconciling', 'Stalled'].includes(type))
    .map(({ message }) => message)
  const ready = injected.filter(({ status: { initContainerStatuses = [] } = {} }) =>
    initContainerStatuses.some((container) => container.name === layout.enforcerContainer && container.ready),
  )
  const versions = injected.map((pod) => pod.metadata.annotations?.[annotations.injected] ?? '')
  return {
    namespace: metadata.namespace,
    agent: metadata.name,
    pods: seen.pods ?? 0,
    injected: injected.length,
    contained: seen.containedPods ?? 0,
    outdated: seen.outdatedPods ?? 0,
    ready: ready.length,
    ...(seen.revision !== undefined && { revision: seen.revision }),
    suspended: spec.suspend === true,
    inForce: notReady === undefined,
    blocked: notReady && causes.length === 0 ? [notReady.message] : causes,
    versions: [...new Set(versions)].filter((version) => version !== ''),
  }
}

interface Judged {
  readonly metadata: { readonly generation?: number }
  readonly status?: {
    readonly observedGeneration?: number
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason: string
      readonly message: string
    }[]
  }
}

/** @returns undefined when it is in force as it is written now. */
function whyNotReady({
  metadata,
  status: seen,
}: Judged): { readonly reason: string; readonly message: string } | undefined {
  const condition = seen?.conditions?.find(({ type }) => type === 'Ready')
  if (!condition || seen?.observedGeneration !== metadata.generation)
    return { reason: 'NotSeen', message: 'the operator has not seen it as it is now: does it run?' }
  return condition.status === 'True' ? undefined : { reason: condition.reason, message: condition.message }
}

function show({ agents, blocked }: Status, wide: boolean): void {
  if (agents.length === 0) console.log('There are no agents.')
  else
    showTable([
      [
        'NAMESPACE',
        'AGENT',
        'PODS',
        'INJECTED',
        'CONTAINED',
        'OUTDATED',
        'SIDECARS READY',
        'REVISION',
        'IN FORCE',
        ...(wide ? ['VERSIONS', 'BLOCKED'] : []),
      ],
      ...agents.map((agent) => [
        agent.namespace,
        agent.agent,
        String(agent.pods),
        String(agent.injected),
        String(agent.contained),
        String(agent.outdated),
        `${agent.ready}/${agent.injected}`,
        agent.revision ?? '',
        `${agent.inForce ? 'yes' : 'no'}${agent.suspended ? ', suspended' : ''}`,
        ...(wide ? [agent.versions.join(','), agent.blocked.join('; ')] : []),
      ]),
    ])
  const problems = [
    ...agents.flatMap(({ namespace, agent, blocked: causes }) =>
      causes.map((cause) => [`AgentIdentity ${namespace}/${agent}`, cause]),
    ),
    ...blocked.map(({ kind, namespace, name, message }) => [`${kind} ${namespace}/${name}`, message]),
  ]
  if (problems.length > 0) console.log('')
  for (const [object = '', message = ''] of problems)
    console.log(`${style('red', 'not in force')}: ${style('bold', object)}: ${printable(message)}`)
}
