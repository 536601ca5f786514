/**
 * The addresses of hosts that protected resources are known by. Where a range of addresses is open to an agent, a
 * resource within it has to be guarded all the same.
 */
import { lookup } from 'node:dns/promises'

/** How often names are looked up, in milliseconds. */
const freshFor = 5_000
/** An agent may have learnt an address before the name moved: it is the host's for so long. */
const knownFor = 10 * 60_000

type Lookup = (host: string) => Promise<readonly string[]>

const systemLookup: Lookup = async (host) => (await lookup(host, { all: true })).map(({ address }) => address)

export class HostAddresses implements Disposable {
  readonly #changed: () => void
  readonly #lookup: Lookup
  readonly #now: () => number
  /** By host, then by address, until when. */
  readonly #known = new Map<string, Map<string, number>>()
  /** For the first time. */
  readonly #looking = new Set<string>()
  readonly #timer: NodeJS.Timeout

  /** @param changed told when a host has other addresses than before. */
  constructor(changed: () => void, look: Lookup = systemLookup, now = () => performance.now()) {
    this.#changed = changed
    this.#lookup = look
    this.#now = now
    this.#timer = setInterval(() => void this.refresh(), freshFor).unref()
  }

  /** What is known of hosts now, in a stable order; undefined while one of them has still to be looked up, which is told of. */
  of(hosts: readonly string[]): readonly string[] | undefined {
    const unknown = hosts.filter((host) => !this.#known.has(host) && !this.#looking.has(host))
    for (const host of unknown) this.#looking.add(host)
    if (unknown.length > 0) void this.#look(unknown)
    if (hosts.some((host) => !this.#known.has(host))) return undefined
    return [...new Set(hosts.flatMap((host) => [...(this.#known.get(host)?.keys() ?? [])]))].sort()
  }

  /** Looks all of them up again. Never rejects. */
  async refresh(): Promise<void> {
    await this.#look([...this.#known.keys()])
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  async #look(hosts: readonly string[]): Promise<void> {
    const changes = await Promise.all(hosts.map((host) => this.#lookOne(host)))
    if (changes.includes(true)) this.#changed()
  }

  async #lookOne(host: string): Promise<boolean> {
    // a name that can't be looked up now keeps what it had
    const found = await this.#lookup(host).catch(() => [])
    const known = this.#known.get(host) ?? new Map<string, number>()
    const now = this.#now()
    let changed = this.#looking.delete(host)
    this.#known.set(host, known)
    for (const address of found) {
      changed ||= !known.has(address)
      known.set(address, now + knownFor)
    }
    for (const [address, until] of known) if (until < now) changed = known.delete(address) || changed
    return changed
  }
}
