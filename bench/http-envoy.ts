/** Envoy as the peer of the HTTP bench: as a plain proxy, or asking a program about each request. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Address } from '@firebreak/sidecar'
import { envoy } from '../tools/clients.ts'
import { freePort } from '../tools/postgres.ts'
import type { Contender } from './http.ts'

/** What the program is shown: heads of requests, or bodies of responses as well. */
type Asks = 'heads' | 'bodies'

/**
 * With one worker.
 *
 * @param asks by external processing, of a program that decides and changes nothing: the least that this way costs.
 */
export async function startEnvoy(target: Address, asks?: Asks): Promise<Contender & AsyncDisposable> {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-bench-'))
  const own: Address = { host: '127.0.0.1', port: await freePort() }
  const socket = join(directory, 'processor')
  const file = join(directory, 'envoy.json')
  writeFileSync(file, JSON.stringify({ static_resources: resources(own, target, asks && { socket, asks }) }))
  const children: ChildProcess[] = []
  if (asks) children.push(await startProcessor(socket))
  children.push(
    spawn(await envoy(), ['-c', file, '--concurrency', '1', '-l', 'error', '--disable-hot-restart'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    }),
  )
  await listening(own)
  return {
    name: asks ? `envoy asking, ${asks}` : 'envoy',
    address: own,
    processIds: children.map(({ pid }) => pid ?? 0),
    async [Symbol.asyncDispose]() {
      for (const child of children) {
        child.kill()
        await once(child, 'exit')
      }
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`

function resources(
  own: Address,
  target: Address,
  processor: { readonly socket: string; readonly asks: Asks } | undefined,
): object {
  const address = ({ host, port }: Address): object => ({
    socket_address: { address: host, port_value: port },
  })
  const cluster = (name: string, to: object, more: object = {}): object => ({
    name,
    type: 'STATIC',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: to } }] }] },
    ...more,
  })
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'target' } }]
  const manager = {
    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'bench',
    generate_request_id: false,
    route_config: { virtual_hosts: [{ name: 'bench', domains: ['*'], routes }] },
    http_filters: [
      ...(processor ? [asking(processor.asks)] : []),
      { name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } },
    ],
  }
  const filters = [{ name: 'http', typed_config: manager }]
  return {
    listeners: [{ name: 'bench', address: address(own), filter_chains: [{ filters }] }],
    clusters: [
      cluster('target', address(target)),
      ...(processor ? [cluster('processor', { pipe: { path: processor.socket } }, speaksHttp2)] : []),
    ],
  }
}

const speaksHttp2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
}

/** https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/ext_proc_filter */
function asking(asks: Asks): object {
  return {
    name: 'asking',
    typed_config: {
      '@type': type('filters.http.ext_proc.v3.ExternalProcessor'),
      grpc_service: { envoy_grpc: { cluster_name: 'processor' } },
      message_timeout: '10s',
      processing_mode: {
        request_header_mode: 'SEND',
        response_header_mode: asks === 'bodies' ? 'SEND' : 'SKIP',
        response_body_mode: asks === 'bodies' ? 'STREAMED' : 'NONE',
      },
    },
  }
}

async function startProcessor(socket: string): Promise<ChildProcess> {
  const program = fileURLToPath(new URL('http-processor.ts', import.meta.url))
  const child = spawn(process.execPath, [program, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  return child
}

async function listening({ host, port }: Address): Promise<void> {
  for (let turn = 0; turn < 300; turn++) {
    const socket = connect({ host, port })
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('Envoy did not start')
}
