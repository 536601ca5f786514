/** Admission of agents' pods. */
import { randomInt } from 'node:crypto'
import { type AgentIdentity, isOwnCluster, type ProtectedResource } from '@firebreak/crds'
import type { V1Pod } from '@kubernetes/client-node'
import type { HostCertificates } from '../certificates/host-certificates.ts'
import { annotations, labels } from '../containment/names.ts'
import { clientWarnings } from '../injection/clients.ts'
import { type AdmittedPod, type InjectionContext, inject } from '../injection/inject.ts'
import { layout, uidRange } from '../injection/layout.ts'
import {
  ephemeralObjections,
  hasRules,
  objections,
  tampering,
  withoutInjected,
} from '../injection/objections.ts'
import { selectedBy } from '../reconcile/selection.ts'
import { keyOf } from '../watch/informer.ts'
import { inNamespace, type World } from '../watch/world.ts'
import { type Admission, type AdmissionRequest, allowed, refused } from './admission.ts'

/** @returns whether a user has a right that RBAC knows by a verb of ours. */
export type Authorizer = (
  user: AdmissionRequest['userInfo'],
  verb: string,
  /** Of our kinds, in the plural. */
  resource: string,
  object: { readonly namespace: string; readonly name: string },
) => Promise<boolean>

/** Mutating: injects the sidecars into the pods of agents. */
export async function injectPod(
  request: AdmissionRequest,
  world: World,
  context: InjectionContext,
  certificates: Pick<HostCertificates, 'authorityFor'>,
): Promise<Admission> {
  const pod = request.object as AdmittedPod
  const found = agentOf(pod, request, world)
  if ('admission' in found) return found.admission
  const problems = objections(pod, found.identity, found.resources)
  if (problems.length > 0) return refused(notContainable(found.identity, problems))
  const uids = {
    envoy: randomInt(uidRange.from, uidRange.to),
    enforcer: randomInt(uidRange.from, uidRange.to),
  }
  if (uids.envoy === uids.enforcer) uids.enforcer++
  const { identity, resources } = found
  const authority = resources.some(isOwnCluster)
    ? await certificates.authorityFor(keyOf(identity), resources)
    : undefined
  const { metadata, spec } = inject(pod, identity, resources, context, uids, authority)
  const { initContainers = [], containers } = pod.spec
  return {
    allowed: true,
    warnings: clientWarnings([...initContainers, ...containers], resources),
    patch: [
      { op: 'add', path: '/metadata/labels', value: metadata?.labels },
      { op: 'add', path: '/metadata/annotations', value: metadata?.annotations },
      { op: 'replace', path: '/spec', value: spec },
    ],
  }
}

/** Validating, after every webhook of others: what was injected is still there, and nothing undoes it. */
export function validatePod(request: AdmissionRequest, world: World, context: InjectionContext): Admission {
  const pod = request.object as AdmittedPod
  const found = agentOf(withoutLabel(pod), request, world)
  if ('admission' in found)
    return found.admission.allowed && pod.metadata?.labels?.[labels.agent] !== undefined
      ? refused(`the label ${labels.agent} is set by Firebreak, on the pods of agents`)
      : found.admission
  const changed = tampering(pod, found.identity, found.resources, context)
  const problems =
    changed.length > 0 ? changed : objections(withoutInjected(pod), found.identity, found.resources)
  return problems.length > 0 ? refused(notContainable(found.identity, problems)) : allowed
}

/** What the pod of an agent is known by doesn't change, and no other pod becomes one. */
export function validatePodUpdate(request: AdmissionRequest): Admission {
  const [before, now] = [request.oldObject as V1Pod, request.object as V1Pod]
  for (const key of [labels.agent])
    if (before.metadata?.labels?.[key] !== now.metadata?.labels?.[key])
      return refused(`the label ${key} is set by Firebreak and does not change`)
  for (const key of Object.values(annotations))
    if (before.metadata?.annotations?.[key] !== now.metadata?.annotations?.[key])
      return refused(`the annotation ${key} is set by Firebreak and does not change`)
  if (request.subResource !== 'ephemeralcontainers' || now.metadata?.labels?.[labels.agent] === undefined)
    return allowed
  const known = new Set(before.spec?.ephemeralContainers?.map(({ name }) => name))
  const added = now.spec?.ephemeralContainers?.filter(({ name }) => !known.has(name)) ?? []
  // the kubelet doesn't let them wait for anything
  if (added.length > 0 && !hasRules(now.status))
    return refused(
      "this pod is not contained yet: its network rules are set before the agent's containers start",
    )
  const problems = added.flatMap(ephemeralObjections)
  return problems.length > 0
    ? refused(`this container can't run in the pod of an agent: ${problems.join('; ')}`)
    : allowed
}

/** exec, attach, port-forward and ephemeral containers: an agent's pod is entered by whom RBAC lets `enter` the agent. */
export async function validateEntry(
  request: AdmissionRequest,
  world: World,
  mayDo: Authorizer,
): Promise<Admission> {
  const { namespace = '', name = '', subResource, userInfo, object } = request
  const agent = world.pods.get(`${namespace}/${name}`)?.metadata.labels?.[labels.agent]
  if (agent === undefined) return allowed
  const { container } = (object ?? {}) as { container?: string }
  if (container?.startsWith(layout.prefix)) return refused("the sidecar's containers can't be entered")
  if (await mayDo(userInfo, 'enter', 'agentidentities', { namespace, name: agent })) return allowed
  return refused(
    `${userInfo.username} may not ${subResource} into the pods of agent ${agent}: it takes the verb enter on agentidentities.firebreak.dev ${agent} in namespace ${namespace}`,
  )
}

function agentOf(
  pod: AdmittedPod,
  { namespace = '', operation }: AdmissionRequest,
  world: World,
):
  | { readonly identity: AgentIdentity; readonly resources: readonly ProtectedResource[] }
  | { readonly admission: Admission } {
  if (operation === 'CREATE' && pod.metadata?.labels?.[labels.agent] !== undefined)
    return { admission: refused(`the label ${labels.agent} is set by Firebreak, on the pods of agents`) }
  const [identity, ...others] = inNamespace(world.identities, namespace).filter((candidate) =>
    selectedBy(candidate, pod),
  )
  if (!identity) return { admission: allowed }
  if (others.length > 0) {
    const names = [identity, ...others].map(({ metadata }) => metadata.name).join(', ')
    return { admission: refused(`several AgentIdentities select this pod: ${names}`) }
  }
  const resources = inNamespace(world.resources, namespace).filter(({ metadata }) =>
    identity.spec.access?.some(({ resource }) => resource === metadata.name),
  )
  return { identity, resources }
}

function withoutLabel(pod: AdmittedPod): AdmittedPod {
  const { [labels.agent]: _, ...others } = pod.metadata?.labels ?? {}
  return { ...pod, metadata: { ...pod.metadata, labels: others } }
}

function notContainable({ metadata: { name } }: AgentIdentity, problems: readonly string[]): string {
  return `the pod of agent ${name} can't be contained: ${problems.join('; ')}`
}
