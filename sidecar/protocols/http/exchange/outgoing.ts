/** A request as it goes out to its target. */
import type { Credential, HttpAuthentication, Refusal, Result } from '../../../session.ts'
import { forwardedHeaders } from '../head/forwarded.ts'
import type { HeaderFields, HttpRequest, OpenBodyMask } from '../request.ts'
import { type ClientRequest, type ClientResponse, chunksOf } from './client.ts'
import { withCredential } from './injection.ts'
import { partial } from './inspection.ts'
import type { CommandRun } from './run.ts'
import type { Tunnel } from './tunnel.ts'
import type { Outgoing, Way } from './upstream.ts'

export interface Passing {
  readonly run: CommandRun
  /** With its body, where that was read to decide. */
  readonly request: HttpRequest
  /** Where the rest of the body comes from; absent where there is none, or it was read. */
  readonly body: ClientRequest | undefined
  readonly response: ClientResponse
  /** Set where the client wants to leave HTTP. */
  readonly tunnel: Tunnel | undefined
  readonly upstream: Way
  readonly authentication: HttpAuthentication
  readonly credential: Credential
  /** Another one, where the target doesn't take that. */
  readonly renewed: () => Promise<Result<Credential, Refusal>>
  readonly openBodyMask: OpenBodyMask
  /** A call of gRPC, where the target serves that: it is one in HTTP/2 alone. */
  readonly isCall: boolean
  /** Whether the answer has to come in a form that can be looked into. */
  readonly inspected: boolean
}

/** What makes the request itself; of one that is the gateway's own there is no more. */
export type Outbound = Pick<Passing, 'request' | 'upstream' | 'authentication' | 'inspected'> &
  Partial<Pick<Passing, 'run' | 'body' | 'tunnel' | 'isCall'>>

/** @param credential that of the role as it is now. */
export async function outgoing(passing: Outbound, credential: Credential): Promise<Outgoing> {
  const { request, upstream, authentication, tunnel, isCall } = passing
  const { path, query, headers } = await withCredential(
    {
      request,
      host: upstream.authority,
      streams: passing.body !== undefined,
      path: request.path.text,
      query: request.query,
      headers: headersOf(passing),
    },
    authentication,
    credential,
  )
  const body = request.body ?? bodyOf(passing)
  return {
    method: request.method,
    path: query === '' ? path : `${path}?${query}`,
    headers: [['host', upstream.authority], ...headers],
    body,
    closes: body !== undefined && bodiless.has(request.method),
    ...(isCall && { version: 'h2' }),
    // connections are only given up to another protocol in HTTP/1.1
    ...(tunnel && { upgrade: 'websocket', version: 'http/1.1' }),
  }
}

function headersOf({ request, body, inspected, isCall }: Outbound): HeaderFields {
  const length = request.headers.find(([name]) => name === 'content-length')
  return [
    ...forwardedHeaders(request).filter(([name]) => !(inspected && partial.has(name))),
    ...(inspected ? ([['accept-encoding', 'identity']] as const) : []),
    ...(body && length ? [length] : []),
    // by which servers know that nothing in between drops trailers
    ...(isCall ? ([['te', 'trailers']] as const) : []),
  ]
}

function bodyOf({ body, run }: Outbound): AsyncIterable<Buffer> | undefined {
  const chunks = body && chunksOf(body)
  return chunks && run?.session.recorder ? recordedInput(chunks, run) : chunks
}

/** Bodies of these are not expected by every server. */
const bodiless = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE'])

/** The same, told on its way. */
async function* recordedInput(chunks: AsyncIterable<Buffer>, run: CommandRun): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    run.takes(chunk)
    yield chunk
  }
}
