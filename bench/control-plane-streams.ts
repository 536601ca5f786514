/** Simulated sidecars, in a process of their own: each has a connection of its own, and takes everything at once. */
import { create } from '@bufbuild/protobuf'
import { createClient } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import {
  AggregatedDiscoveryService,
  connectedAtHeader,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  typeUrls,
} from '@firebreak/xds'
import { Requests } from '../sidecar/control/requests.ts'

export interface StreamsSettings {
  readonly control: string
  readonly ca: string
  readonly tokens: readonly string[]
}

/** Sent to the parent when it asks. */
export interface Counted {
  /** Responses since it asked last, by type. */
  readonly responses: Readonly<Record<string, number>>
  /** When the last of them was acknowledged, in milliseconds since 1970. */
  readonly lastAt: number
}

let responses: Record<string, number> = {}
let lastAt = 0

/** That many connect at a time: one process can't shake hands with all of them at once. */
const wave = 50

async function connectAll(settings: StreamsSettings): Promise<void> {
  const waiting = [...settings.tokens]
  const next = async (): Promise<void> => {
    for (let token = waiting.pop(); token !== undefined; token = waiting.pop()) {
      const connecting = token
      await new Promise<void>((connected, failed) => {
        simulate(settings, connecting, connected).catch(failed)
      })
    }
  }
  await Promise.all(Array.from({ length: wave }, next))
}

async function simulate(
  { control, ca }: StreamsSettings,
  token: string,
  connected: () => void,
): Promise<void> {
  const baseUrl = `https://${control}`
  const client = createClient(
    AggregatedDiscoveryService,
    createGrpcTransport({
      baseUrl,
      nodeOptions: { ca },
      readMaxBytes: 16 * 1024 * 1024,
      acceptCompression: [],
    }),
  )
  const requests = new Requests<DeltaDiscoveryRequest>()
  for (const typeUrl of Object.values(typeUrls))
    requests.send(create(DeltaDiscoveryRequestSchema, { typeUrl }))
  const headers = { authorization: `Bearer ${token}`, [connectedAtHeader]: String(Date.now()) }
  for await (const { typeUrl, nonce } of client.deltaAggregatedResources(requests, { headers })) {
    requests.send(create(DeltaDiscoveryRequestSchema, { typeUrl, responseNonce: nonce }))
    responses[typeUrl] = (responses[typeUrl] ?? 0) + 1
    lastAt = Date.now()
    connected()
  }
}

process.on('message', (message: StreamsSettings | 'count') => {
  if (message === 'count') {
    process.send?.({ responses, lastAt } satisfies Counted)
    responses = {}
    return
  }
  connectAll(message).catch((error: unknown) => {
    console.error(error)
    process.exit(1)
  })
})
