/** AWS's own client through the gateway, with a key of its own that is none, to a real object store. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { createServer } from 'node:tls'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { fetch } from 'undici'
import { selfSigned } from '../../../../test/certificates.ts'
import { HttpShop } from '../../../../test/http-shop.ts'
import type { Guard } from '../../../../test/shop.ts'
import { ObjectStore } from '../../../../tools/object-store.ts'
import { maximumSignedBody } from './aws-signature.ts'

describe('an object store that takes signed requests', function () {
  this.timeout(120_000)
  let store: ObjectStore
  let shop: HttpShop
  let guard: Guard | undefined

  before(async () => {
    store = await ObjectStore.start()
    shop = await HttpShop.start()
  })
  after(async () => {
    await shop[Symbol.asyncDispose]()
    await store[Symbol.asyncDispose]()
  })
  afterEach(async () => {
    await guard?.[Symbol.asyncDispose]()
    guard = undefined
  })

  const start = async (more: Parameters<HttpShop['guard']>[0] = {}): Promise<Guard> => {
    guard = await shop.guard({
      address: new URL(store.endpoint).host,
      authentication: '{as: aws, aws: {service: s3, region: us-east-1}}',
      roles: `[{name: agent, username: ${store.credentials.AWS_ACCESS_KEY_ID}, credential: {env: {password: SHOP_PASSWORD}}}]`,
      ...more,
    })
    process.env.SHOP_PASSWORD = store.credentials.AWS_SECRET_ACCESS_KEY
    return guard
  }
  const clientOf = ({ address }: Guard): S3Client =>
    new S3Client({
      endpoint: `http://127.0.0.1:${address.port}`,
      region: 'eu-central-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'agents-own', secretAccessKey: 'agents-own', sessionToken: 'agents-own' },
    })
  const put = async ({ address }: Guard, key: string, body: Buffer | ReadableStream): Promise<number> => {
    const { status } = await fetch(`http://127.0.0.1:${address.port}/recordings/${key}`, {
      method: 'PUT',
      body,
      duplex: 'half',
    })
    return status
  }

  it('is used by a client that does not know the key', async () => {
    using client = disposable(clientOf(await start()))
    const object = { Bucket: store.bucket, Key: 'a name/with &?=+%, ä and (signs)' }
    await client.s3.send(new PutObjectCommand({ ...object, Body: 'written', Metadata: { note: 'a  b' } }))
    const { Body } = await client.s3.send(new GetObjectCommand(object))
    assert.equal(await Body?.transformToString(), 'written')
    const { Contents } = await client.s3.send(
      new ListObjectsV2Command({ Bucket: store.bucket, Prefix: 'a name/with &?=+' }),
    )
    assert.deepEqual(
      Contents?.map(({ Key }) => Key),
      [object.Key],
    )
    await client.s3.send(new DeleteObjectCommand(object))
  })

  it('takes an upload in parts', async () => {
    using client = disposable(clientOf(await start()))
    const object = { Bucket: store.bucket, Key: 'in-parts' }
    const { UploadId } = await client.s3.send(new CreateMultipartUploadCommand(object))
    const upload = { ...object, UploadId }
    const { ETag } = await client.s3.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: 'part' }))
    const Parts = [{ ETag, PartNumber: 1 }]
    await client.s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }))
    const { Body } = await client.s3.send(new GetObjectCommand(object))
    assert.equal(await Body?.transformToString(), 'part')
  })

  it('gets a body of unknown length whole, and none that is too long to be signed', async () => {
    const gateway = await start()
    assert.equal(
      await put(gateway, 'streamed', Readable.toWeb(Readable.from(['a', 'b'])) as ReadableStream),
      200,
    )
    assert.equal(await put(gateway, 'longest', Buffer.alloc(maximumSignedBody, 'x')), 200)
    const response = await fetch(`http://127.0.0.1:${gateway.address.port}/recordings/longer`, {
      method: 'PUT',
      body: Buffer.alloc(maximumSignedBody + 1, 'x'),
    })
    assert.equal(response.status, 413)
    assert.match(await response.text(), /signed has at most 1048576 bytes/)
  })

  it('gets a long body without its digest over TLS, as it passes', async () => {
    const { certificate, key } = selfSigned('store.test')
    const { hostname, port } = new URL(store.endpoint)
    const front = createServer({ cert: certificate, key }, (client) => {
      const behind = connect(Number(port), hostname)
      client.pipe(behind).pipe(client)
      client.on('error', () => behind.destroy())
      behind.on('error', () => client.destroy())
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => front.once('listening', resolve))
    try {
      process.env.SHOP_CA = certificate
      const gateway = await start({
        address: `127.0.0.1:${(front.address() as { port: number }).port}`,
        tls: '{ca: {env: {name: SHOP_CA}}, serverName: store.test}',
      })
      const body = Buffer.alloc(3 * maximumSignedBody, 'firebreak ')
      assert.equal(await put(gateway, 'long', body), 200)
      const read = await fetch(`http://127.0.0.1:${gateway.address.port}/recordings/long`)
      assert.ok(Buffer.from(await read.arrayBuffer()).equals(body))
    } finally {
      front.close()
    }
  })

  it('knows another key at once, and says when one is wrong', async () => {
    const gateway = await start()
    process.env.SHOP_PASSWORD = 'no-such-key'
    const refused = await fetch(`http://127.0.0.1:${gateway.address.port}/recordings`)
    assert.equal(refused.status, 403)
    assert.match(await refused.text(), /SignatureDoesNotMatch/)
    process.env.SHOP_PASSWORD = store.credentials.AWS_SECRET_ACCESS_KEY
    assert.equal((await fetch(`http://127.0.0.1:${gateway.address.port}/recordings`)).status, 200)
  })
})

function disposable(s3: S3Client): Disposable & { readonly s3: S3Client } {
  return { s3, [Symbol.dispose]: () => s3.destroy() }
}
