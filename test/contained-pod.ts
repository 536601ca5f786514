/** A pod that is contained for real: rules in the kernel, a real Envoy, the enforcer, and outside a PostgreSQL and a resolver. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { debianPrograms, envoy, findClient } from '../tools/clients.ts'
import { startPostgres } from '../tools/postgres.ts'
import { type AuditLine, auditLinesIn, type Meant } from './audit-trail.ts'
import { PodNetwork, PodProcess, type PodUser, type Ran, uids } from './pod-network.ts'
import { Shop } from './shop.ts'

const cli = fileURLToPath(new URL('../cli/main.ts', import.meta.url))
const enforcerProgram = fileURLToPath(new URL('contained-enforcer.ts', import.meta.url))
/** Where the listener of the database is in the pod. */
export const listenerPort = 15432

const identity = 'agents/support-bot'

export class ContainedPod implements AsyncDisposable {
  readonly network: PodNetwork
  readonly shop: Shop
  readonly #resolver: PodProcess
  readonly #envoyProgram: string
  readonly #psql: string
  #enforcer: PodProcess | undefined
  #envoy: PodProcess | undefined

  /** Everything but the rules and the sidecars: nothing is contained yet. @param extra further addresses of the outside. */
  static async create(extra: readonly string[]): Promise<ContainedPod> {
    await using stack = new AsyncDisposableStack()
    const network = stack.use(await PodNetwork.create(extra))
    const { ipv4, ipv6 } = network.outside
    const postgres = stack.use(
      await startPostgres({
        settings: { listen_addresses: `127.0.0.1,${ipv4},${ipv6}` },
        hba: ['host all all 10.0.0.0/8 scram-sha-256', 'host all all fd00::/8 scram-sha-256'],
      }),
    )
    const shop = new Shop(postgres)
    await shop.create('shop')
    const resolver = await startResolver(network)
    const pod = new ContainedPod(network, shop, resolver, await envoy(), await findClient('psql'))
    pod.#writeConfiguration()
    stack.move()
    return pod
  }

  private constructor(
    network: PodNetwork,
    shop: Shop,
    resolver: PodProcess,
    envoyProgram: string,
    psql: string,
  ) {
    this.network = network
    this.shop = shop
    this.#resolver = resolver
    this.#envoyProgram = envoyProgram
    this.#psql = psql
  }

  /** Sets the rules, as the init container does. */
  async contain(): Promise<Ran> {
    const users = [`--envoy-uid=${uids.envoy}`, `--enforcer-uid=${uids.enforcer}`]
    return await this.network.run('rules', [process.execPath, cli, 'contain', ...users])
  }

