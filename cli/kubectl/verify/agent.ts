/** What is tried of one agent. */
import { type AgentIdentity, addressOf, type ProtectedResource } from '@firebreak/crds'
import { addressVariables } from '@firebreak/operator/injection/clients.ts'
import { ApiError } from '@firebreak/operator/kubernetes/client.ts'
import type { Check, CheckName, Objection } from './check.ts'
import {
  type Destination,
  objectionToAgent,
  objectionToConfined,
  objectionToLogin,
  objectionToOpenWay,
  seenIn,
} from './judge.ts'
import { injectedImage, labelsFor, type Pod } from './manifests.ts'
import type { Circumstances, ProbePods, Wanted } from './pods.ts'
import { ProbeError, type ProbePod } from './probe-pod.ts'
import type { Target } from './targets.ts'

export interface Agent {
  readonly identity: AgentIdentity
  readonly targets: readonly Target[]
  /** What admission makes of its pods; undefined when there can be none. */
  readonly rehearsed: Pod | undefined
  /** What is known before anything is tried. */
  readonly checks: readonly Check[]
}

/** Never pulled: only admission sees it. */
const placeholder = 'firebreak.invalid/probe'

export async function agentOf(
  identity: AgentIdentity,
  targets: readonly Target[],
  probes: ProbePods,
): Promise<Agent> {
  const known = { identity, targets: targets.filter(({ resource }) => mayUse(identity, resource)) }
  const injection = checkOf(identity, 'Injection')
  if (!identity.spec.workload?.podSelector && !identity.spec.workload?.serviceAccounts) {
    const message = 'it selects no pods: it is not an agent in a pod'
    return { ...known, rehearsed: undefined, checks: [{ ...injection, outcome: 'notApplicable', message }] }
  }
  try {
    const rehearsed = await probes.rehearse(podOf(identity, placeholder, []))
    if (injectedImage(rehearsed) !== undefined) return { ...known, rehearsed, checks: [] }
    const message = `a pod as it selects them (${described(rehearsed)}) gets no sidecar: is the operator's webhook there?`
    return { ...known, rehearsed: undefined, checks: [{ ...injection, outcome: 'failed', message }] }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    return {
      ...known,
      rehearsed: undefined,
      checks: [{ ...injection, outcome: 'failed', message: error.message }],
    }
  }
}

export interface StartedAgent {
  readonly agent: Agent
  readonly probes: ProbePods
  readonly started: { readonly probe: ProbePod } | { readonly failure: string }
  readonly tried: readonly Destination[]
  readonly sessions: readonly Session[]
}

interface Session {
  readonly resource: ProtectedResource
  readonly role: string
}

export async function startAgent(
  agent: Agent,
  greeting: readonly Destination[],
  probes: ProbePods,
  image: string,
): Promise<StartedAgent | undefined> {
  const { identity, targets, rehearsed } = agent
  if (!rehearsed) return undefined
  const tried = [...greeting, ...targets.flatMap(({ pods }) => pods)]
  const sessions = targets.flatMap(({ resource }) =>
    (identity.spec.access ?? [])
      .filter((access) => access.resource === resource.metadata.name)
      .flatMap(({ roles }) => roles.map((role) => ({ resource, role }))),
  )
  const args = [
    ...tried.map(({ url }) => `--reach=${url}`),
    ...sessions.map((session) => `--session=${listenerOf(session)}`),
    ...targets.map(({ resource }) => `--resolve=${addressOf(resource).host}`),
  ]
  try {
    const { probe } = await probes.create(podOf(identity, image, args))
    return { agent, probes, started: { probe }, tried, sessions }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    return { agent, probes, started: { failure: error.message }, tried, sessions }
  }
}

export async function verifyAgent(
  { agent: { identity }, probes, started, tried, sessions }: StartedAgent,
  { signal, patience, progress }: Circumstances,
): Promise<readonly Check[]> {
  const injection = checkOf(identity, 'Injection')
  if ('failure' in started) return [{ ...injection, outcome: 'failed', message: started.failure }]
  const { probe } = started
  try {
    await probe.running(AbortSignal.any([signal, AbortSignal.timeout(patience)]))
  } catch (error) {
    if (!(error instanceof ProbeError)) throw error
    return [{ ...injection, outcome: 'failed', message: error.message }]
  }
  probes.hear(probe)
  progress(
    `${identity.metadata.namespace}: trying ways out of ${identity.metadata.name}'s pod, and its sessions …`,
  )
  const [direct, ...guarded] = await Promise.all([
    probe.settles((round) => objectionToAgent(tried, seenIn(round, tried)), signal),
    ...sessions.map((_, index) =>
      probe.settles((round) => objectionToLogin(index, seenIn(round, tried)), signal, 1),
    ),
  ])
  return [
    {
      ...injection,
      outcome: 'proven',
      message: 'its pod got its sidecars, and started when they were ready',
    },
    ...sessions.map((session, index) => guardedAccess(identity, session, guarded[index])),
    {
      ...checkOf(identity, 'DirectAccess'),
      ...(direct ?? {
        outcome: 'proven',
        message: `past its sidecar its pod reaches neither ${tried.map(({ what }) => what).join(' nor ')}`,
      }),
    },
  ]
}

