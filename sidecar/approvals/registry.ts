/** The open requests of this process: what is known of them, who waits for them, and what happens to them. */
import type { ApprovalRequest } from '@firebreak/crds'
import { seconds } from '@firebreak/policy'
import type { Clock } from '../clock.ts'
import { admitDecision } from './admission.ts'
import { Entry, until } from './entry.ts'
import type { ApprovalEvent, EventKind } from './events.ts'
import type { Approver } from './requirements.ts'
import { type ApprovalStore, type Attempt, isFinished, type Standing } from './store.ts'

/** How often deadlines are held against the clocks. In milliseconds. */
const sweepEvery = 250
const maximumFinished = 4_096

export interface RegistryOptions {
  readonly store: ApprovalStore
  readonly clock: Clock
  /** Users of the system that agents run as. */
  readonly agentUsers: readonly string[]
  readonly report: (event: ApprovalEvent) => void
}

export class Registry implements AsyncDisposable {
  readonly clock: Clock
  readonly #store: ApprovalStore
  readonly #agentUsers: readonly string[]
  readonly #report: (event: ApprovalEvent) => void
  readonly #entries = new Map<string, Entry>()
  /** Names of those that were finished here: what others tell of them later is older. */
  readonly #finished = new Set<string>()
  readonly #sweeper: NodeJS.Timeout

  /** @throws Error when what an earlier process left can't be read. */
  static async open(options: RegistryOptions): Promise<Registry> {
    const registry = new Registry(options)
    options.store.subscribe(
      (attempt) => registry.#attempted(attempt),
      (standing) => registry.#stands(standing),
    )
    for (const request of await options.store.load())
      registry.#entries.set(request.metadata.name, new Entry(request, options.clock))
    registry.sweep()
    return registry
  }

  private constructor({ store, clock, agentUsers, report }: RegistryOptions) {
    this.clock = clock
    this.#store = store
    this.#agentUsers = agentUsers
    this.#report = report
    this.#sweeper = setInterval(() => this.sweep(), sweepEvery).unref()
  }

  get now(): Date {
    return new Date(this.clock.wall())
  }

  get open(): Iterable<Entry> {
    return this.#entries.values()
  }

  named(name: string): Entry | undefined {
    return this.#entries.get(name)
  }

