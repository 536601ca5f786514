/**
 * What a contained pod's network namespace lets out and in, as one nftables table. Whoever is not a sidecar's user
 * reaches Envoy by TCP and the enforcer by DNS, and nothing else; it makes no difference whether the sidecars run.
 */
import { capturePort, dnsPort, readinessPort } from '../ports.ts'

export const tableName = 'firebreak'

/** The users that only sidecars run as. */
export interface SidecarUsers {
  readonly envoy: number
  readonly enforcer: number
}

export interface Chain {
  readonly name: string
  /** Absent: another chain goes to it. */
  readonly hook?: {
    readonly type: 'filter' | 'nat'
    readonly on: 'input' | 'output' | 'forward'
    readonly priority: number
    readonly policy: 'accept' | 'drop'
  }
  readonly rules: readonly string[]
}

/** Kinds that refusals are counted by, as named counters `refused-KIND`. */
export const refusalKinds = ['tcp', 'udp', 'icmp', 'icmpv6', 'sctp', 'other', 'capture', 'inward'] as const

/** Of the connections that sidecars opened: what the kernel still sends for a socket without an owner is known by it. */
const ownMark = '0xf17eb4ea'
/** Matches where there is a process that a packet belongs to; the kernel's own packets have none. */
const everybody = '0-4294967295'
/** Only the kernel sends these, from no socket; an address can't be used without them. */
const neighborDiscovery =
  'icmpv6 type { mld-listener-report, nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report }'

export function chains({ envoy, enforcer }: SidecarUsers): readonly Chain[] {
  const sidecars = `{ ${envoy}, ${enforcer} }`
  return [
    {
      name: 'capture',
      // before the filter, so that the filter sees where a packet goes now
      hook: { type: 'nat', on: 'output', priority: -100, policy: 'accept' },
      rules: [
        `meta skuid ${sidecars} return`,
        'oifname "lo" return',
        `meta l4proto { tcp, udp } th dport 53 redirect to :${dnsPort}`,
        `meta l4proto tcp redirect to :${capturePort}`,
      ],
    },
    {
      name: 'outgoing',
      hook: { type: 'filter', on: 'output', priority: 0, policy: 'drop' },
      rules: [
        'oifname "lo" goto inside',
        // what was redirected still has the interface that it would have left by
        'ct status dnat ct direction original goto inside',
        `meta skuid ${sidecars} goto sidecar`,
        `tcp sport ${readinessPort} meta skuid ${everybody} goto refuse-capture`,
        // the first packet of a connection is no answer, even when both ends send one at once
        'tcp flags & (syn | ack) == syn goto refuse',
        'meta l4proto tcp ct direction reply ct state established accept',
        // a process that is here is not a sidecar
        `meta skuid ${everybody} goto refuse`,
        `ct mark ${ownMark} ct state established,related accept`,
        `ip6 hoplimit 255 ${neighborDiscovery} accept`,
        `ip6 hoplimit 1 ${neighborDiscovery} accept`,
        'goto refuse',
      ],
    },
    {
      name: 'sidecar',
      rules: [
        `meta l4proto tcp ct mark set ${ownMark} accept`,
        `udp dport 53 ct mark set ${ownMark} accept`,
        'goto refuse',
      ],
    },
    {
      name: 'inside',
      rules: [
        // Envoy would take a connection to its own port for one to go there, again and again
        `tcp dport ${capturePort} ct status dnat accept`,
        `meta skuid != ${sidecars} tcp dport ${capturePort} goto refuse-capture`,
        // while a sidecar is away, nobody else answers in its place
        `meta skuid != ${sidecars} meta l4proto { tcp, udp } th sport { ${capturePort}, ${readinessPort}, ${dnsPort} } goto refuse-capture`,
        'accept',
      ],
    },
    {
      name: 'refuse',
      rules: [
        'meta l4proto tcp counter name "refused-tcp" reject with tcp reset',
        'meta l4proto udp counter name "refused-udp" reject',
        'meta l4proto icmp counter name "refused-icmp" reject',
        'meta l4proto icmpv6 counter name "refused-icmpv6" reject',
        'meta l4proto sctp counter name "refused-sctp" reject',
        'counter name "refused-other" reject',
      ],
    },
    {
      name: 'refuse-capture',
      rules: [
        'meta l4proto tcp counter name "refused-capture" reject with tcp reset',
        'counter name "refused-capture" drop',
      ],
    },
    {
      name: 'incoming',
      hook: { type: 'filter', on: 'input', priority: 0, policy: 'drop' },
      rules: [
        'iifname "lo" accept',
        'ct state established,related accept',
        'icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query } accept',
        `tcp dport { ${capturePort}, ${dnsPort} } counter name "refused-inward" drop`,
        // who may call an agent is for NetworkPolicies to say; probes of the kubelet come this way as well
        'meta l4proto tcp accept',
        'counter name "refused-inward" drop',
      ],
    },
    { name: 'forwarding', hook: { type: 'filter', on: 'forward', priority: 0, policy: 'drop' }, rules: [] },
  ]
}

/** One transaction for `nft -f -`: the table is there whole afterwards, or as it was before. */
export function ruleset(users: SidecarUsers): string {
  const counters = refusalKinds.map((kind) => `  counter refused-${kind} {}\n`)
  const all = chains(users)
  // a chain has to be known before another goes to it
  const declared = all.map((chain) => `  chain ${chain.name} {${hookOf(chain)}}\n`)
  const filled = all
    .filter(({ rules }) => rules.length > 0)
    .map(({ name, rules }) => `  chain ${name} {\n${rules.map((rule) => `    ${rule}\n`).join('')}  }\n`)
  const table = `table inet ${tableName}`
  return `${table} {}\ndelete ${table}\n${table} {\n${[...counters, ...declared, ...filled].join('')}}\n`
}

function hookOf({ hook }: Chain): string {
  return hook ? ` type ${hook.type} hook ${hook.on} priority ${hook.priority}; policy ${hook.policy}; ` : ''
}
