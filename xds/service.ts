/** The aggregated discovery service, in both of its forms, for whoever has resources to give. */
import type { HandlerContext } from '@connectrpc/connect'
import { AggregatedDiscoveryService } from './generated/envoy/service/discovery/v3/ads_pb.js'
import type { Routes } from './grpc.ts'
import { type Resources, typeUrls } from './resources.ts'
import {
  DeltaSubscription,
  StateOfTheWorldSubscription,
  type Subscription,
  type Verdict,
} from './subscription.ts'
import { Wake } from './wake.ts'

/** When a sidecar opened its stream, in milliseconds since 1970 by its own clock. */
export const connectedAtHeader = 'firebreak-connected-at'

/** One client's side of what is given; disposed of when its stream ends. */
export interface Peer extends Disposable {
  /** Aborted when the stream may not go on; the reason is what the client is told, a ConnectError. */
  readonly signal: AbortSignal
  /** All that this client may have, whatever it asks for. Undefined: nothing is to be said of this type now. */
  resources(typeUrl: string): Resources | undefined
  onChange(listener: () => void): void
  answered(typeUrl: string, verdict: Verdict): void
  /** A response goes out. */
  pushed(typeUrl: string): void
}

/** @throws ConnectError for a client that gets nothing. */
export type Admit = (context: HandlerContext) => Promise<Peer>

/** Of the types that there are; a client that asks for others is told nothing. */
const order: readonly string[] = Object.values(typeUrls)

export function discoveryService(admit: Admit): Routes {
  return (router) => {
    router.service(AggregatedDiscoveryService, {
      streamAggregatedResources: (requests, context) =>
        stream(requests, context, admit, (typeUrl) => new StateOfTheWorldSubscription(typeUrl)),
      deltaAggregatedResources: (requests, context) =>
        stream(requests, context, admit, (typeUrl) => new DeltaSubscription(typeUrl)),
    })
  }
}

async function* stream<Request extends { readonly typeUrl: string }, Response>(
  requests: AsyncIterable<Request>,
  context: HandlerContext,
  admit: Admit,
  subscribe: (typeUrl: string) => Subscription<Request, Response>,
): AsyncGenerator<Response> {
  using peer = await admit(context)
  const subscriptions = new Map<string, Subscription<Request, Response>>()
  const wake = new Wake()
  let open = true
  const end = (): void => {
    open = false
    wake.call()
  }
  peer.onChange(wake.call)
  peer.signal.addEventListener('abort', wake.call, { once: true })
  context.signal.addEventListener('abort', end, { once: true })
  void read(requests, end, (request) => {
    const { typeUrl } = request
    if (!order.includes(typeUrl)) return
    const subscription = subscriptions.get(typeUrl) ?? subscribe(typeUrl)
    subscriptions.set(typeUrl, subscription)
    const verdict = subscription.receive(request)
    if (verdict) peer.answered(typeUrl, verdict)
    wake.call()
  })
  // what is sent is decided when there is room for it: a slow client gets the newest, not all in between
  while (open && !peer.signal.aborted) {
    for (const typeUrl of order) {
      const resources = peer.resources(typeUrl)
      const response = resources && subscriptions.get(typeUrl)?.take(resources)
      if (!response) continue
      peer.pushed(typeUrl)
      yield response
      if (peer.signal.aborted) break
    }
    await wake.wait()
  }
  if (peer.signal.aborted) throw peer.signal.reason
}

async function read<Request>(
  requests: AsyncIterable<Request>,
  end: () => void,
  receive: (request: Request) => void,
): Promise<void> {
  try {
    for await (const request of requests) receive(request)
  } catch {
    // the client is gone without a word
  }
  end()
}
