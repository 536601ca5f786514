/** Which protected resource stands at an address, by whatever name an agent found it. */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { addressOf, type ProtectedResource } from '@firebreak/crds'
import { type Clock, Deadline } from '../../clock.ts'
import { canonicalAddress, type Endpoint } from './proxy-protocol.ts'

export type Destination =
  | { readonly kind: 'resource'; readonly resource: ProtectedResource }
  | { readonly kind: 'refused'; readonly reason: string }

/** How often names are looked up. In milliseconds. */
const freshFor = 5_000
/** An agent may use an address that it was told before the name moved: it is the resource's for so long. */
const knownFor = 10 * 60_000

type Lookup = (host: string) => Promise<readonly string[]>

const systemLookup: Lookup = async (host) => (await lookup(host, { all: true })).map(({ address }) => address)

export class Destinations {
  readonly #resources: () => readonly ProtectedResource[]
  readonly #clock: Clock
  readonly #lookup: Lookup
  /** By host, then by address. */
  readonly #known = new Map<string, Map<string, Deadline>>()
  #refreshing: Promise<void> | undefined
  #next: Deadline

  /** @param resources those in force now. */
  constructor(resources: () => readonly ProtectedResource[], clock: Clock, look: Lookup = systemLookup) {
    this.#resources = resources
    this.#clock = clock
    this.#lookup = look
    this.#next = new Deadline(clock, 0)
  }

  find({ address, port }: Endpoint): Destination {
    const there = this.#resources().filter((resource) => this.#isAt(addressOf(resource).host, address))
    const meant = there.filter((resource) => addressOf(resource).port === port)
    const [resource, ...others] = meant
    const names = (resources: readonly ProtectedResource[]): string =>
      resources.map(({ metadata }) => metadata.name).join(', ')
    if (resource && others.length === 0) return { kind: 'resource', resource }
    if (resource)
      return refused(`several protected resources are there: ${names(meant)}; use their own ports`)
    if (there.length > 0) return refused(`it is another port of what is protected as ${names(there)}`)
    return refused('it is not listed')
  }

  /** Whether a name is the host of a protected resource. */
  isHost(name: string): boolean {
    return this.#resources().some((resource) => addressOf(resource).host.toLowerCase() === name)
  }

  /** Whether an address is, or was a moment ago, that of a protected resource. */
  isKnown(address: string): boolean {
    return this.#resources().some((resource) =>
      this.#isAt(addressOf(resource).host, canonicalAddress(address)),
    )
  }

  /** What a name was just found to stand for. */
  note(host: string, addresses: readonly string[]): void {
    const key = host.toLowerCase()
    if (!this.isHost(key)) return
    const known = this.#known.get(key) ?? new Map<string, Deadline>()
    for (const address of addresses) known.set(canonicalAddress(address), new Deadline(this.#clock, knownFor))
    this.#known.set(key, known)
  }

  /** Called every second or so: names are looked up again when it is time. Never rejects. */
  async tick(): Promise<void> {
    if (!this.#next.passed) return
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined
      this.#next = new Deadline(this.#clock, freshFor)
    })
    await this.#refreshing
  }

  #isAt(host: string, address: string): boolean {
    if (isIP(host)) return canonicalAddress(host) === address
    return this.#known.get(host.toLowerCase())?.get(address)?.passed === false
  }

  async #refresh(): Promise<void> {
    const hosts = new Set(this.#resources().map((resource) => addressOf(resource).host.toLowerCase()))
    for (const [host, addresses] of this.#known) {
      for (const [address, until] of addresses) if (until.passed) addresses.delete(address)
      if (!hosts.has(host)) this.#known.delete(host)
    }
    await Promise.all(
      [...hosts]
        .filter((host) => !isIP(host))
        // a name that can't be looked up now keeps what it had
        .map(async (host) => this.note(host, await this.#lookup(host).catch(() => []))),
    )
  }
}

function refused(reason: string): Destination {
  return { kind: 'refused', reason }
}
