import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'
import { type ApiServer, startApiServer } from '../../test/api-server.ts'
import { untilTrue } from '../../test/eventually.ts'
import { KubernetesClient } from '../kubernetes/client.ts'
import { type KubernetesObject, pods, Resource, secrets } from '../kubernetes/objects.ts'
import { Informer } from './informer.ts'
import { type KnownPod, known } from './known-pod.ts'

const serviceAccounts = new Resource<KubernetesObject>('v1', 'ServiceAccount', 'serviceaccounts')

const secret = (name: string, value = 'a') => ({
  metadata: { name, namespace: 'default' },
  stringData: { value },
})

describe('an informer on a real API server', function () {
  this.timeout('4m')
  let api: ApiServer
  before(async function () {
    this.timeout('45m')
    api = await startApiServer()
  })
  after(() => api?.[Symbol.asyncDispose]())

  it('lists page by page, then follows what is added, changed and deleted', async () => {
    const { client } = api
    await Promise.all(
      Array.from({ length: 520 }, (_, index) => client.create(secrets, secret(`many-${index}`))),
    )
    using informer = new Informer(client, secrets, { failed: (error) => assert.fail(error) })
    await informer.synced
    assert.equal([...informer.list()].filter(({ metadata }) => metadata.name.startsWith('many-')).length, 520)

    const seen: string[] = []
    informer.onChange((key, now, before) => {
      if (key === 'default/x') seen.push(now ? (before ? 'changed' : 'added') : 'deleted')
    })
    await client.create(secrets, secret('x'))
    await untilTrue(() => seen.length === 1)
    await client.apply(secrets, secret('x', 'b'))
    await untilTrue(() => seen.length === 2)
    assert.equal(informer.get('default/x')?.data?.value, Buffer.from('b').toString('base64'))
    await client.delete(secrets, 'x', 'default')
    await untilTrue(() => seen.length === 3)
    assert.deepEqual(seen, ['added', 'changed', 'deleted'])
    assert.equal(informer.get('default/x'), undefined)
  })

  it('keeps of an object what it is to keep, however it heard of it, and nothing of the books', async () => {
    const { client } = api
    const pod = (name: string) => ({
      metadata: { name, namespace: 'default', annotations: { 'firebreak.dev/injected': '1', other: 'x' } },
      spec: { serviceAccountName: 'bot', containers: [{ name: 'agent', image: 'x' }] },
    })
    await client.create(serviceAccounts, { metadata: { name: 'bot', namespace: 'default' } })
    const { metadata: written } = await client.create(pods, pod('listed'))
    assert.ok(written.managedFields)
    using whole = new Informer(client, pods, { failed: (error) => assert.fail(error) })
    using informer = new Informer<KnownPod>(
      client,
      pods,
      { failed: (error) => assert.fail(error) },
      {},
      { keep: known },
    )
    await Promise.all([whole.synced, informer.synced])
    await client.create(pods, pod('watched'))
    await untilTrue(() => [whole, informer].every((each) => each.get('default/watched') !== undefined))
    for (const name of ['listed', 'watched']) {
      assert.equal(whole.get(`default/${name}`)?.metadata.managedFields, undefined)
      const { metadata, ...rest } = informer.get(`default/${name}`) ?? assert.fail('it is there')
      assert.deepEqual(Object.keys(metadata), ['name', 'namespace', 'uid', 'resourceVersion', 'annotations'])
      assert.deepEqual(metadata.annotations, { 'firebreak.dev/injected': '1' })
      assert.deepEqual(rest, { spec: { serviceAccountName: 'bot' }, status: { phase: 'Pending' } })
    }
  })

  it('is up to date again by itself after the API server was killed and started anew', async () => {
    const { client, cluster } = api
    const failures: Error[] = []
    using informer = new Informer(client, secrets, { failed: (error) => failures.push(error) })
    await informer.synced
    await cluster.apiServer.stop(0)
    await untilTrue(() => failures.length > 0)
    cluster.apiServer.start()
    await cluster.ready()
    await client.create(secrets, secret('after-the-restart'))
    await untilTrue(() => informer.get('default/after-the-restart') !== undefined)
  })

  it('says what the API server said, and takes no object for an error', async () => {
    const { client } = api
    await assert.rejects(client.create(secrets, secret('Not A Name')), /metadata.name: Invalid value/)
    assert.equal(await client.get(secrets, 'missing', 'default'), undefined)
    await client.delete(secrets, 'missing', 'default')
  })
})

