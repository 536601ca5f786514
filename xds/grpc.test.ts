import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientHttp2Session, connect, createServer, type Http2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { create, toBinary } from '@bufbuild/protobuf'
import { Code, ConnectError, createClient } from '@connectrpc/connect'
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import {
  AggregatedDiscoveryService,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  grpcStreams,
  type Routes,
} from './index.ts'

/** Answers with the type that was asked for, and ends as that says. */
const routes: Routes = (router) =>
  router.service(AggregatedDiscoveryService, {
    async *streamAggregatedResources(requests) {
      for await (const { typeUrl } of requests) {
        if (typeUrl === 'refuse') throw new ConnectError('nein, danke: 100 % übel', Code.PermissionDenied)
        if (typeUrl === 'break') throw new Error('hunter2')
        if (typeUrl === 'end') return
        yield { typeUrl }
      }
    },
  })

const path = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources'

function framed(body: Uint8Array, flag = 0, length = body.length): Buffer {
  const prefix = Buffer.from([flag, 0, 0, 0, 0])
  prefix.writeUInt32BE(length, 1)
  return Buffer.concat([prefix, body])
}

const request = (typeUrl: string): Uint8Array =>
  toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { typeUrl }))

describe('gRPC over Node’s HTTP/2', function () {
  this.timeout(60_000)
  let server: Http2Server
  let session: ClientHttp2Session
  let baseUrl: string

  before(async () => {
    server = createServer().on('stream', grpcStreams(routes)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    session = connect(baseUrl)
  })

  after(async () => {
    session.close()
    server.close()
    await once(server, 'close')
  })

  /** @param end whether the client ends its side. */
  const exchange = async (
    chunks: readonly Uint8Array[],
    { headers = {}, end = true }: { headers?: Record<string, string>; end?: boolean } = {},
  ) => {
    const stream = session.request(
      { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers },
      { endStream: false },
    )
    let trailers: Record<string, unknown> = {}
    stream.on('trailers', (fields) => {
      trailers = fields
    })
    for (const chunk of chunks) stream.write(chunk)
    if (end) stream.end()
    const [answer] = (await once(stream, 'response')) as [Record<string, unknown>]
    const body = await text(stream)
    if (!stream.closed) await once(stream, 'close')
    return { status: answer[':status'], grpc: trailers['grpc-status'], said: trailers['grpc-message'], body }
  }

  it('carries messages both ways, and errors in all of Unicode', async () => {
    const sessionManager = new Http2SessionManager(baseUrl)
    const client = createClient(AggregatedDiscoveryService, createGrpcTransport({ baseUrl, sessionManager }))
    const asked = async function* (): AsyncGenerator<DiscoveryRequest> {
      for (const typeUrl of ['a', 'b'.repeat(500_000), 'refuse'])
        yield create(DiscoveryRequestSchema, { typeUrl })
    }
    const answers: string[] = []
    const error = await (async () => {
      for await (const { typeUrl } of client.streamAggregatedResources(asked())) answers.push(typeUrl)
    })().catch((reason: unknown) => reason)
    assert.deepEqual(answers, ['a', 'b'.repeat(500_000)])
    assert.ok(error instanceof ConnectError)
    assert.equal(error.code, Code.PermissionDenied)
    assert.equal(error.rawMessage, 'nein, danke: 100 % übel')
    sessionManager.abort()
  })

  it('takes messages however they are cut', async () => {
    const bytes = Buffer.concat([framed(request('one')), framed(request('two'))])
    const { body, grpc } = await exchange([...bytes].map((byte) => Buffer.of(byte)))
    assert.match(body, /one.*two/s)
    assert.equal(grpc, '0')
  })

  it('ends the stream of a client that never ends its side', async () => {
    assert.equal((await exchange([framed(request('end'))], { end: false })).grpc, '0')
  })

  it('says nothing of what a bug is', async () => {
    const { grpc, said } = await exchange([framed(request('break'))])
    assert.deepEqual([grpc, said], ['13', 'internal%20error'])
  })

  for (const [what, chunk, code] of [
    ['compressed', framed(request('a'), 1), Code.Unimplemented],
    ['too large', framed(Buffer.alloc(0), 0, 2 ** 32 - 1), Code.ResourceExhausted],
    ['cut off', framed(request('a'), 0, 100), Code.InvalidArgument],
    ['no message', framed(Buffer.alloc(20, 0xff)), Code.InvalidArgument],
  ] as const)
    it(`refuses a request that is ${what}`, async () => {
      assert.equal((await exchange([chunk])).grpc, String(code))
    })

  for (const [what, headers, status] of [
    ['another method', { ':method': 'PUT' }, 405],
    ['another content type', { 'content-type': 'application/json' }, 415],
    ['another path', { ':path': '/other' }, 404],
  ] as const)
    it(`refuses ${what}`, async () => {
      assert.equal((await exchange([], { headers })).status, status)
    })

  it('serves on after a client that takes back what it asked', async () => {
    for (let count = 0; count < 50; count++) {
      const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' })
      stream.on('error', () => {})
      stream.resume().write(framed(request('a')))
      stream.close(count % 2)
    }
    assert.equal((await exchange([framed(request('a'))])).grpc, '0')
  })
})
