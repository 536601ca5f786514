import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create } from '@bufbuild/protobuf'
import type { AgentIdentity } from '@firebreak/crds'
import {
  DeltaDiscoveryRequestSchema,
  DeltaSubscription,
  envoyBootstrap,
  listener,
  places,
  type Resources,
  typeUrls,
} from '@firebreak/xds'
import { envoyResources } from '../../operator/xds/envoy.ts'
import { untilTrue } from '../../test/eventually.ts'
import { envoy as findEnvoy } from '../../tools/clients.ts'
import { readProxyHeader } from '../containment/capture/proxy-protocol.ts'
import { Relay } from './relay.ts'

const guarded = ['10.77.0.1']

function identity(egress: readonly object[]): AgentIdentity {
  return { spec: { egress } } as unknown as AgentIdentity
}

describe('Envoy behind the relay', function () {
  this.timeout(180_000)
  const stack = new AsyncDisposableStack()
  let directory: string
  let relay: Relay
  let envoy: ChildProcess
  let log = ''
  const enforced: string[] = []
  const subscriptions = new Map<string, DeltaSubscription>()

  /** As the operator would send them; only what has changed. @returns what each type was answered. */
  const push = async (snapshot: ReadonlyMap<string, Resources>): Promise<Map<string, string | undefined>> => {
    const answers = new Map<string, string | undefined>()
    let sent = 0
    for (const [typeUrl, resources] of snapshot) {
      const subscription = subscriptions.get(typeUrl) ?? new DeltaSubscription(typeUrl)
      if (!subscriptions.has(typeUrl)) subscription.receive(create(DeltaDiscoveryRequestSchema, { typeUrl }))
      subscriptions.set(typeUrl, subscription)
      const response = subscription.take(resources)
      if (!response) continue
      sent++
      relay.receive(response, (refusal) => answers.set(typeUrl, refusal))
    }
    await until(() => answers.size === sent)
    return answers
  }
  const until = (what: () => boolean | Promise<boolean>): Promise<void> => untilTrue(what, () => log)
  const admin = (path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = request({ socketPath: join(directory, places.adminSocket), path }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        response.on('end', () => resolve(text))
      })
      asked.on('error', reject).end()
    })
  const startEnvoy = async (): Promise<void> => {
    const program = await findEnvoy()
    const words = ['--config-yaml', JSON.stringify(envoyBootstrap(directory)), '--disable-hot-restart']
    envoy = spawn(program, [...words, '--log-level', 'warning', '--concurrency', '1'])
    for (const stream of [envoy.stdout, envoy.stderr])
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        log += chunk
      })
  }
  /** A connection to the capture port itself, which is what there is without rules of the kernel. */
  const knock = async (): Promise<void> => {
    const socket = connect(places.capturePort, '127.0.0.1')
    socket.on('error', () => {})
    socket.write('hello')
    await new Promise((resolve) => socket.on('close', resolve))
  }

  before(async function () {
    this.timeout('10m')
    directory = mkdtempSync(join(tmpdir(), 'firebreak-relay-'))
    stack.defer(() => rmSync(directory, { recursive: true, force: true }))
    relay = stack.use(await Relay.open(join(directory, places.configurationSocket)))
    const enforcer: Server = createServer((client: Socket) => {
      client.once('data', (bytes: Buffer) => {
        const header = readProxyHeader(bytes)
        enforced.push(
          header.kind === 'proxied'
            ? `${header.destination.address}:${header.destination.port}`
            : header.kind,
        )
        client.destroy()
      })
      client.on('error', () => {})
    }).listen(join(directory, places.captureSocket))
    stack.defer(() => void enforcer.close())
    await startEnvoy()
    stack.defer(async () => {
      envoy.kill('SIGKILL')
      if (envoy.exitCode === null && envoy.signalCode === null) await once(envoy, 'exit')
    })
  })
  after(() => stack.disposeAsync())

  it('takes its first configuration, and hands what it captures to the enforcer', async () => {
    assert.equal(relay.captures, false)
    const answers = await push(envoyResources(identity([]), guarded, directory))
    assert.deepEqual([...answers.values()], [undefined, undefined], log)
    assert.equal(relay.captures, true)
    await until(async () => (await admin('/listeners').catch(() => '')).includes('capture'))
    const listening = await admin('/listeners')
    assert.match(listening, /127\.0\.0\.1:15001/)
    assert.match(listening, /\[::1\]:15001/)
    await knock()
    assert.deepEqual(enforced, ['127.0.0.1:15001'])
    await until(() => log.includes('"destination":"127.0.0.1:15001"'))
  })

  it('takes an update; only what has changed is sent', async () => {
    const egress = [
      { host: 'API.example.com', port: 443 },
      { host: 'mirror.example.com', port: 8443 },
      { cidr: '10.0.0.0/8', port: 443 },
      { cidr: '10.1.2.3/8', port: 443 },
      { cidr: '10.77.0.1/32', port: 5432 },
      { cidr: '127.0.0.0/8', port: 443 },
      { cidr: '0.0.0.0/0', port: 22 },
      { cidr: 'fd00::/8', port: 22 },
    ]
    const answers = await push(envoyResources(identity(egress), guarded, directory))
    assert.deepEqual([...answers.values()], [undefined, undefined], log)
    await until(async () => (await admin('/clusters?format=json')).includes('host:api.example.com:443'))
    await until(async () => (await admin('/config_dump')).includes('"10.0.0.0/8:443"'))
    const again = await push(envoyResources(identity(egress), guarded, directory))
    assert.equal(again.size, 0)
    const fewer = await push(envoyResources(identity(egress.slice(1)), guarded, directory))
    assert.deepEqual([...fewer.values()], [undefined, undefined])
    await until(async () => !(await admin('/clusters?format=json')).includes('api.example.com'))
  })

  it('says why it refuses something, keeps what it has, and takes what is right again', async () => {
    const right = envoyResources(identity([]), guarded, directory)
    await push(right)
    const broken = listener({
      name: 'capture',
      address: { socketAddress: { address: '127.0.0.1', portValue: places.capturePort } },
      filterChains: [
        {
          filters: [
            {
              name: 'envoy.filters.network.tcp_proxy',
              typedConfig: {
                '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
                statPrefix: '',
                cluster: 'nowhere',
              },
            },
          ],
        },
      ],
    })
    const answers = await push(new Map([[typeUrls.listener, new Map([['capture', broken]])]]))
    assert.match(answers.get(typeUrls.listener) ?? '', /capture: .*StatPrefix/)
    assert.equal(relay.captures, false)
    await knock()
    assert.equal(enforced.length, 2, 'the last good listener captures')
    assert.equal((await push(right)).get(typeUrls.listener), undefined)
    assert.equal(relay.captures, true)
  })

  it('is served again after it was killed, and not counted on meanwhile', async () => {
    envoy.kill('SIGKILL')
    await once(envoy, 'exit')
    await until(() => !relay.captures)
    await startEnvoy()
    await until(() => relay.captures)
    await until(async () => {
      await knock()
      return enforced.length >= 3
    })
  })
})
