/** The service by which sidecars have people asked. */
import { create } from '@bufbuild/protobuf'
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect'
import type { ApprovalRequest } from '@firebreak/crds'
import { parseRequest } from '@firebreak/sidecar/approvals/request-file.ts'
import { isFinished } from '@firebreak/sidecar/approvals/store.ts'
import { Approvals, type FollowResponse, FollowResponseSchema, type Routes, Wake } from '@firebreak/xds'
import type { ProvenPod } from '../xds/authenticate.ts'
import type { ApprovalFeed } from './feed.ts'
import type { ApprovalRequests } from './requests.ts'
import { standing } from './standing.ts'

/** One call. */
export interface Caller extends Disposable {
  readonly pod: ProvenPod
  /** Aborted when it may not go on; the reason is a ConnectError. */
  readonly signal: AbortSignal
}

/** @param admit proves the pod. */
export function approvalsService(
  admit: (context: HandlerContext) => Promise<Caller>,
  requests: ApprovalRequests,
  feed: ApprovalFeed,
): Routes {
  const called = async <T>(context: HandlerContext, answer: (pod: ProvenPod) => Promise<T>): Promise<T> => {
    using caller = await admit(context)
    return await answer(caller.pod).catch((error: unknown) => {
      // whatever the API server can't do now it may do later
      throw error instanceof ConnectError
        ? error
        : new ConnectError(error instanceof Error ? error.message : String(error), Code.Unavailable)
    })
  }
  return (router) => {
    router.service(Approvals, {
      follow: ({ names }, context) => follow(names, context, admit, requests, feed),
      ask: ({ request }, context) =>
        called(context, async (pod) => ({ request: encoded(await requests.ask(pod, decoded(request))) })),
      use: ({ name, claim }, context) =>
        called(context, async (pod) => {
          const { used, request } = await requests.use(pod, name, claim)
          return { used, request: encoded(request) }
        }),
      withdraw: ({ name, reason }, context) =>
        called(context, async (pod) => {
          await requests.withdraw(pod, name, reason)
          return {}
        }),
    })
  }
}

async function* follow(
  names: readonly string[],
  context: HandlerContext,
  admit: (context: HandlerContext) => Promise<Caller>,
  requests: ApprovalRequests,
  feed: ApprovalFeed,
): AsyncGenerator<FollowResponse> {
  using caller = await admit(context)
  const { agent } = caller.pod
  const wake = new Wake()
  // a slow sidecar gets the newest of each, not all in between
  const changed = new Set<string>()
  using _following = feed.follow(agent, (name) => {
    changed.add(name)
    wake.call()
  })
  let open = true
  const end = (): void => {
    open = false
    wake.call()
  }
  caller.signal.addEventListener('abort', end, { once: true })
  context.signal.addEventListener('abort', end, { once: true })
  const asked = new Set(names)
  for (const request of feed.of(agent))
    if (!isFinished(request) || asked.has(request.metadata.name)) yield news(request)
  // the watch may be behind what the sidecar was told elsewhere
  for (const name of names) if (!feed.get(agent, name)) yield newsOf(name, await requests.get(agent, name))
  yield create(FollowResponseSchema, { news: { case: 'complete', value: true } })
  while (open) {
    for (const name of changed) {
      changed.delete(name)
      yield newsOf(name, feed.get(agent, name))
      if (!open) break
    }
    if (open) await wake.wait()
  }
  if (caller.signal.aborted) throw caller.signal.reason
}

function newsOf(name: string, request: ApprovalRequest | undefined): FollowResponse {
  return request ? news(request) : create(FollowResponseSchema, { news: { case: 'gone', value: name } })
}

function news(request: ApprovalRequest): FollowResponse {
  const value = encoded(standing(request, new Date()))
  return create(FollowResponseSchema, { news: { case: 'request', value } })
}

function decoded(value: Uint8Array): ApprovalRequest {
  const parsed = parseRequest(Buffer.from(value).toString())
  if (!parsed.ok) throw new ConnectError(parsed.error, Code.InvalidArgument)
  return parsed.value
}

/** What the sidecar knows of a request: the API server's books are none of its business. */
function encoded({
  apiVersion,
  kind,
  metadata: { name, namespace },
  spec,
  status,
}: ApprovalRequest): Uint8Array {
  return Buffer.from(JSON.stringify({ apiVersion, kind, metadata: { name, namespace }, spec, status }))
}