  /** The open request for exactly this. */
  boundTo(binding: string): Entry | undefined {
    for (const entry of this.#entries.values()) if (entry.binding === binding) return entry
    return undefined
  }

  /** How many are open for an identity. */
  countOf(namespace: string, identity: string): number {
    let count = 0
    for (const { request } of this.#entries.values())
      if (request.metadata.namespace === namespace && request.spec.identity === identity) count++
    return count
  }

  /** It is in the list at once, and on disk when the promise resolves. @throws the system's error; then it is no request. */
  async add(request: ApprovalRequest): Promise<Entry> {
    const entry = new Entry(request, this.clock)
    if (this.#entries.has(entry.name)) throw new Error('its name is taken')
    this.#entries.set(entry.name, entry)
    try {
      const written = await this.#store.add(request)
      // meanwhile it may have been told of: as it is now, or as it was before it was granted
      if (entry.request === request || (entry.state === 'Pending' && isDecided(written)))
        this.#set(entry, written)
    } catch (error) {
      this.#entries.delete(entry.name)
      entry.request = { ...request, status: { ...request.status, state: 'Withdrawn' } }
      entry.wake()
      throw error
    }
    return entry
  }

  /**
   * Takes an approval for the one time it is good for.
   *
   * @param signal gives up, where it takes time.
   * @returns whether it is the caller who may go; that is on disk already. @throws the system's error: nobody may go then.
   */
  async use(entry: Entry, signal: AbortSignal = new AbortController().signal): Promise<boolean> {
    if (entry.state !== 'Approved' || entry.lapses.passed) return false
    const { request } = entry
    this.#set(entry, {
      ...request,
      status: { ...request.status, state: 'Used', usedAt: this.now.toISOString() },
    })
    const used = await this.#store.use(entry.request, signal)
    if (used) this.tell('used', entry.request)
    return used
  }

  /** @param reason in words, for the audit. */
  end(entry: Entry, state: 'Expired' | 'Withdrawn', kind: EventKind, reason: string): void {
    if (isFinished(entry.request)) return
    const { status } = entry.request
    const over = status?.grantedUntil !== undefined && { grantedUntil: this.now.toISOString() }
    const why = state === 'Withdrawn' && { why: reason }
    this.#change(entry, { ...entry.request, status: { ...status, state, ...why, ...over } }, kind, { reason })
  }

  isOwn({ request }: Entry): boolean {
    return this.#store.isOwn(request)
  }

  /** See {@link ApprovalStore.asker}. */
  asker(uid: number | undefined): Promise<string | undefined> {
    return this.#store.asker(uid)
  }

  tell(kind: EventKind, request: ApprovalRequest, more: Omit<ApprovalEvent, 'kind' | 'request'> = {}): void {
    this.#report({ kind, request, ...more })
  }

  /** What was decided may be decided otherwise now: whoever waits looks again. */
  wakeAll(): void {
    for (const entry of this.#entries.values()) entry.wake()
  }

  /** Ends what has come to its end by either clock. */
  sweep(): void {
    for (const entry of this.#entries.values()) {
      if (entry.window) {
        if (entry.window.passed) this.end(entry, 'Expired', 'ended', 'the time it was granted for is over')
      } else if (entry.lapses.passed)
        this.end(
          entry,
          'Expired',
          'expired',
          entry.state === 'Approved' ? 'approved, but never used' : 'nobody decided',
        )
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#store[Symbol.asyncDispose]()
  }

  #set(entry: Entry, request: ApprovalRequest): void {
    entry.request = request
    const { elevation } = request.spec
    const { state, grantedUntil } = request.status ?? {}
    if (elevation && grantedUntil !== undefined && state === 'Approved')
      entry.window ??= until(grantedUntil, seconds(elevation.duration) * 1_000, this.clock)
    if (isFinished(request)) {
      this.#entries.delete(entry.name)
      this.#finished.add(entry.name)
      const [oldest] = this.#finished
      if (this.#finished.size > maximumFinished && oldest !== undefined) this.#finished.delete(oldest)
    }
    entry.wake()
  }

  #change(
    entry: Entry,
    request: ApprovalRequest,
    kind: EventKind,
    more: Omit<ApprovalEvent, 'kind' | 'request'>,
  ): void {
    this.#set(entry, request)
    this.#store
      .write(request)
      .catch((error: Error) => this.tell('unsaved', request, { reason: error.message }))
    this.tell(kind, request, more)
  }

  /** What was judged elsewhere is taken as it is. */
  #stands({ name, request }: Standing): void {
    const entry = this.#entries.get(name)
    if (!entry) {
      if (request) this.#join(request)
      return
    }
    if (!request) {
      this.end(entry, 'Withdrawn', entry.window ? 'ended' : 'withdrawn', 'it was deleted')
      return
    }
    const before = entry.request
    const hadWindow = entry.window !== undefined
    const concerns = entry.awaited || this.#store.isOwn(request)
    const unheard = !entry.awaited
    this.#set(entry, request)
    if (concerns)
      for (const vote of newVotes(before, request)) {
        const { user, groups = [], decision, reason } = vote
        this.tell('decided', request, {
          by: { user, groups },
          decision,
          unheard,
          ...(reason !== undefined && { reason }),
        })
      }
    // what sessions may do has changed, whoever asked for it
    if (!hadWindow && entry.window) this.tell('granted', request)
    const kind = endOf(request, hadWindow)
    if (kind && (concerns || kind === 'ended')) this.tell(kind, request)
  }

  /** A request that another process has made, or an earlier one. */
  #join(request: ApprovalRequest): void {
    const entry = new Entry(request, this.clock)
    if (isFinished(request) || this.#finished.has(entry.name)) return
    if ((entry.window ?? entry.lapses).passed) return
    this.#entries.set(entry.name, entry)
    if (entry.window) this.tell('granted', request)
  }

  /** Somebody has written to a request's file: it is taken for what it may be, and put right otherwise. */
  #attempted({ name, after, problem, by, finished }: Attempt): void {
    if (finished) {
      // who still saw it pending was only too late
      const late = after?.status?.state === 'Pending'
      const reason = `it is ${finished.status?.state?.toLowerCase()} already`
      this.tell(late ? 'refused' : 'tampering', finished, { by, reason })
      return
    }
    const entry = this.#entries.get(name)
    if (!entry) {
      this.#report({ kind: 'tampering', name, by, reason: problem ?? 'there is no such request' })
      return
    }
    if (!after || problem !== undefined) {
      this.#restore(entry, by, problem ?? 'it can not be read', true)
      return
    }
    this.sweep()
    const admission = admitDecision({
      before: entry.request,
      after,
      by,
      agentUsers: [...this.#agentUsers, ...entry.askers],
      now: this.now,
    })
    if (admission.kind === 'refused') this.#restore(entry, by, admission.reason, admission.tampering)
    if (admission.kind === 'admitted') this.#decided(entry, admission.request, by, after.spec)
  }

  #decided(
    entry: Entry,
    request: ApprovalRequest,
    by: Approver,
    { decision, reason }: ApprovalRequest['spec'],
  ): void {
    const granted = entry.window === undefined && request.status?.grantedUntil !== undefined
    const ended = entry.window !== undefined && decision === 'Denied'
    const unheard = !entry.awaited
    const more = { by, ...(decision && { decision }), ...(reason !== undefined && { reason }) }
    this.#change(entry, request, 'decided', { ...more, unheard })
    if (granted) this.tell('granted', request, more)
    if (ended) this.tell('ended', request, more)
  }

  #restore(entry: Entry, by: Approver, reason: string, tampering: boolean): void {
    const { request } = entry
    // whoever tried reads it in the file
    const refused = {
      type: 'DecisionRefused',
      status: 'True' as const,
      lastTransitionTime: this.now.toISOString(),
      reason: tampering ? 'Tampering' : 'NotAdmitted',
      message: `${by.user}: ${reason}`.slice(0, 4_096),
    }
    entry.request = { ...request, status: { ...request.status, conditions: [refused] } }
    this.#store
      .write(entry.request)
      .catch((error: Error) => this.tell('unsaved', entry.request, { reason: error.message }))
    this.tell(tampering ? 'tampering' : 'refused', entry.request, { by, reason })
  }
}

function isDecided({ status }: ApprovalRequest): boolean {
  return status?.state !== undefined && status.state !== 'Pending'
}

function newVotes(before: ApprovalRequest, { status }: ApprovalRequest) {
  return (status?.approvals ?? []).filter(
    ({ user, decision }) =>
      !before.status?.approvals?.some((vote) => vote.user === user && vote.decision === decision),
  )
}

/** How it has ended elsewhere; a denial is told as a decision. */
function endOf({ status }: ApprovalRequest, hadWindow: boolean): EventKind | undefined {
  switch (status?.state) {
    case 'Denied':
      return hadWindow ? 'ended' : undefined
    case 'Expired':
      return hadWindow ? 'ended' : 'expired'
    case 'Withdrawn':
      return hadWindow ? 'ended' : 'withdrawn'
    case 'Used':
      return 'used'
    default:
      return undefined
  }
}
