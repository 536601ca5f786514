/** The stream by which the operator gives this sidecar its configuration; it is opened again whenever it ends. */
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { Code, ConnectError, createClient, type Transport } from '@connectrpc/connect'
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import {
  AggregatedDiscoveryService,
  connectedAtHeader,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
} from '@firebreak/xds'
import { inWords } from '../system-errors.ts'
import { Requests } from './requests.ts'

export interface ControlAddress {
  /** `host:port` of the operator. */
  readonly control: string
  /** PEM of the authority that the operator's certificate is verified with. */
  readonly ca: string
  /** Of the service account token; the kubelet replaces it before it expires. */
  readonly tokenFile: string
}

/** What is told with every answer, and what is asked for when a stream begins. */
export interface Subscriber {
  /** Types that are asked for, and what is there of each: versions by name. */
  subscriptions(): ReadonlyMap<string, ReadonlyMap<string, string>>
  /** @param answer sends the verdict; undefined is consent. It may be called later, and has no effect after the next response of this type. */
  receive(response: DeltaDiscoveryResponse, answer: (refusal: string | undefined) => void): Promise<void>
}

/** The way to the operator while a stream is open: whatever else is asked goes the same way. */
export interface Connection {
  readonly transport: Transport
  /** They prove this pod. */
  readonly headers: Readonly<Record<string, string>>
  /** Aborted when it is lost. */
  readonly signal: AbortSignal
}

export interface ControlStreamEvents {
  readonly connected: (connection: Connection) => void
  /** It tries again. */
  readonly lost: (reason: string) => void
}

const firstBackoff = 200
const maximumBackoff = 10_000
/** A connection on which nothing comes back is dead, whatever the system thinks of it. In milliseconds. */
const ping = { pingIntervalMs: 10_000, pingTimeoutMs: 5_000, pingIdleConnection: true }
const largestResponse = 16 * 1024 * 1024

/** Runs until the signal ends it. Never rejects. */
export async function keepStream(
  address: ControlAddress,
  subscriber: Subscriber,
  events: ControlStreamEvents,
  signal: AbortSignal,
): Promise<void> {
  let backoff = firstBackoff
  while (!signal.aborted) {
    try {
      await openStream(address, subscriber, signal, (connection) => {
        backoff = firstBackoff
        events.connected(connection)
      })
      if (!signal.aborted) events.lost('the operator ended it')
    } catch (error) {
      if (!signal.aborted) events.lost(reasonOf(error))
    }
    await delay(backoff * (0.5 + Math.random()), undefined, { signal, ref: false }).catch(() => {})
    backoff = Math.min(backoff * 2, maximumBackoff)
  }
}

async function openStream(
  { control, ca, tokenFile }: ControlAddress,
  subscriber: Subscriber,
  signal: AbortSignal,
  onAnswered: (connection: Connection) => void,
): Promise<void> {
  const token = (await readFile(tokenFile, 'utf8')).trim()
  const baseUrl = `https://${control}`
  // each time a new connection: the name may stand for another replica now
  const session = new Http2SessionManager(baseUrl, ping, { ca, minVersion: 'TLSv1.3' })
  const requests = new Requests<DeltaDiscoveryRequest>()
  const lost = new AbortController()
  const headers = { authorization: `Bearer ${token}` }
  try {
    const transport = createGrpcTransport({
      baseUrl,
      sessionManager: session,
      readMaxBytes: largestResponse,
      acceptCompression: [],
    })
    const responses = createClient(AggregatedDiscoveryService, transport).deltaAggregatedResources(requests, {
      signal,
      headers: { ...headers, [connectedAtHeader]: String(Date.now()) },
    })
    for (const [typeUrl, versions] of subscriber.subscriptions())
      requests.send(request({ typeUrl, initialResourceVersions: Object.fromEntries(versions) }))
    let answered = false
    const latest = new Map<string, string>()
    for await (const response of responses) {
      if (!answered) onAnswered({ transport, headers, signal: lost.signal })
      answered = true
      const { typeUrl, nonce: responseNonce } = response
      latest.set(typeUrl, responseNonce)
      await subscriber.receive(response, (refusal) => {
        if (latest.get(typeUrl) !== responseNonce) return
        requests.send(
          request({
            typeUrl,
            responseNonce,
            ...(refusal !== undefined && {
              errorDetail: { code: Code.InvalidArgument, message: refusal },
            }),
          }),
        )
      })
    }
  } finally {
    lost.abort()
    requests.end()
    session.abort()
  }
}

function request(fields: MessageInitShape<typeof DeltaDiscoveryRequestSchema>): DeltaDiscoveryRequest {
  return create(DeltaDiscoveryRequestSchema, fields)
}

function reasonOf(error: unknown): string {
  return error instanceof ConnectError ? error.rawMessage : inWords(error)
}
