/** Every question of the API server, by the path at which it comes. */
import { stampDecision, validateApproval } from '../approvals/decisions.ts'
import type { HostCertificates } from '../certificates/host-certificates.ts'
import type { InjectionContext } from '../injection/inject.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { subjectAccessReviews } from '../kubernetes/objects.ts'
import type { World } from '../watch/world.ts'
import type { Review } from './admission.ts'
import { validateAgent } from './agents.ts'
import { paths } from './configurations.ts'
import { validateGenerated, validateKind, validateNamespace } from './kinds.ts'
import { type Authorizer, injectPod, validateEntry, validatePod, validatePodUpdate } from './pods.ts'

export function reviews(
  world: World,
  context: InjectionContext,
  certificates: HostCertificates,
  operatorUser: string,
  mayDo: Authorizer,
): ReadonlyMap<string, Review> {
  return new Map<string, Review>([
    [paths.inject, (request) => injectPod(request, world, context, certificates)],
    [paths.pods, (request) => validatePod(request, world, context)],
    [paths.podUpdates, (request) => validatePodUpdate(request)],
    [paths.entry, (request) => validateEntry(request, world, mayDo)],
    [paths.agents, (request) => validateAgent(request, world)],
    [paths.kinds, (request) => validateKind(request, world)],
    [paths.namespaces, (request) => validateNamespace(request, world, operatorUser)],
    [paths.generated, (request) => validateGenerated(request, operatorUser)],
    [paths.decisions, (request) => stampDecision(request, { world, operatorUser, mayDo })],
    [paths.approvals, (request) => validateApproval(request, { world, operatorUser, mayDo })],
  ])
}

/** Asks the API server's own authorizers, so that RBAC says who may. */
export function authorizer(client: KubernetesClient): Authorizer {
  return async ({ username, uid, groups = [], extra }, verb, resource, { namespace, name }) => {
    const review = await client.create(subjectAccessReviews, {
      metadata: { name: '' },
      spec: {
        user: username,
        ...(uid !== undefined && { uid }),
        groups: [...groups],
        ...(extra && {
          extra: Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]])),
        }),
        resourceAttributes: { group: 'firebreak.dev', resource, verb, namespace, name },
      },
    })
    return review.status?.allowed === true
  }
}
