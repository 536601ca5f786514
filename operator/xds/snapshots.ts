/** What each agent's sidecars are to have, made anew when something in the agent's namespace changes. */
import { isIP } from 'node:net'
import { type AgentIdentity, addressOf, type ProtectedResource } from '@firebreak/crds'
import type { Resources } from '@firebreak/xds'
import { rolesGrantedTo } from '../approvals/granted-roles.ts'
import type { HostCertificates } from '../certificates/host-certificates.ts'
import { compileAgent } from '../compile/agent.ts'
import type { NamespaceCompiler } from '../compile/namespace.ts'
import type { KubernetesObject } from '../kubernetes/objects.ts'
import type { Records } from '../records/records.ts'
import { differInStatusOnly, type Key, type Listener } from '../watch/informer.ts'
import type { World } from '../watch/world.ts'
import { agentResources, nothing } from './agent-resources.ts'
import { HostAddresses } from './host-addresses.ts'

/** Changes that come together (kubectl apply of a directory) are taken together. In milliseconds. */
const settleFor = 20

interface Followed {
  /** Undefined: what it is to have can't be told, and its sidecars keep what they have. */
  resources: ReadonlyMap<string, Resources> | undefined
  /** What the resources were made of: the revision, and the addresses that are guarded. */
  madeOf: string | undefined
  readonly listeners: Set<() => void>
}

/** @param failed told of a bug: an agent whose resources can't be made keeps what it has. */
export class AgentSnapshots implements Disposable {
  readonly #world: World
  readonly #compiler: NamespaceCompiler
  readonly #records: Records | undefined
  readonly #certificates: HostCertificates
  readonly #failed: (agent: Key, error: Error) => void
  readonly #followed = new Map<Key, Followed>()
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #hosts = new HostAddresses(() => {
    for (const agent of this.#followed.keys()) this.#changed(namespaceOf(agent))
  })

  /** @param records where those of all agents go. @param certificates for clients that come by TLS. */
  constructor(
    world: World,
    compiler: NamespaceCompiler,
    records: Records | undefined,
    certificates: HostCertificates,
    failed: (agent: Key, error: Error) => void,
  ) {
    this.#world = world
    this.#records = records
    this.#certificates = certificates
    this.#compiler = compiler
    this.#failed = failed
    const changed: Listener<KubernetesObject> = (key, now, before) => {
      if (!now || !before || !differInStatusOnly(before, now)) this.#changed(namespaceOf(key))
    }
    world.identities.onChange(changed)
    world.identities.onChange((key, now) => {
      if (now) return
      records?.forget(key)
      certificates.forget(key)
    })
    const allChanged = (): void => {
      for (const agent of this.#followed.keys()) this.#changed(namespaceOf(agent))
    }
    records?.onChange(allChanged)
    certificates.onChange((agent) => (agent === undefined ? allChanged() : this.#changed(namespaceOf(agent))))
    world.resources.onChange(changed)
    world.policies.onChange(changed)
    world.secrets.onChange(changed)
    world.approvals.onChange((key, now, before) => {
      if ((now ?? before)?.spec.elevation?.role !== undefined) this.#changed(namespaceOf(key))
    })
  }

  /** Follows one agent until what is returned is disposed of. */
  follow(agent: Key, listener: () => void): Disposable {
    const followed = this.#followed.get(agent) ?? this.#begin(agent)
    followed.listeners.add(listener)
    return {
      [Symbol.dispose]: () => {
        followed.listeners.delete(listener)
        if (followed.listeners.size === 0) this.#followed.delete(agent)
      },
    }
  }

  /** Of an agent that is followed. */
  resourcesOf(agent: Key, typeUrl: string): Resources | undefined {
    return this.#followed.get(agent)?.resources?.get(typeUrl)
  }

  [Symbol.dispose](): void {
    this.#hosts[Symbol.dispose]()
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#followed.clear()
  }

  #begin(agent: Key): Followed {
    const followed: Followed = { resources: undefined, madeOf: undefined, listeners: new Set() }
    this.#followed.set(agent, followed)
    this.#make(namespaceOf(agent), [[agent, followed]])
    return followed
  }

  #changed(namespace: string): void {
    if (this.#timers.has(namespace)) return
    const agents = this.#followedIn(namespace)
    if (agents.length === 0) return
    const timer = setTimeout(() => {
      this.#timers.delete(namespace)
      this.#make(namespace, this.#followedIn(namespace))
    }, settleFor)
    this.#timers.set(namespace, timer)
  }

  #followedIn(namespace: string): [Key, Followed][] {
    return [...this.#followed].filter(([key]) => namespaceOf(key) === namespace)
  }

  #make(namespace: string, agents: readonly [Key, Followed][]): void {
    const objects = this.#world.objectsOf(namespace)
    const compiled = this.#compiler.compile(objects)
    const hosts = objects.identities.some(hasOpenRange)
      ? [...objects.resources.map(hostOf), ...(this.#records?.destinations ?? []).map(({ host }) => host)]
      : []
    const found = this.#hosts.of(hosts.filter((host) => isIP(host) === 0))
    const addresses = found && [...hosts.filter((host) => isIP(host) !== 0), ...found]
    for (const [agent, followed] of agents) {
      const before = followed.resources
      try {
        const identity = this.#world.identities.get(agent)
        const granted = rolesGrantedTo(agent, this.#world)
        const compilation = identity && compileAgent(identity, compiled, granted)
        if (!compilation) {
          followed.resources = nothing
          followed.madeOf = undefined
        } else if (compilation.kind === 'compiled') {
          const { configuration } = compilation
          const guarded = hasOpenRange(identity) ? addresses : []
          const madeOf = [configuration.revision, ...(guarded ?? ['unknown'])].join(' ')
          if (followed.madeOf === madeOf) continue
          const certificates = this.#certificates.for(agent, configuration.objects.resources)
          // it has what it had until they are there
          if (!certificates) continue
          const records = this.#records?.for(agent)
          followed.resources = agentResources(configuration, guarded, records, certificates)
          followed.madeOf = madeOf
        }
      } catch (error) {
        this.#failed(agent, error instanceof Error ? error : new Error(String(error)))
      }
      if (followed.resources !== before) for (const listener of followed.listeners) listener()
    }
  }
}

/** Only there an address counts by itself. */
function hasOpenRange({ spec: { egress = [] } }: AgentIdentity): boolean {
  return egress.some(({ cidr }) => cidr !== undefined)
}

function hostOf(resource: ProtectedResource): string {
  return addressOf(resource).host.toLowerCase()
}

function namespaceOf(key: Key): string {
  return key.slice(0, key.indexOf('/'))
}
