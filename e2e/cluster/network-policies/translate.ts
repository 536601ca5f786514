/**
 * NetworkPolicies as nftables rules for the pods of one node: plain semantics of
 * https://kubernetes.io/docs/concepts/services-networking/network-policies/. A connection passes when the sender's
 * policies and the receiver's policies let it; its answers pass with it. What a node itself sends its pods passes.
 */
import { isIPv6 } from 'node:net'
import {
  type ClusterState,
  type Direction,
  type LabelSelector,
  type NetworkPolicy,
  type Peer,
  type Pod,
  type Port,
  type Protocol,
  selects,
} from './model.ts'

const table = 'network-policies'

/** A pod that one of the node's interfaces belongs to. */
export interface LocalPod {
  readonly pod: Pod
  readonly addresses: readonly string[]
}

/** Input of `nft -f -` that replaces all earlier rules at once. */
export function translate(state: ClusterState, localPods: readonly LocalPod[]): string {
  const chains = localPods.flatMap((local, index) =>
    (['Egress', 'Ingress'] as const).flatMap((direction) => {
      const policies = state.policies.filter((policy) => isolates(policy, local.pod, direction))
      if (policies.length === 0) return []
      const name = `${direction.toLowerCase()}-${index}`
      const rules = [...new Set(policies.flatMap((policy) => allowances(policy, direction, local, state)))]
      return [{ name, direction, local, rules }]
    }),
  )
  const dispatch = (direction: Direction, family: 'ip' | 'ip6', field: 'saddr' | 'daddr'): string[] => {
    const elements = chains
      .filter((chain) => chain.direction === direction)
      .flatMap(({ name, local }) =>
        addressesOf(local.addresses, family).map((address) => `${address} : jump ${name}`),
      )
    return elements.length === 0 ? [] : [`${family} ${field} vmap { ${elements.join(', ')} }`]
  }
  return [
    `table inet ${table} {}`,
    `delete table inet ${table}`,
    `table inet ${table} {`,
    ...chains.flatMap(({ name, local, rules }) => [
      `  chain ${name} { # ${local.pod.metadata.namespace}/${local.pod.metadata.name}`,
      ...rules.map((rule) => `    ${joined(rule, 'return')}`),
      '    counter drop',
      '  }',
    ]),
    '  chain forward {',
    '    type filter hook forward priority filter; policy accept;',
    '    ct state established,related accept',
    ...(['ip', 'ip6'] as const).flatMap((family) => [
      ...dispatch('Egress', family, 'saddr').map((rule) => `    ${rule}`),
      ...dispatch('Ingress', family, 'daddr').map((rule) => `    ${rule}`),
    ]),
    '  }',
    '}',
    '',
  ].join('\n')
}

/** Whether the policy makes it the pod's default to have no traffic in the direction. */
export function isolates({ metadata, spec }: NetworkPolicy, pod: Pod, direction: Direction): boolean {
  const types = spec.policyTypes ?? (spec.egress === undefined ? ['Ingress'] : ['Ingress', 'Egress'])
  return (
    types.includes(direction) &&
    pod.metadata.namespace === metadata.namespace &&
    selects(spec.podSelector, pod.metadata.labels)
  )
}

