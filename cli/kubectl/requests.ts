/** The ApprovalRequests of a cluster. */
import type { ApprovalRequest } from '@firebreak/crds'
import { standing } from '@firebreak/operator/approvals/standing.ts'
import { ApiError, type KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import { approvalRequests } from '@firebreak/operator/kubernetes/objects.ts'
import { Informer } from '@firebreak/operator/watch/informer.ts'
import { type DecisionInput, type DecisionResult, isFinished } from '@firebreak/sidecar'
import type { Requests } from '../approvals/requests.ts'
import { printable } from '../approvals/text.ts'
import type { Place } from './place.ts'

/** @param all finished ones, too. */
export function inCluster({ client, selection }: Place, all: boolean): Requests {
  const wanted = (requests: Iterable<ApprovalRequest>): ApprovalRequest[] =>
    [...requests]
      .map((request) => standing(request, new Date()))
      .filter((request) => all || !isFinished(request))
      .sort((a, b) => (a.spec.requestedAt < b.spec.requestedAt ? -1 : 1))
  let informer: Informer<(typeof approvalRequests)['object']> | undefined
  return {
    list: async () =>
      wanted(informer ? informer.list() : (await client.list(approvalRequests, selection)).items),
    watch(changed, failed) {
      const watching = new Informer(client, approvalRequests, { failed }, selection)
      watching.onChange(changed)
      informer = watching
      return watching
    },
    decide: (request, decision) => decide(client, request, decision),
  }
}

/** Those that a person names. */
export async function requestNamed({ client, namespace }: Place, name: string): Promise<ApprovalRequest> {
  const request = await client.get(approvalRequests, name.replace(/^[a-z.]+\//, ''), namespace)
  if (!request) throw new Error(`there is no request ${name} in namespace ${namespace}`)
  return standing(request, new Date())
}

/** The API server's admission says who decides, and whether that counts. */
export async function decide(
  client: KubernetesClient,
  seen: ApprovalRequest & { metadata: { uid?: string } },
  { decision, reason }: DecisionInput,
): Promise<DecisionResult> {
  const { name, namespace, uid } = seen.metadata
  // the API server takes a patch that changes nothing for a success
  if (isFinished(seen)) return { kind: 'refused', reason: `it is over: ${seen.status?.state}` }
  try {
    const patched = await client.merge(approvalRequests, name, namespace, {
      // of another request that has got the same name nothing was seen
      metadata: { uid },
      spec: { decision, ...(reason !== undefined && { reason }) },
    })
    const request = standing(patched, new Date())
    return { kind: request.status.state === 'Pending' ? 'noted' : 'decided', request }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    return { kind: 'refused', reason: reasonIn(error) }
  }
}

/** Without the name of the webhook that said it. */
function reasonIn({ message }: ApiError): string {
  return printable(message.replace(/^admission webhook "[^"]+" denied the request: /, ''))
}