describe('an informer on an API server that fails', function () {
  this.timeout(90_000)
  /** Answers lists with one object per version, and watches as the test says. */
  async function withServer(
    watch: (count: number, response: ServerResponse, url: URL) => void,
    test: (client: KubernetesClient, lists: () => number) => Promise<void>,
  ): Promise<void> {
    let lists = 0
    let watches = 0
    const server = createServer((request: IncomingMessage, response) => {
      const url = new URL(request.url ?? '', 'http://x')
      if (url.searchParams.has('watch')) return watch(++watches, response, url)
      lists++
      const metadata = { name: `from-list-${lists}`, namespace: 'default', resourceVersion: `${lists}` }
      response.end(JSON.stringify({ metadata: { resourceVersion: `${lists}00` }, items: [{ metadata }] }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const config = new KubeConfig()
    config.loadFromClusterAndUser(
      {
        name: 'fake',
        server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        skipTLSVerify: true,
      },
      { name: 'nobody' },
    )
    await using client = new KubernetesClient(config)
    try {
      await test(client, () => lists)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  }
  const line = (value: unknown): string => `${JSON.stringify(value)}\n`
  const added = (name: string, resourceVersion: string) => ({
    type: 'ADDED',
    object: { metadata: { name, namespace: 'default', resourceVersion } },
  })

  it('lists again when its version is too old, and drops what is gone', async () => {
    await withServer(
      (count, response) => {
        if (count === 1) response.end(line({ type: 'ERROR', object: { code: 410, reason: 'Expired' } }))
        else response.write(line(added('after', '201')))
      },
      async (client, lists) => {
        using informer = new Informer(client, secrets, { failed: (error) => assert.fail(error) })
        await untilTrue(() => informer.get('default/after') !== undefined)
        assert.equal(lists(), 2)
        assert.equal(informer.get('default/from-list-1'), undefined)
        assert.ok(informer.get('default/from-list-2'))
      },
    )
  })

  it('goes on from the last bookmark when a watch ends, without listing again', async () => {
    const from: (string | null)[] = []
    await withServer(
      (count, response, url) => {
        from.push(url.searchParams.get('resourceVersion'))
        if (count === 1)
          response.end(line({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '150' } } }))
        else response.write(line(added('later', '151')))
      },
      async (client, lists) => {
        using informer = new Informer(client, secrets, { failed: (error) => assert.fail(error) })
        await untilTrue(() => informer.get('default/later') !== undefined)
        assert.deepEqual(from, ['100', '150'])
        assert.equal(lists(), 1)
      },
    )
  })

  it('gives up a watch that has fallen silent, and one that breaks in the middle of a line', async () => {
    const failures: string[] = []
    await withServer(
      (count, response) => {
        if (count === 1) response.flushHeaders()
        else if (count === 2) {
          response.write('{"type":"ADD')
          setTimeout(() => response.destroy(), 20)
        } else response.write(line(added('later', '101')))
      },
      async (client, lists) => {
        using informer = new Informer(
          client,
          secrets,
          { failed: (error) => failures.push(error.message) },
          {},
          { quietFor: 1_000 },
        )
        await untilTrue(() => informer.get('default/later') !== undefined)
        assert.equal(lists(), 1)
        assert.equal(informer.restarts, 2)
        assert.equal(failures[0], 'the watch fell silent')
      },
    )
  })

  it('does not ask a server that refuses it in a tight loop, and never gives up', async () => {
    let refused = 0
    await withServer(
      (count, response) => {
        if (count > 3) response.write(line(added('at-last', '101')))
        else {
          refused++
          response.writeHead(500).end('out of order')
        }
      },
      async (client) => {
        const failures: string[] = []
        using informer = new Informer(client, secrets, { failed: (error) => failures.push(error.message) })
        await untilTrue(() => informer.get('default/at-last') !== undefined)
        assert.equal(refused, 3)
        assert.deepEqual(failures, ['out of order', 'out of order', 'out of order'])
      },
    )
  })
})
