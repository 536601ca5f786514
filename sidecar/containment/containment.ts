/** The enforcer's part in a contained pod: what the rules and Envoy send to it, guarded or refused. */
import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { ProtectedResource } from '@firebreak/crds'
import type { QualifiedName, ResourceType } from '@firebreak/policy'
import { nameOf } from '../configuration/name.ts'
import { gatewayFor } from '../listen/listener.ts'
import type { Runtime } from '../runtime.ts'
import type { Protocol } from '../session.ts'
import { CaptureListener } from './capture/capture-listener.ts'
import { Destinations } from './capture/destinations.ts'
import { Forwarder } from './dns/forwarder.ts'
import type { NameRules } from './dns/names.ts'
import { parseResolverFile } from './dns/resolver-file.ts'
import { type DatagramCounters, readDatagramCounters } from './kernel-refusals.ts'
import { dnsPort } from './ports.ts'
import { Refusals } from './refusals.ts'

export interface ContainmentOptions {
  readonly runtime: Runtime
  /** Of the pod's AgentIdentity. */
  readonly identity: QualifiedName
  /** Where Envoy finds `capture.sock`. The agent must not get into it. */
  readonly runDirectory: string
  readonly protocolFor: (type: ResourceType) => Protocol | undefined
  /** Absent: those of the rules. */
  readonly dns?: { readonly hosts: readonly string[]; readonly port: number; readonly serverPort?: number }
  /** Absent: `/etc/resolv.conf`, as the kubelet wrote it. */
  readonly resolverFile?: string
}

/** Of the Unix socket, in the run directory, that Envoy hands connections to. */
export const captureSocket = 'capture.sock'

export class Containment implements AsyncDisposable {
  readonly #capture: CaptureListener
  readonly #forwarder: Forwarder
  readonly #destinations: Destinations
  readonly #refusals: Refusals
  readonly #ticking: NodeJS.Timeout
  #counted: DatagramCounters
  readonly dnsPort: number

  /** @returns once names of resources are looked up and everything listens. @throws the system's error when something can't. */
  static async open(options: ContainmentOptions): Promise<Containment> {
    const { runtime, identity, runDirectory, resolverFile = '/etc/resolv.conf' } = options
    const { servers, searchDomains } = parseResolverFile(await readFile(resolverFile, 'utf8'))
    if (servers.length === 0) throw new Error(`${resolverFile} names no resolver`)
    const refusals = new Refusals(identity, (line) => runtime.notice('egress.refused', line), runtime.clock)
    const destinations = new Destinations(() => runtime.configuration.manifests.resources, runtime.clock)
    await destinations.tick()
    const { hosts, port, serverPort } = options.dns ?? { hosts: loopbackAddresses(), port: dnsPort }
    const forwarder = await Forwarder.open({
      hosts,
      port,
      servers,
      ...(serverPort !== undefined && { serverPort }),
      names: nameRules(options, destinations, searchDomains),
      refusals,
      clock: runtime.clock,
      onAddresses: (name, addresses) => destinations.note(name, addresses),
    })
    try {
      const capture = await CaptureListener.open({
        path: join(runDirectory, captureSocket),
        destinations,
        refusals,
        guardFor: (resource) => guardFor(resource, options),
      })
      return new Containment(capture, forwarder, destinations, refusals, await readDatagramCounters())
    } catch (error) {
      await forwarder[Symbol.asyncDispose]()
      throw error
    }
  }

  private constructor(
    capture: CaptureListener,
    forwarder: Forwarder,
    destinations: Destinations,
    refusals: Refusals,
    counted: DatagramCounters,
  ) {
    this.#capture = capture
    this.#forwarder = forwarder
    this.#destinations = destinations
    this.#refusals = refusals
    this.#counted = counted
    this.dnsPort = forwarder.port
    this.#ticking = setInterval(() => void this.#tick(), 1_000)
  }

  async #tick(): Promise<void> {
    this.#refusals.tick()
    void this.#destinations.tick()
    const before = this.#counted
    this.#counted = await readDatagramCounters().catch(() => before)
    const count = this.#counted.ipv4 - before.ipv4 + this.#counted.ipv6 - before.ipv6
    if (count <= 0) return
    const reason = 'only TCP and DNS leave the pod: this was other UDP, ICMP, or another protocol'
    this.#refusals.add({ kind: 'datagrams', reason, count })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#ticking)
    await this.#tick()
    this.#refusals.flush()
    await Promise.all([this.#capture.close(), this.#forwarder[Symbol.asyncDispose]()])
  }
}

/** In a pod without IPv6 there is no ::1 to listen on, and nothing that would be sent there. */
function loopbackAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return ['127.0.0.1', ...(all.some(({ address }) => address === '::1') ? ['::1'] : [])]
}

function guardFor(
  resource: ProtectedResource,
  { runtime, identity, protocolFor }: ContainmentOptions,
): ((client: Socket) => Promise<void>) | undefined {
  const protocol = protocolFor(resource.spec.type)
  const gateway = gatewayFor(nameOf(resource), runtime, identity.slice(identity.indexOf('/') + 1))
  return protocol && gateway && ((client) => protocol.serve(client, gateway))
}

function nameRules(
  { runtime, identity }: ContainmentOptions,
  destinations: Destinations,
  searchDomains: readonly string[],
): NameRules {
  const [namespace = ''] = identity.split('/')
  return {
    isListed: (name) => destinations.isHost(name) || isAllowedHost(name, runtime, identity),
    isKnownAddress: (address) => destinations.isKnown(address),
    searchDomains,
    namespace,
  }
}

function isAllowedHost(name: string, { configuration }: Runtime, identity: QualifiedName): boolean {
  return configuration.manifests.identities.some(
    (candidate) =>
      nameOf(candidate) === identity &&
      candidate.spec.egress?.some(({ host }) => host?.toLowerCase() === name),
  )
}
