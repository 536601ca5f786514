/**
 * gRPC's server side straight on Node's HTTP/2, for thousands of streams that stay open: Connect's adapter takes 50 KB of
 * heap for each, this takes 16. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { once } from 'node:events'
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import {
  create,
  type DescMessage,
  type DescService,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import {
  Code,
  ConnectError,
  createHandlerContext,
  createServiceImplSpec,
  type HandlerContext,
  type MethodImplSpec,
  type ServiceImpl,
} from '@connectrpc/connect'

/** As far as services need Connect's router. */
export interface GrpcRouter {
  service<Service extends DescService>(
    service: Service,
    implementation: Partial<ServiceImpl<Service>>,
  ): unknown
}

export type Routes = (router: GrpcRouter) => void

/** Of one message, in bytes. Requests name resources and versions, and ask for approvals. */
const largestRequest = 1024 * 1024
/** A flag and the length. */
const prefixLength = 5
const nothing = Buffer.alloc(0)

/** @returns what listens to `stream` of an HTTP/2 server. */
export function grpcStreams(
  routes: Routes,
): (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void {
  const methods = new Map<string, MethodImplSpec>()
  routes({
    service: (service, implementation) => {
      for (const spec of Object.values(createServiceImplSpec(service, implementation).methods))
        methods.set(`/${service.typeName}/${spec.method.name}`, spec)
    },
  })
  return (stream, headers) => {
    // 'close' follows
    stream.on('error', () => {})
    // Node keeps one that the client took back without an error while something is still to be written
    stream.once('aborted', () => stream.destroy())
    // the client may have taken it back at once
    if (stream.destroyed || stream.closed) return
    const spec = methods.get(headers[':path']?.toString() ?? '')
    const contentType = headers['content-type'] ?? ''
    if (headers[':method'] !== 'POST') refuse(stream, 405)
    else if (contentType !== 'application/grpc' && contentType !== 'application/grpc+proto')
      refuse(stream, 415)
    else if (!spec) refuse(stream, 404)
    else void serve(stream, headers, contentType, spec)
  }
}

function refuse(stream: ServerHttp2Stream, status: number): void {
  stream.respond({ ':status': status }, { endStream: true })
  stream.close()
}

async function serve(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  contentType: string,
  spec: MethodImplSpec,
): Promise<void> {
  const { method } = spec
  const gone = new AbortController()
  stream.once('close', () => gone.abort())
  let failure: ConnectError | undefined
  stream.once('wantTrailers', () => {
    stream.sendTrailers(statusOf(failure))
    // not before the trailers are on their way: the client may never end its side
    setImmediate(() => stream.close())
  })
  stream.respond({ ':status': 200, 'content-type': contentType }, { waitForTrailers: true })
  const context = createHandlerContext({
    service: method.parent,
    method,
    protocolName: 'grpc',
    requestMethod: 'POST',
    url: headers[':path']?.toString() ?? '',
    requestHeader: fieldsOf(headers),
    requestSignal: gone.signal,
  })
  try {
    const requests = messages(stream, method.input)
    for await (const response of responses(spec, requests, context)) {
      const body = toBinary(method.output, create(method.output, response))
      const prefix = Buffer.alloc(prefixLength)
      prefix.writeUInt32BE(body.length, 1)
      stream.cork()
      stream.write(prefix)
      const hasRoom = stream.write(body)
      stream.uncork()
      if (!hasRoom) await once(stream, 'drain', { signal: gone.signal })
    }
  } catch (error) {
    // what a bug says is nobody's business
    failure = error instanceof ConnectError ? error : new ConnectError('internal error', Code.Internal)
  }
  context.abort()
  if (!stream.destroyed) stream.end()
}

function statusOf(failure: ConnectError | undefined): OutgoingHttpHeaders {
  if (!failure) return { 'grpc-status': '0' }
  return { 'grpc-status': String(failure.code), 'grpc-message': encodeURIComponent(failure.rawMessage) }
}

/** Whatever kind of method it is. */
async function* responses(
  spec: MethodImplSpec,
  requests: AsyncIterable<MessageShape<DescMessage>>,
  context: HandlerContext,
) {
  switch (spec.kind) {
    case 'unary':
      yield await spec.impl(await only(requests), context)
      break
    case 'client_streaming':
      yield await spec.impl(requests, context)
      break
    case 'server_streaming':
      yield* spec.impl(await only(requests), context)
      break
    case 'bidi_streaming':
      yield* spec.impl(requests, context)
  }
}

async function only<T>(requests: AsyncIterable<T>): Promise<T> {
  const all: T[] = []
  for await (const request of requests) if (all.push(request) > 1) break
  const [first] = all
  if (first === undefined || all.length > 1)
    throw new ConnectError('exactly one request is needed', Code.Unimplemented)
  return first
}

async function* messages<Desc extends DescMessage>(
  stream: ServerHttp2Stream,
  schema: Desc,
): AsyncGenerator<MessageShape<Desc>> {
  let rest: Buffer = nothing
  // where reading fails, there is still a status to be sent
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= prefixLength) {
      if (rest[0] !== 0) throw new ConnectError('compressed requests are not taken', Code.Unimplemented)
      const end = prefixLength + rest.readUInt32BE(1)
      if (end - prefixLength > largestRequest)
        throw new ConnectError(`a request is larger than ${largestRequest} bytes`, Code.ResourceExhausted)
      if (rest.length < end) break
      const message = rest.subarray(prefixLength, end)
      // the last message must not keep the chunk that it came in
      rest = rest.length === end ? nothing : rest.subarray(end)
      yield decoded(schema, message)
    }
  }
  if (rest.length > 0) throw new ConnectError('a request ends in its middle', Code.InvalidArgument)
}

function decoded<Desc extends DescMessage>(schema: Desc, message: Buffer): MessageShape<Desc> {
  try {
    return fromBinary(schema, message)
  } catch {
    throw new ConnectError(`that is no ${schema.typeName}`, Code.InvalidArgument)
  }
}

/** The header fields of the request proper. */
function fieldsOf(headers: IncomingHttpHeaders): Headers {
  const fields = new Headers()
  for (const [name, value] of Object.entries(headers))
    if (!name.startsWith(':') && value !== undefined) fields.set(name, String(value))
  return fields
}
