/** What Envoy does in an agent's pod with the connections that are captured. Pure. */
import { isIPv4 } from 'node:net'
import type { AgentIdentity } from '@firebreak/crds'
import { byName, cluster, type JsonObject, listener, places, type Resources, typeUrls } from '@firebreak/xds'
import { type AddressRange, addressRange } from './address-range.ts'

const extension = 'type.googleapis.com/envoy.extensions'
const loopback: AddressRange[] = [
  { addressPrefix: '127.0.0.0', prefixLen: 8 },
  { addressPrefix: '::1', prefixLen: 128 },
]

/**
 * Plain egress goes out as it is. Everything else goes to the enforcer, which knows the protected resources by all of
 * their addresses, and refuses the rest with a line in its audit trail.
 *
 * A host that is allowed by its name is resolved by Envoy itself: whoever sends that name to another address gets to
 * the named host all the same.
 *
 * @param guardedAddresses of all resources of the namespace, also of those that the agent may not use; undefined while
 * they are not known: then no range of addresses is open.
 * @param runDirectory the one that Envoy and the enforcer share.
 */
export function envoyResources(
  { spec: { egress = [] } }: AgentIdentity,
  guardedAddresses: readonly string[] | undefined,
  runDirectory: string,
): ReadonlyMap<string, Resources> {
  const hosts = distinct(
    egress.flatMap(({ host, port }) => (host === undefined ? [] : [{ host: host.toLowerCase(), port }])),
    ({ host, port }) => `${host}:${port}`,
  )
  const guarded = guardedRanges(guardedAddresses ?? [])
  const ranges = distinct(
    egress.flatMap(({ cidr, port }) => {
      const range = cidr === undefined || !guardedAddresses ? undefined : addressRange(cidr)
      return range && !isWithin(range, guarded) ? [{ ...range, port }] : []
    }),
    ({ addressPrefix, prefixLen, port }) => `${addressPrefix}/${prefixLen}:${port}`,
  )
  const ports = [...new Set([...hosts, ...ranges].map(({ port }) => port))].sort((a, b) => a - b)
  const chains = [
    ...ports.map((port) => chain(`guarded:${port}`, 'enforcer', { port, ranges: guarded })),
    ...hosts.map(({ host, port }) =>
      chain(`${host}:${port}`, `host:${host}:${port}`, { port, serverNames: [host] }),
    ),
    ...ranges.map(({ port, ...range }) =>
      chain(`${range.addressPrefix}/${range.prefixLen}:${port}`, 'original', { port, ranges: [range] }),
    ),
  ]
  return new Map([
    [
      typeUrls.cluster,
      byName([
        enforcer(`${runDirectory}/${places.captureSocket}`),
        ...(ranges.length > 0 ? [original] : []),
        ...hosts.map(namedHost),
      ]),
    ],
    [typeUrls.listener, byName([capture(chains, [...new Set(hosts.map(({ port }) => port))])])],
  ])
}

/** What must not pass as plain egress: addresses of protected resources, and the pod's own. */
function guardedRanges(addresses: readonly string[]): AddressRange[] {
  const single = addresses.flatMap(
    (address) => addressRange(`${address}/${isIPv4(address) ? 32 : 128}`) ?? [],
  )
  return distinct([...loopback, ...single], ({ addressPrefix }) => addressPrefix)
}

function enforcer(socket: string) {
  return cluster({
    name: 'enforcer',
    type: 'STATIC',
    connectTimeout: '2s',
    loadAssignment: {
      clusterName: 'enforcer',
      endpoints: [{ lbEndpoints: [{ endpoint: { address: { pipe: { path: socket } } } }] }],
    },
    transportSocket: {
      name: 'envoy.transport_sockets.upstream_proxy_protocol',
      typedConfig: {
        '@type': `${extension}.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport`,
        config: { version: 'V2' },
        transportSocket: {
          name: 'envoy.transport_sockets.raw_buffer',
          typedConfig: { '@type': `${extension}.transport_sockets.raw_buffer.v3.RawBuffer` },
        },
      },
    },
  })
}

