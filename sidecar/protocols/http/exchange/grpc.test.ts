/** Calls of gRPC from a real client, through a real gateway, to a real server. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  Client,
  type ClientDuplexStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  credentials,
  Metadata,
  type MethodDefinition,
  type requestCallback,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { fetch } from 'undici'
import { selfSigned } from '../../../../test/certificates.ts'
import { eventuallyWith } from '../../../../test/eventually.ts'
import { bytes, method, orders } from '../../../../test/grpc-orders.ts'
import { type HttpPolicy, HttpShop, httpManifests } from '../../../../test/http-shop.ts'
import { Guard } from '../../../../test/shop.ts'
import { decideRequest, listRequests } from '../../../approvals/desk.ts'

const eventually = eventuallyWith(() => '')
const allowed = `    - {name: calls, match: {actions: ["http:write", "grpc:*"]}, effect: allow}
`
const denied = '    - {name: no-delete, match: {actions: ["grpc:shop.v1.Orders/Delete"]}, effect: deny}\n'

for (const isEncrypted of [false, true])
  describe(`a call of gRPC, ${isEncrypted ? 'over TLS' : 'without TLS'}`, function () {
    this.timeout(60_000)
    const stack = new AsyncDisposableStack()
    let each = new AsyncDisposableStack()
    /** Names of methods that were called, with what came. */
    const reached: (readonly [name: string, body: string, metadata: Metadata])[] = []
    let cancelled = Promise.withResolvers<void>()
    let target: HttpPolicy
    let guard: Guard
    let client: Client

    before(async () => {
      const server = new Server({ 'grpc.max_receive_message_length': -1 })
      stack.defer(() => server.forceShutdown())
      server.addService(orders, {
        get: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
          reached.push(['Get', call.request.toString(), call.metadata])
          const metadata = new Metadata()
          metadata.set('x-cost', '7')
          metadata.set('x-proof-bin', Buffer.from([0, 255]))
          if (call.request.toString() === 'nobody') {
            metadata.set('grpc-status-details-bin', Buffer.from('why'))
            answer({ code: status.NOT_FOUND, details: 'kein Käse: 100%', metadata })
          } else answer(null, call.request, metadata)
        },
        delete: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
          reached.push(['Delete', call.request.toString(), call.metadata])
          answer(null, call.request)
        },
        list: async (call: ServerWritableStream<Buffer, Buffer>) => {
          for (const number of [1, 2, 3]) call.write(Buffer.from(`${call.request} ${number}`))
          call.end()
        },
        upload: async (call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
          let length = 0
          for await (const chunk of call as AsyncIterable<Buffer>) length += chunk.length
          answer(null, Buffer.from(String(length)))
        },
        chat: async (call: ServerDuplexStream<Buffer, Buffer>) => {
          call.on('cancelled', () => cancelled.resolve())
          for await (const chunk of call as AsyncIterable<Buffer>)
            call.write(Buffer.from(`you said ${chunk}`))
          call.end()
        },
        wait: (call: ServerUnaryCall<Buffer, Buffer>) => {
          reached.push(['Wait', call.request.toString(), call.metadata])
          call.on('cancelled', () => cancelled.resolve())
        },
      })
      const { certificate, key } = selfSigned('shop.test')
      const pair = [{ cert_chain: Buffer.from(certificate), private_key: Buffer.from(key) }]
      const how = isEncrypted ? ServerCredentials.createSsl(null, pair) : ServerCredentials.createInsecure()
      const port = await promisify(server.bindAsync.bind(server))('127.0.0.1:0', how)
      process.env.GRPC_SHOP_CA = certificate
      target = {
        address: `127.0.0.1:${port}`,
        http: ', grpc: [/shop.v1.Orders]',
        ...(isEncrypted && { tls: '{ca: {env: {name: GRPC_SHOP_CA}}, serverName: shop.test}' }),
      }
    })
    after(async () => {
      await stack.disposeAsync()
    })
    beforeEach(() => {
      reached.length = 0
      cancelled = Promise.withResolvers()
    })
    afterEach(async () => {
      await each.disposeAsync()
      each = new AsyncDisposableStack()
    })

    const start = async (policy: HttpPolicy = {}): Promise<void> => {
      const manifests = httpManifests({ rules: allowed + denied, ...target, ...policy })
      guard = each.use(await Guard.start({ 'firebreak.yaml': manifests }, 'the-secret'))
      client = new Client(`127.0.0.1:${guard.address.port}`, credentials.createInsecure(), {
        'grpc.max_receive_message_length': -1,
        'grpc.enable_retries': 0,
      })
      each.defer(() => client.close())
    }
    const called = (): readonly string[] => reached.map(([name, body]) => `${name} ${body}`)
    const unary = (
      { path }: MethodDefinition<Buffer, Buffer>,
      message: string | Buffer,
      { metadata = new Metadata(), deadline }: { metadata?: Metadata; deadline?: Date } = {},
      begun: (call: ClientUnaryCall) => void = () => {},
    ): Promise<{ value: Buffer | undefined; error: ServiceError | null }> =>
      new Promise((resolve) => {
        const done: requestCallback<Buffer> = (error, value) => resolve({ value, error })
        const options = deadline ? { deadline } : {}
        begun(client.makeUnaryRequest(path, bytes, bytes, Buffer.from(message), metadata, options, done))
      })

    it('is answered, with metadata in both directions', async () => {
      await start()
      const metadata = new Metadata()
      metadata.set('x-tenant', 'a')
      metadata.set('x-trace-bin', Buffer.from([1, 2, 3]))
      metadata.set('authorization', 'Bearer agents-own')
      let trailing = new Metadata()
      const { value, error } = await unary(orders.get, 'hello', { metadata }, (call) => {
        call.on('status', (given) => {
          trailing = given.metadata
        })
      })
      assert.equal(error, null)
      assert.equal(value?.toString(), 'hello')
      const [, , came] = reached[0] ?? []
      assert.deepEqual(came?.get('x-tenant'), ['a'])
      assert.deepEqual(came?.get('x-trace-bin'), [Buffer.from([1, 2, 3])])
      assert.deepEqual(came?.get('authorization'), ['Bearer the-secret'])
      assert.deepEqual(trailing.get('x-cost'), ['7'])
      assert.deepEqual(trailing.get('x-proof-bin'), [Buffer.from([0, 255])])
      const [line] = await guard.audited(1)
      assert.deepEqual(line?.actions, ['http:write', 'grpc:shop.v1.Orders/Get'])
    })

    it('hears the errors of the server as they are', async () => {
      await start()
      const { error } = await unary(orders.get, 'nobody')
      assert.equal(error?.code, status.NOT_FOUND)
      assert.equal(error?.details, 'kein Käse: 100%')
      assert.deepEqual(error?.metadata.get('grpc-status-details-bin'), [Buffer.from('why')])
      const unknown = await unary(method('Unknown', false, false), 'x')
      assert.equal(unknown.error?.code, status.UNIMPLEMENTED)
    })

    it('streams from the server', async () => {
      await start()
      const { path } = orders.list
      const stream = client.makeServerStreamRequest(path, bytes, bytes, Buffer.from('order'))
      const messages = await Array.fromAsync(stream as AsyncIterable<Buffer>)
      assert.deepEqual(messages.map(String), ['order 1', 'order 2', 'order 3'])
    })

    it('streams from the client', async () => {
      await start()
      const answered = Promise.withResolvers<Buffer | undefined>()
      const stream: ClientWritableStream<Buffer> = client.makeClientStreamRequest(
        orders.upload.path,
        bytes,
        bytes,
        (error, value) => (error ? answered.reject(error) : answered.resolve(value)),
      )
      for (let count = 0; count < 10; count++) stream.write(Buffer.alloc(100_000))
      stream.end()
      assert.equal((await answered.promise)?.toString(), '1000000')
    })

    it('streams both ways at once', async () => {
      await start()
      const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
        orders.chat.path,
        bytes,
        bytes,
      )
      for (const word of ['one', 'two', 'three']) {
        stream.write(Buffer.from(word))
        const [message] = (await once(stream, 'data')) as [Buffer]
        assert.equal(message.toString(), `you said ${word}`)
      }
      stream.end()
      const [ended] = (await once(stream, 'status')) as [{ code: number }]
      assert.equal(ended.code, status.OK)
    })

    it('has messages of any size', async () => {
      await start()
      const large = Buffer.alloc(9 * 1024 * 1024, 'firebreak ')
      const { value, error } = await unary(orders.get, large)
      assert.equal(error, null)
      assert.ok(value?.equals(large))
    })

    it('that is given up, or is too late, ends at the server as well', async () => {
      await start()
      await Promise.all([
        cancelled.promise,
        unary(orders.wait, 'x', {}, (call) => {
          void eventually(() => String(reached.length), /1/).then(() => call.cancel())
        }).then(({ error }) => assert.equal(error?.code, status.CANCELLED)),
      ])
      cancelled = Promise.withResolvers()
      const { error } = await unary(orders.wait, 'x', { deadline: new Date(Date.now() + 1_500) })
      assert.equal(error?.code, status.DEADLINE_EXCEEDED)
      await cancelled.promise
      const [, , metadata] = reached.at(-1) ?? []
      assert.equal(metadata?.get('grpc-timeout').length, 0)
      assert.equal((await guard.audited(2)).length, 2)
    })

    it('is denied as gRPC says it, in whatever letters it is called', async () => {
      await start()
      for (const name of ['Delete', 'delete', 'DELETE']) {
        const { error } = await unary(method(name, false, false), 'x')
        assert.equal(error?.code, status.PERMISSION_DENIED)
        assert.match(
          error?.details ?? '',
          /denied by policy default\/guard, rule no-delete: .*; reference \S+/,
        )
      }
      const json = await fetch(`http://127.0.0.1:${guard.address.port}/shop.v1.Orders/Delete`, {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      })
      assert.equal(json.status, 403)
      assert.deepEqual(called(), [])
    })

    it('needs a rule for the call besides that for the request', async () => {
      await start({ rules: '    - {name: requests, match: {actions: ["http:*"]}, effect: allow}\n' })
      const { error } = await unary(orders.get, 'x')
      assert.equal(error?.code, status.PERMISSION_DENIED)
      assert.match(error?.details ?? '', /grpc:shop\.v1\.Orders\/Get/)
    })

    it('is refused as gRPC says it where nobody is known, a limit is reached or it takes too long', async () => {
      await start({ identity: 'oidc: {issuer: "https://issuer.invalid", audience: firebreak}' })
      assert.equal((await unary(orders.get, 'x')).error?.code, status.UNAUTHENTICATED)
      await each.disposeAsync()
      each = new AsyncDisposableStack()
      await start({ more: '  limits: {commandsPerMinute: 1}\n' })
      await unary(orders.get, 'x')
      assert.equal((await unary(orders.get, 'x')).error?.code, status.RESOURCE_EXHAUSTED)
      await each.disposeAsync()
      each = new AsyncDisposableStack()
      await start({ more: '  limits: {commandDuration: 300ms}\n' })
      assert.equal((await unary(orders.wait, 'x')).error?.code, status.DEADLINE_EXCEEDED)
    })

    it('says at its end why a stream goes no further', async () => {
      await start({ more: '  limits: {bytesPerCommand: 20}\n' })
      const { path } = orders.chat
      const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(path, bytes, bytes)
      stream.write(Buffer.from('1'))
      await once(stream, 'data')
      stream.write(Buffer.from('2'))
      const [error] = (await once(stream, 'error')) as [ServiceError]
      assert.equal(error.code, status.RESOURCE_EXHAUSTED)
      assert.match(error.details, /bytes per command/)
      await cancelled.promise
    })

    it('is unavailable where the server is, or speaks no HTTP/2', async () => {
      await start({ address: '127.0.0.1:1' })
      assert.equal((await unary(orders.get, 'x')).error?.code, status.UNAVAILABLE)
      await each.disposeAsync()
      each = new AsyncDisposableStack()
      const old = each.use(await HttpShop.start())
      await start({ address: old.address, tls: '{mode: disable}' })
      const { error } = await unary(orders.get, 'x')
      assert.equal(error?.code, status.UNAVAILABLE)
      assert.match(error?.details ?? '', /does not speak HTTP\/2/)
      assert.deepEqual(old.reached, [])
    })

    it('does not go out where something may have to be masked', async () => {
      await start({
        classification: '[{tags: [pii/email], fields: ["$.email"]}]',
        rules: `${allowed}    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}\n`,
      })
      const { error } = await unary(orders.get, 'x')
      assert.equal(error?.code, status.PERMISSION_DENIED)
      assert.match(error?.details ?? '', /masked/)
      assert.deepEqual(called(), [])
    })

    it('waits for people, and is what they have seen', async () => {
      await start({
        rules: `${allowed}    - {name: ask, match: {actions: ["grpc:shop.v1.Orders/Delete"]}, effect: requireApproval}\n`,
      })
      const directory = join(guard.directory, 'approvals')
      const open = async (): Promise<Awaited<ReturnType<typeof listRequests>>> => {
        const requests = await listRequests(directory).catch(() => [])
        return requests.filter((request) => !request.spec.decision)
      }
      const answer = unary(orders.delete, 'order 7', { deadline: new Date(Date.now() + 50_000) })
      await eventually(async () => String((await open()).length), /^1$/)
      const [request] = await open()
      assert.match(request?.spec.command?.text ?? '', /POST \/shop\.v1\.Orders\/Delete/)
      assert.doesNotMatch(request?.spec.command?.text ?? '', /grpc-timeout/)
      assert.match(String(request?.spec.command?.parameters), /order 7$/)
      assert.deepEqual(called(), [])
      await decideRequest(directory, request?.metadata.name ?? '', { decision: 'Approved', reason: 'a test' })
      const { value, error } = await answer
      assert.equal(error, null)
      assert.equal(value?.toString(), 'order 7')
      assert.deepEqual(called(), ['Delete order 7'])
      const other = unary(orders.delete, 'order 8', { deadline: new Date(Date.now() + 50_000) })
      await eventually(async () => String((await open()).length), /^1$/)
      const [second] = await open()
      await decideRequest(directory, second?.metadata.name ?? '', { decision: 'Denied', reason: 'a test' })
      assert.equal((await other).error?.code, status.PERMISSION_DENIED)
      assert.deepEqual(called(), ['Delete order 7'])
    })
  })
