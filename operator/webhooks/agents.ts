/** Admission of what agents themselves do at the API server, whatever RBAC lets their service accounts do. */
import { labels } from '../containment/names.ts'
import type { KubernetesObject } from '../kubernetes/objects.ts'
import { inNamespace, type World } from '../watch/world.ts'
import { type Admission, type AdmissionRequest, allowed, refused, type UserInfo } from './admission.ts'

/**
 * An agent changes nothing that limits it or others. The pods that it starts are agents' pods; those that a controller
 * starts for it are not known to be its own.
 *
 * @param request after all mutating webhooks.
 */
export function validateAgent({ userInfo, resource, object }: AdmissionRequest, world: World): Admission {
  if (!isAgent(userInfo, world)) return allowed
  if (resource.resource !== 'pods') return refused("agents don't change what limits them")
  const { metadata } = object as KubernetesObject
  return metadata.labels?.[labels.agent] === undefined
    ? refused('agents start only pods of agents: no AgentIdentity selects this one')
    : allowed
}

/** Whether somebody is what agents run as: by a manifest, by a pod that is there, or by the pod that the token is bound to. */
export function isAgent({ username, extra }: UserInfo, world: World): boolean {
  const [, namespace = '', account] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(username) ?? []
  if (account === undefined) return false
  const named = inNamespace(world.identities, namespace).some(({ spec }) =>
    spec.workload?.serviceAccounts?.includes(account),
  )
  if (named) return true
  const bound = extra?.['authentication.kubernetes.io/pod-name']?.[0]
  return inNamespace(world.pods, namespace).some(
    ({ metadata, spec }) =>
      metadata.labels?.[labels.agent] !== undefined &&
      (metadata.name === bound || (spec?.serviceAccountName ?? 'default') === account),
  )
}
