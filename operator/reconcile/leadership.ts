/** One replica reconciles: who holds the Lease. https://kubernetes.io/docs/concepts/architecture/leases/ */
import { setTimeout as delay } from 'node:timers/promises'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import { leases } from '../kubernetes/objects.ts'

export interface LeadershipOptions {
  readonly namespace: string
  readonly name: string
  /** Of this replica; the pod's name. */
  readonly holder: string
  /** How long a lease stands after its last renewal. Whole seconds. */
  readonly durationSeconds?: number
  /** When it is stopped, what it has begun as the leader is waited for that long; then the lease is left to lapse. In milliseconds. */
  readonly endWithin?: number
  readonly onError: (error: Error) => void
}

type ElectionOptions = Required<Omit<LeadershipOptions, 'endWithin'>>
type Lease = NonNullable<Awaited<ReturnType<typeof readLease>>>

/**
 * Leads as soon as nobody else does, as often as that happens, until the signal ends it; then gives the lease up.
 *
 * @param lead works as the leader until its signal is aborted; it is aborted before anybody else can lead.
 */
export async function leadWhenElected(
  client: KubernetesClient,
  options: LeadershipOptions,
  lead: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { durationSeconds = 15, endWithin = 12_000, onError } = options
  const renewEvery = (durationSeconds * 1000) / 5
  const election = new Election(client, { ...options, durationSeconds })
  const answered = <T>(promise: Promise<T>): Promise<T> =>
    within(promise, renewEvery * 2, 'the API server did not answer')
  let term: Term | undefined
  while (!signal.aborted) {
    const askedAt = performance.now()
    try {
      if (await answered(election.tryToHold())) {
        if (!term?.running) term = new Term(lead, onError)
        term.lastsUntil(askedAt + durationSeconds * 1000 * 0.7)
      } else await term?.end()
    } catch (error) {
      onError(asError(error))
    }
    await delay(renewEvery, undefined, { signal }).catch(() => {})
  }
  try {
    if (term) await within(term.end(), endWithin, 'what the leader has begun did not end')
    await answered(election.giveUp())
  } catch (error) {
    onError(asError(error))
  }
}

/** One time of leading. */
class Term {
  readonly #abort = new AbortController()
  readonly #ended: Promise<void>
  #end: NodeJS.Timeout | undefined

  constructor(lead: (signal: AbortSignal) => Promise<void>, onError: (error: Error) => void) {
    // one that ended by itself is begun anew with the next renewal
    this.#ended = lead(this.#abort.signal)
      .catch(onError)
      .finally(() => this.#abort.abort())
  }

  get running(): boolean {
    return !this.#abort.signal.aborted
  }

  /** @param time of this process's monotonic clock, well before anybody else can hold the lease. */
  lastsUntil(time: number): void {
    clearTimeout(this.#end)
    this.#end = setTimeout(() => this.#abort.abort(), time - performance.now())
  }

  async end(): Promise<void> {
    clearTimeout(this.#end)
    this.#abort.abort()
    await this.#ended
  }
}

/** The lease of one name, as one replica sees it. */
class Election {
  readonly #client: KubernetesClient
  readonly #options: ElectionOptions
  /** What was last seen, and when by our own clock: clocks of replicas need not agree. */
  #seen: { readonly version: string | undefined; readonly at: number } = { version: undefined, at: 0 }

  constructor(client: KubernetesClient, options: ElectionOptions) {
    this.#client = client
    this.#options = options
  }

  /** @returns whether this replica holds the lease now. */
  async tryToHold(): Promise<boolean> {
    const { holder, namespace, name } = this.#options
    const lease = await readLease(this.#client, namespace, name)
    try {
      if (!lease) {
        await this.#client.create(leases, this.#held(undefined))
        return true
      }
      if (lease.spec?.holderIdentity !== holder && !this.#lapsed(lease)) return false
      await this.#client.replace(leases, this.#held(lease))
      return true
    } catch (error) {
      // somebody else was faster
      if (error instanceof ApiError && error.status === 409) return false
      throw error
    }
  }

  async giveUp(): Promise<void> {
    const { holder, namespace, name } = this.#options
    const lease = await readLease(this.#client, namespace, name)
    if (lease?.spec?.holderIdentity !== holder) return
    const { holderIdentity: _, ...spec } = lease.spec
    await this.#client.replace(leases, { ...lease, spec })
  }

  #lapsed({ metadata: { resourceVersion }, spec }: Lease): boolean {
    if (!spec?.holderIdentity) return true
    if (this.#seen.version !== resourceVersion) {
      this.#seen = { version: resourceVersion, at: performance.now() }
      return false
    }
    return performance.now() - this.#seen.at > (spec.leaseDurationSeconds ?? 0) * 1000
  }

  #held(lease: Lease | undefined): Lease {
    const { holder, namespace, name, durationSeconds } = this.#options
    const now = `${new Date().toISOString().slice(0, -1)}000Z`
    const mine = lease?.spec?.holderIdentity === holder
    return {
      ...(lease ?? { metadata: { name, namespace } }),
      spec: {
        ...lease?.spec,
        holderIdentity: holder,
        leaseDurationSeconds: durationSeconds,
        renewTime: now,
        acquireTime: mine ? (lease.spec?.acquireTime ?? now) : now,
        leaseTransitions: (lease?.spec?.leaseTransitions ?? 0) + (mine || !lease ? 0 : 1),
      },
    } as unknown as Lease
  }
}

function readLease(client: KubernetesClient, namespace: string, name: string) {
  return client.get(leases, name, namespace)
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

/** @param otherwise what is said when it takes longer. */
async function within<T>(promise: Promise<T>, milliseconds: number, otherwise: string): Promise<T> {
  const late = new AbortController()
  try {
    return await Promise.race([
      promise,
      delay(milliseconds, undefined, { signal: late.signal }).then(() => {
        throw new Error(`${otherwise} within ${milliseconds} ms`)
      }),
    ])
  } finally {
    late.abort()
  }
}