  async startEnforcer(): Promise<void> {
    const { runDirectory } = this.network
    this.#enforcer = await this.network.start(
      'enforcer',
      [
        process.execPath,
        enforcerProgram,
        join(runDirectory, 'manifests'),
        runDirectory,
        identity,
        String(listenerPort),
      ],
      /ready/,
      { SHOP_PASSWORD: this.shop.postgres.password },
    )
  }

  async startEnvoy(): Promise<void> {
    const configuration = join(this.network.runDirectory, 'envoy.json')
    const words = [this.#envoyProgram, '--config-path', configuration, '--disable-hot-restart']
    this.#envoy = await this.network.start(
      'envoy',
      [...words, '--concurrency', '1'],
      /starting main dispatch loop/,
    )
  }

  async killEnforcer(): Promise<void> {
    await this.#enforcer?.end('SIGKILL')
  }

  async killEnvoy(): Promise<void> {
    await this.#envoy?.end('SIGKILL')
  }

  /** What the resolver was asked. */
  get asked(): string {
    return this.#resolver.log
  }

  async psql(user: PodUser, host: string, ...commands: readonly string[]): Promise<Ran> {
    const port = host === '127.0.0.1' ? listenerPort : this.shop.postgres.port
    const words = ['-h', host, '-p', String(port), '-U', 'agent', '-d', 'shop', '-w', '-At']
    words.push(...commands.flatMap((command) => ['-c', command]))
    return await this.network.run(user, [this.#psql, ...words], { PGCONNECT_TIMEOUT: '60' })
  }

  /** The audit lines that are meant, once there is one, and no more of any kind come. */
  async auditLines(meant: Meant): Promise<readonly AuditLine[]> {
    return await auditLinesIn(join(this.network.runDirectory, 'audit.jsonl'), meant, 1)
  }

  #writeConfiguration(): void {
    const { runDirectory } = this.network
    const directory = join(runDirectory, 'manifests')
    const address = `shop-db.data.svc:${this.shop.postgres.port}`
    mkdirSync(directory)
    writeFileSync(join(directory, 'firebreak.yaml'), manifestsFor(address))
    writeFileSync(join(runDirectory, 'envoy.json'), JSON.stringify(envoyConfiguration(runDirectory)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resolver.end('SIGKILL')
    await this.shop[Symbol.asyncDispose]()
    await this.network[Symbol.asyncDispose]()
  }
}

/** dnsmasq, as the cluster's resolver: with names of the cluster, and others of which it knows that they were asked for. */
async function startResolver({ outside }: PodNetwork): Promise<PodProcess> {
  const programs = await debianPrograms(resolverPackages)
  const { ipv4, ipv6 } = outside
  const child: ChildProcess = spawn(
    'dnsmasq',
    [
      ...[
        '--keep-in-foreground',
        '--conf-file=/dev/null',
        '--no-resolv',
        '--no-hosts',
        '--user=root',
        '--group=root',
      ],
      ...['--bind-interfaces', `--listen-address=${ipv4}`, '--except-interface=lo', '--pid-file'],
      ...['--log-queries', '--log-facility=-', '--local=/cluster.local/'],
      `--host-record=shop-db.data.svc.cluster.local,${ipv4},${ipv6}`,
      `--host-record=alias.agents.svc.cluster.local,${ipv4}`,
      '--host-record=api.example,203.0.113.7',
      '--address=/evil.example/203.0.113.9',
    ],
    { env: { ...process.env, ...programs }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  void once(child, 'exit').then(() => process.off('exit', kill))
  const resolver = new PodProcess(child)
  await resolver.says(/started/)
  return resolver
}

const resolverPackages = [
  'dnsmasq-base',
  'libnetfilter-conntrack3',
  'libnfnetlink0',
  'libidn2-0',
  'libunistring2',
  'libnettle8',
  'libhogweed6',
  'libdbus-1-3',
  'libnftables1',
  'libnftnl11',
  'libmnl0',
  'libjansson4',
  'libgmp10',
]

function manifestsFor(address: string): string {
  return `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop, namespace: agents}
spec:
  type: postgresql
  address: "${address}"
  database: shop
  tls: {mode: disable}
  roles: [{name: agent, username: postgres, credential: {env: {password: SHOP_PASSWORD}}}]
  classification: [{tags: [pii/email], columns: [public.customers.email]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: support-bot, namespace: agents}
spec:
  authentication: {loopback: {}}
  access: [{resource: shop, roles: [agent]}]
  egress: [{host: api.example, port: 443}]
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: guard, namespace: agents}
spec:
  rules:
    - {name: read, match: {actions: ["sql:select"]}, effect: allow}
    - {name: hide, match: {tags: ["pii/email"]}, effect: mask, mask: {strategy: redact}}
`
}

/** Captures everything for the enforcer, as Envoy does for what is not plain egress. */
function envoyConfiguration(runDirectory: string): unknown {
  const type = 'type.googleapis.com/envoy.extensions'
  const at = (address: string) => ({ socket_address: { address, port_value: 15001 } })
  return {
    admin: { address: { pipe: { path: join(runDirectory, 'admin.sock') } } },
    static_resources: {
      listeners: [
        {
          name: 'capture',
          address: at('127.0.0.1'),
          additional_addresses: [{ address: at('::1') }],
          listener_filters: [
            {
              name: 'original_dst',
              typed_config: { '@type': `${type}.filters.listener.original_dst.v3.OriginalDst` },
            },
          ],
          filter_chains: [
            {
              filters: [
                {
                  name: 'tcp',
                  typed_config: {
                    '@type': `${type}.filters.network.tcp_proxy.v3.TcpProxy`,
                    stat_prefix: 'enforcer',
                    cluster: 'enforcer',
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'enforcer',
          connect_timeout: '2s',
          load_assignment: {
            cluster_name: 'enforcer',
            endpoints: [
              {
                lb_endpoints: [
                  { endpoint: { address: { pipe: { path: join(runDirectory, 'capture.sock') } } } },
                ],
              },
            ],
          },
          transport_socket: {
            name: 'proxy',
            typed_config: {
              '@type': `${type}.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport`,
              config: { version: 'V2' },
              transport_socket: {
                name: 'raw',
                typed_config: { '@type': `${type}.transport_sockets.raw_buffer.v3.RawBuffer` },
              },
            },
          },
        },
      ],
    },
  }
}