const original = cluster({
  name: 'original',
  type: 'ORIGINAL_DST',
  lbPolicy: 'CLUSTER_PROVIDED',
  connectTimeout: '10s',
})

function namedHost({ host, port }: { readonly host: string; readonly port: number }) {
  const name = `host:${host}:${port}`
  return cluster({
    name,
    type: 'LOGICAL_DNS',
    connectTimeout: '10s',
    loadAssignment: {
      clusterName: name,
      endpoints: [
        {
          lbEndpoints: [{ endpoint: { address: { socketAddress: { address: host, portValue: port } } } }],
        },
      ],
    },
  })
}

interface Match {
  readonly port: number
  readonly ranges?: AddressRange[]
  readonly serverNames?: string[]
}

function chain(name: string, to: string, { port, ranges, serverNames }: Match): JsonObject {
  return {
    name,
    filterChainMatch: {
      destinationPort: port,
      ...(ranges && { prefixRanges: ranges }),
      ...(serverNames && { serverNames }),
    },
    filters: [passTo(to)],
  }
}

function passTo(to: string): JsonObject {
  return {
    name: 'envoy.filters.network.tcp_proxy',
    typedConfig: {
      '@type': `${extension}.filters.network.tcp_proxy.v3.TcpProxy`,
      statPrefix: to,
      cluster: to,
      // a session that waits for people is silent for long
      idleTimeout: '0s',
      accessLog: [
        {
          name: 'envoy.access_loggers.stdout',
          typedConfig: {
            '@type': `${extension}.access_loggers.stream.v3.StdoutAccessLog`,
            logFormat: {
              jsonFormat: {
                event: 'connection',
                time: '%START_TIME%',
                destination: '%DOWNSTREAM_LOCAL_ADDRESS%',
                server_name: '%REQUESTED_SERVER_NAME%',
                to: '%UPSTREAM_CLUSTER%',
                flags: '%RESPONSE_FLAGS%',
                sent: '%BYTES_SENT%',
                received: '%BYTES_RECEIVED%',
                milliseconds: '%DURATION%',
              },
            },
          },
        },
      ],
    },
  }
}

function capture(filterChains: JsonObject[], namedPorts: readonly number[]) {
  const at = (address: string) => ({ socketAddress: { address, portValue: places.capturePort } })
  return listener({
    name: 'capture',
    address: at('127.0.0.1'),
    additionalAddresses: [{ address: at('::1') }],
    // where the pod has no IPv6 nothing arrives there, and that is no reason not to start
    freebind: true,
    listenerFilters: [
      {
        name: 'envoy.filters.listener.original_dst',
        typedConfig: { '@type': `${extension}.filters.listener.original_dst.v3.OriginalDst` },
      },
      ...(namedPorts.length > 0 ? [serverNameOn(namedPorts)] : []),
    ],
    filterChains,
    defaultFilterChain: { name: 'default', filters: [passTo('enforcer')] },
  })
}

/** Looks for the TLS server name only where one counts: on other ports a client may wait for the server to speak first. */
function serverNameOn(ports: readonly number[]): JsonObject {
  const rules: JsonObject[] = ports.map((port) => ({ destinationPortRange: { start: port, end: port + 1 } }))
  return {
    name: 'envoy.filters.listener.tls_inspector',
    typedConfig: { '@type': `${extension}.filters.listener.tls_inspector.v3.TlsInspector` },
    filterDisabled: { notMatch: rules.length === 1 && rules[0] ? rules[0] : { orMatch: { rules } } },
  }
}

/** Whether a range is one of others, or within the pod's own addresses. */
function isWithin({ addressPrefix, prefixLen }: AddressRange, others: readonly AddressRange[]): boolean {
  return (
    addressPrefix.startsWith('127.') ||
    others.some((other) => other.addressPrefix === addressPrefix && other.prefixLen === prefixLen)
  )
}

/** The first of those with the same key. */
function distinct<T>(items: readonly T[], keyOf: (item: T) => string): T[] {
  return [...new Map(items.toReversed().map((item) => [keyOf(item), item])).values()].reverse()
}
