/** Tries in one namespace what its manifests promise. */
import { randomBytes } from 'node:crypto'
import { type AgentIdentity, addressOf, type ProtectedResource } from '@firebreak/crds'
import { labels } from '@firebreak/operator/containment/names.ts'
import { ApiError } from '@firebreak/operator/kubernetes/client.ts'
import { type KubernetesObject, namespaces } from '@firebreak/operator/kubernetes/objects.ts'
import { urlOf } from '../../probe/plan.ts'
import { type Agent, agentOf, startAgent, verifyAgent, verifyEgress } from './agent.ts'
import type { Check } from './check.ts'
import { type Destination, objectionToStranger, seenIn } from './judge.ts'
import { injectedImage } from './manifests.ts'
import { type Circumstances, ProbePods } from './pods.ts'
import { ProbeError, type ProbePod } from './probe-pod.ts'
import { letsIn, type Target, targetOf } from './targets.ts'

const greetingPort = 8080

export async function verifyNamespace(
  namespace: string,
  identities: readonly (AgentIdentity & KubernetesObject)[],
  resources: readonly (ProtectedResource & KubernetesObject)[],
  circumstances: Circumstances,
): Promise<readonly Check[]> {
  const { client, progress } = circumstances
  const [owner] = identities
  if (!owner) return []
  const targets = await Promise.all(resources.map((resource) => targetOf(client, resource)))
  await using probes = new ProbePods(client, namespace, randomBytes(3).toString('hex'), owner)
  progress(`${namespace}: asking what admission makes of the agents' pods …`)
  const agents = await Promise.all(identities.map((identity) => agentOf(identity, targets, probes)))
  const image = agents.map(({ rehearsed }) => rehearsed && injectedImage(rehearsed)).find(Boolean)
  if (image === undefined) {
    const why = 'no pod of an agent gets a sidecar, and its image is what would be run'
    return [...agents.flatMap(({ checks }) => checks), ...untried(namespace, targets, why)]
  }
  progress(`${namespace}: starting a pod that greets …`)
  const greeter = await start(probes, circumstances, {
    name: 'greeter',
    image,
    args: [`--listen=${greetingPort}`],
  })
  if ('failure' in greeter)
    return [...agents.flatMap(({ checks }) => checks), ...untried(namespace, targets, greeter.failure)]
  const greeting = greeter.addresses.map(
    (host): Destination => ({
      url: urlOf({ host, port: greetingPort }, 'tcp'),
      host,
      what: `a pod beside it (${host})`,
    }),
  )
  progress(`${namespace}: starting a pod without a sidecar, and one of ${agents.map(nameOf).join(', ')} …`)
  const tried = [...greeting, ...targets.flatMap(({ pods, itself }) => [...pods, ...itself])]
  const args = tried.map(({ url }) => `--reach=${url}`)
  const [stranger, ...started] = await Promise.all([
    start(probes, circumstances, { name: 'stranger', image, args }),
    ...agents.map((agent) => startAgent(agent, greeting, probes, image)),
  ])
  const checks = [...agents.flatMap(({ checks }) => checks)]
  checks.push(
    ...(await Promise.all(started.map((agent) => (agent ? verifyAgent(agent, circumstances) : [])))).flat(),
  )
  if ('failure' in stranger) return [...checks, ...untried(namespace, targets, stranger.failure)]
  progress(`${namespace}: trying to reach what is protected from a pod without a sidecar …`)
  const namespaceLabels = (await client.get(namespaces, namespace).catch(forbidden))?.metadata.labels ?? {}
  const from = { namespace, namespaceLabels, addresses: stranger.addresses }
  checks.push(
    ...(await Promise.all(
      targets.map((target) =>
        ingress(target, letsIn(target.resource, from), greeting, tried, stranger.probe, circumstances),
      ),
    )),
  )
  for (const agent of agents) {
    progress(`${namespace}: letting that pod look like one of ${nameOf(agent)} …`)
    checks.push(...(await verifyEgress(agent, stranger.probe, probes, greeting, tried, circumstances)))
  }
  return checks
}

function nameOf({ identity }: Agent): string {
  return identity.metadata.name
}

type Started =
  | { readonly probe: ProbePod; readonly addresses: readonly string[] }
  | { readonly failure: string }

/** A pod that is nobody's. */
async function start(
  probes: ProbePods,
  { signal, patience }: Circumstances,
  wanted: Parameters<ProbePods['create']>[0],
): Promise<Started> {
  try {
    const { pod, probe } = await probes.create(wanted)
    if (pod.metadata.labels?.[labels.agent] !== undefined)
      return { failure: "every pod of this namespace is an agent's: none without a sidecar can be made here" }
    const addresses = await probe.running(AbortSignal.any([signal, AbortSignal.timeout(patience)]))
    probes.hear(probe)
    return { probe, addresses }
  } catch (error) {
    if (error instanceof ApiError || error instanceof ProbeError) return { failure: error.message }
    throw error
  }
}

/** Who may see no namespaces is believed to know what is let in. */
function forbidden(error: unknown): undefined {
  if (!(error instanceof ApiError && error.status === 403)) throw error
}

async function ingress(
  { resource, pods, itself }: Target,
  isLetIn: boolean,
  greeting: readonly Destination[],
  tried: readonly Destination[],
  stranger: ProbePod,
  { signal }: Circumstances,
): Promise<Check> {
  const check = ingressOf(resource)
  if (!resource.spec.workload)
    return {
      ...check,
      outcome: 'notApplicable',
      message: `${addressOf(resource).host} is not in this cluster as far as its manifest says: no NetworkPolicy shields it`,
    }
  if (isLetIn)
    return {
      ...check,
      outcome: 'unknown',
      message:
        'its manifest lets in (alsoFrom) pods of this namespace without a sidecar, as the one that would try',
    }
  const shielded = [...pods, ...itself]
  const objection = await stranger.settles(
    (round) => objectionToStranger(greeting, shielded, seenIn(round, tried)),
    signal,
  )
  if (!objection)
    return {
      ...check,
      outcome: 'proven',
      message: `a pod without a sidecar reaches neither ${shielded.map(({ what }) => what).join(' nor ')}`,
    }
  const unshielded = resource.status?.conditions?.find(
    ({ type, status }) => type === 'Shielded' && status !== 'True',
  )
  return unshielded
    ? { ...check, ...objection, message: `${objection.message}: ${unshielded.message}` }
    : { ...check, ...objection, ignoredByNetworkPlugin: objection.outcome === 'failed' }
}

function ingressOf({ metadata: { namespace, name } }: ProtectedResource) {
  return { namespace, kind: 'ProtectedResource', name, check: 'Ingress', resource: name } as const
}

function untried(namespace: string, targets: readonly Target[], message: string): Check[] {
  return targets.map(({ resource }) => ({ ...ingressOf(resource), namespace, outcome: 'unknown', message }))
}
