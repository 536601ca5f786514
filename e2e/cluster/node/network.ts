/**
 * The test cluster's network. Each node is a network namespace on one bridge; each pod has a link of its own to its
 * node, which routes. So all traffic between pods passes the node's forwarding rules, as on most real clusters.
 * Addresses are those that other test clusters use inside their own containers.
 */

const bridge = 'firebreak-test'
const linkPrefix = 'fbtest'

export function isClusterInterface(name: string): boolean {
  return name === bridge || name.startsWith(linkPrefix)
}

export interface NodeAddresses {
  readonly ipv4: string
  readonly ipv6: string
  /** Addresses of its pods. */
  readonly podRanges: readonly [ipv4: string, ipv6: string]
}

export const network = {
  /** Where nodes and pods reach the machine itself, with the API server. */
  machine: { ipv4: '10.245.0.1', ipv6: 'fd00:10:245::1' },
  podRanges: ['10.244.0.0/16', 'fd00:10:244::/56'],
  serviceRanges: ['10.96.0.0/16', 'fd00:10:96::/112'],
  apiServerService: '10.96.0.1',
  dnsService: '10.96.0.10',
} as const

export function nodeAddresses(index: number): NodeAddresses {
  return {
    ipv4: `10.245.0.${10 + index}`,
    ipv6: `fd00:10:245::${10 + index}`,
    podRanges: [`10.244.${index}.0/24`, `fd00:10:244:${index}::/64`],
  }
}

type Command = readonly string[]

export const bridgeCommands: readonly Command[] = [
  ['ip', 'link', 'add', bridge, 'type', 'bridge'],
  ['ip', 'address', 'add', `${network.machine.ipv4}/24`, 'dev', bridge],
  ['ip', 'address', 'add', `${network.machine.ipv6}/64`, 'dev', bridge, 'nodad'],
  ['ip', 'link', 'set', bridge, 'up'],
]

/** On the machine: connects the node whose first process is {pid}, and routes to its pods, and to services by the first. */
export function outsideCommands(index: number): Command[] {
  const { ipv4, ipv6, podRanges } = nodeAddresses(index)
  const link = `${linkPrefix}${index}`
  const [services4, services6] = network.serviceRanges
  const routes: [string, string][] = [
    [podRanges[0], ipv4],
    [podRanges[1], ipv6],
    ...(index === 1
      ? ([
          [services4, ipv4],
          [services6, ipv6],
        ] as [string, string][])
      : []),
  ]
  return [
    ['ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', '{pid}'],
    ['ip', 'link', 'set', link, 'master', bridge, 'up'],
    ...routes.map(([range, gateway]) => ['ip', 'route', 'replace', range, 'via', gateway, 'dev', bridge]),
  ]
}

export function insideCommands(index: number, count: number): Command[] {
  const own = nodeAddresses(index)
  const others = Array.from({ length: count }, (_, at) => at + 1).filter((other) => other !== index)
  return [
    ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'],
    // connections of processes that were killed must not keep the node's network alive
    ['sysctl', '-qw', 'net.ipv4.tcp_orphan_retries=1', 'net.ipv4.tcp_fin_timeout=1'],
    ['ip', 'link', 'set', 'lo', 'up'],
    ['ip', 'address', 'add', `${own.ipv4}/24`, 'dev', 'eth0'],
    ['ip', 'address', 'add', `${own.ipv6}/64`, 'dev', 'eth0', 'nodad'],
    ['ip', 'link', 'set', 'eth0', 'up'],
    ['ip', 'route', 'add', 'default', 'via', network.machine.ipv4],
    ['ip', '-6', 'route', 'add', 'default', 'via', network.machine.ipv6],
    ...others.flatMap((other) => {
      const { ipv4, ipv6, podRanges } = nodeAddresses(other)
      return [
        ['ip', 'route', 'add', podRanges[0], 'via', ipv4],
        ['ip', '-6', 'route', 'add', podRanges[1], 'via', ipv6],
      ]
    }),
  ]
}

/** The plugins of a pod's network: the usual ones, and ours that waits for the pod's policies. */
export const announcingPlugin = 'pod-address'
export const cniPlugins = ['loopback', 'ptp', 'host-local']

/** Configuration of the CNI plugins, as of https://www.cni.dev/plugins/current/main/ptp/. */
export function cniConfiguration(index: number, dataDirectory: string, announcements: string): object {
  return {
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [
      {
        type: 'ptp',
        ipam: {
          type: 'host-local',
          dataDir: dataDirectory,
          ranges: nodeAddresses(index).podRanges.map((subnet) => [{ subnet }]),
          routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
        },
      },
      { type: announcingPlugin, directory: announcements },
    ],
  }
}