/** Matches of the traffic that the policy lets pass. */
function allowances(
  policy: NetworkPolicy,
  direction: Direction,
  local: LocalPod,
  state: ClusterState,
): string[] {
  const rules =
    direction === 'Ingress'
      ? (policy.spec.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
      : (policy.spec.egress ?? []).map(({ to, ports }) => ({ peers: to, ports }))
  const field = direction === 'Ingress' ? 'saddr' : 'daddr'
  return rules.flatMap(({ peers = [], ports = [] }) => {
    const pods = peers.flatMap((peer) => podsOf(peer, policy.metadata.namespace, state))
    const blocks = peers.flatMap((peer) =>
      peer.ipBlock === undefined ? [] : [blockMatch(peer.ipBlock, field)],
    )
    // a name means the receiver's port: the pod's own, or that of each peer
    const portsOf = (receiver: Pod | undefined): string[] => portMatches(ports, receiver)
    const receiver = direction === 'Ingress' ? local.pod : undefined
    if (peers.length === 0) {
      const named = direction === 'Egress' ? ports.filter(isNamed) : []
      return [...portsOf(receiver), ...namedPortMatches(named, runningPods(state), field)]
    }
    return [
      ...blocks.flatMap((block) => portsOf(receiver).map((port) => joined(block, port))),
      ...addressMatches(addressesOfPods(pods), field).flatMap((match) =>
        portsOf(receiver).map((port) => joined(match, port)),
      ),
      ...(direction === 'Egress' ? namedPortMatches(ports.filter(isNamed), pods, field) : []),
    ]
  })
}

/** Named ports of receivers, each of which may mean another number by the name. */
function namedPortMatches(ports: readonly Port[], receivers: readonly Pod[], field: string): string[] {
  if (ports.length === 0) return []
  return receivers.flatMap((pod) =>
    addressMatches(addressesOfPods([pod]), field).flatMap((match) =>
      portMatches(ports, pod).map((port) => joined(match, port)),
    ),
  )
}

function podsOf(peer: Peer, namespace: string, state: ClusterState): Pod[] {
  if (peer.ipBlock !== undefined) return []
  const namespaces =
    peer.namespaceSelector === undefined ? [namespace] : namespacesOf(peer.namespaceSelector, state)
  return runningPods(state).filter(
    ({ metadata }) =>
      namespaces.includes(metadata.namespace) && selects(peer.podSelector ?? {}, metadata.labels),
  )
}

function namespacesOf(selector: LabelSelector, { namespaces }: ClusterState): string[] {
  return namespaces
    .filter(({ metadata }) => selects(selector, metadata.labels))
    .map(({ metadata }) => metadata.name)
}

/** Pods with an address of their own: one that has ended gave it back, and a host's address isn't its pods'. */
function runningPods({ pods }: ClusterState): Pod[] {
  return pods.filter(
    ({ spec, status }) =>
      spec.hostNetwork !== true && status.phase !== 'Succeeded' && status.phase !== 'Failed',
  )
}

function addressesOfPods(pods: readonly Pod[]): string[] {
  return [...new Set(pods.flatMap(({ status }) => (status.podIPs ?? []).map(({ ip }) => ip)))].sort()
}

function addressMatches(addresses: readonly string[], field: string): string[] {
  return (['ip', 'ip6'] as const).flatMap((family) => {
    const own = addressesOf(addresses, family)
    return own.length === 0 ? [] : [`${family} ${field} { ${own.join(', ')} }`]
  })
}

function addressesOf(addresses: readonly string[], family: 'ip' | 'ip6'): string[] {
  return addresses.filter((address) => isIPv6(address) === (family === 'ip6'))
}

function blockMatch({ cidr, except = [] }: NonNullable<Peer['ipBlock']>, field: string): string {
  const family = cidr.includes(':') ? 'ip6' : 'ip'
  return [`${family} ${field} ${cidr}`, ...except.map((range) => `${family} ${field} != ${range}`)].join(' ')
}

/** An empty match is one of all ports and protocols. */
function portMatches(ports: readonly Port[], receiver: Pod | undefined): string[] {
  if (ports.length === 0) return ['']
  return ports.flatMap(({ protocol = 'TCP', port, endPort }) => {
    const key = protocol.toLowerCase()
    if (port === undefined) return [`meta l4proto ${key}`]
    if (typeof port === 'number')
      return [`${key} dport ${endPort === undefined ? port : `${port}-${endPort}`}`]
    return namedPorts(port, protocol, receiver).map((number) => `${key} dport ${number}`)
  })
}

function isNamed({ port }: Port): boolean {
  return typeof port === 'string'
}

function namedPorts(name: string, protocol: Protocol, pod: Pod | undefined): number[] {
  const containers = [...(pod?.spec.initContainers ?? []), ...(pod?.spec.containers ?? [])]
  return containers
    .flatMap(({ ports = [] }) => ports)
    .filter((port) => port.name === name && (port.protocol ?? 'TCP') === protocol)
    .map(({ containerPort }) => containerPort)
}

function joined(...matches: readonly string[]): string {
  return matches.filter((match) => match !== '').join(' ')
}