function guardedAccess(
  identity: AgentIdentity,
  { resource, role }: Session,
  objection: Objection | undefined,
): Check {
  const { name, namespace } = resource.metadata
  const check = { ...checkOf(identity, 'GuardedAccess'), resource: name }
  if (!objection) return { ...check, outcome: 'proven', message: `it got a session on ${name} as ${role}` }
  if (identity.spec.suspend)
    return {
      ...check,
      outcome: 'notApplicable',
      message: `${namespace}/${identity.metadata.name} is suspended`,
    }
  return { ...check, ...objection, message: `it got no session on ${name} as ${role}: ${objection.message}` }
}

/**
 * The pod without a sidecar gets the labels of the agent's pods, as one that slipped through admission, and has to lose what it
 * reached until then; without them it reaches it again.
 */
export async function verifyEgress(
  { identity }: Agent,
  stranger: ProbePod,
  probes: ProbePods,
  greeting: readonly Destination[],
  tried: readonly Destination[],
  { signal }: Circumstances,
): Promise<readonly Check[]> {
  const check = checkOf(identity, 'Egress')
  const { workload } = identity.spec
  if (!workload?.podSelector)
    return workload?.serviceAccounts
      ? [
          {
            ...check,
            outcome: 'unknown',
            message:
              "it selects pods by their service accounts alone, which NetworkPolicies can't: give it a podSelector as well",
          },
        ]
      : []
  const before = await stranger.settles(
    (round) => objectionToOpenWay(greeting, seenIn(round, tried)),
    signal,
    1,
  )
  if (before) return [{ ...check, ...before }]
  const likeAgent = labelsFor(workload.podSelector)
  try {
    await probes.label(stranger, likeAgent)
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    return [
      {
        ...check,
        outcome: 'unknown',
        message: `its labels can't be given to a pod without a sidecar: ${error.message}`,
      },
    ]
  }
  const objection = await stranger.settles(
    (round) => objectionToConfined(greeting, seenIn(round, tried)),
    signal,
  )
  await probes.label(stranger, Object.fromEntries(Object.keys(likeAgent).map((key) => [key, null])))
  if (objection) return [{ ...check, ...objection, ignoredByNetworkPlugin: objection.outcome === 'failed' }]
  const after = await stranger.settles(
    (round) => objectionToOpenWay(greeting, seenIn(round, tried)),
    signal,
    1,
  )
  return [
    after
      ? {
          ...check,
          outcome: 'unknown',
          message: `its NetworkPolicy was not what held the pod: ${after.message}`,
        }
      : {
          ...check,
          outcome: 'proven',
          message: 'a pod with its labels and without a sidecar reaches nothing',
        },
  ]
}

function podOf(identity: AgentIdentity, image: string, args: readonly string[]): Wanted {
  const { podSelector, serviceAccounts: [serviceAccount] = [] } = identity.spec.workload ?? {}
  return {
    name: identity.metadata.name,
    image,
    args,
    serviceAccount,
    ...(podSelector && { labels: labelsFor(podSelector) }),
  }
}

/** The kubelet puts in what admission has set. */
function listenerOf({ resource, role }: Session): string {
  const { host, port } = addressVariables(resource)
  const database =
    resource.spec.database === undefined ? '' : `/${encodeURIComponent(resource.spec.database)}`
  return `${resource.spec.type}://${encodeURIComponent(role)}@$(${host}):$(${port})${database}`
}

function mayUse(
  { spec: { access = [] } }: AgentIdentity,
  { metadata: { name } }: ProtectedResource,
): boolean {
  return access.some(({ resource }) => resource === name)
}

function described({ metadata: { labels = {} }, spec }: Pod): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`)
  return [...pairs, `service account ${spec?.serviceAccountName ?? 'default'}`].join(', ')
}

function checkOf({ metadata: { namespace, name } }: AgentIdentity, check: CheckName) {
  return { namespace, kind: 'AgentIdentity', name, check } as const
}
