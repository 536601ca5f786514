/** The approvals station: holds commands until people have decided, and grants more rights for a while. */
import type { ApprovalRequest } from '@firebreak/crds'
import type { ApprovalRequirement, PolicySnapshot, QualifiedName, Subject } from '@firebreak/policy'
import type { Notices } from '../audit/lines.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { HeldCommand, HoldOutcome, Result } from '../session.ts'
import { type AccessAsk, Elevations, type GrantedElevation } from './elevations.ts'
import { type ApprovalEvent, auditLine, eventName, signalOf } from './events.ts'
import { type HoldingSession, type HoldLimits, Holds } from './holds.ts'
import { Registry } from './registry.ts'
import { bindingOfRequest } from './request.ts'
import { type Restriction, type Resumption, Resumptions } from './resumptions.ts'
import type { ApprovalStore } from './store.ts'

export interface StationOptions {
  readonly store: ApprovalStore
  /** Users of the system that agents run as: what they decide counts for nothing. */
  readonly agentUsers?: readonly string[]
  /** Writes to the audit trail. */
  readonly notice: <Event extends keyof Notices>(event: Event, fields: Notices[Event]) => void
  /** Whoever else is to hear of it. */
  readonly notify?: (event: ApprovalEvent) => void
  /** Rights may have changed: sessions look again. */
  readonly elevationsChanged?: () => void
  readonly clock?: Clock
  readonly limits?: HoldLimits
}

/** More than people can look at, and bounded in memory: a request takes up to some 100 KB. */
const defaultLimits: HoldLimits = { open: 256, perMinute: 600 }

export class ApprovalStation implements AsyncDisposable {
  readonly #registry: Registry
  readonly #holds: Holds
  readonly #elevations: Elevations
  readonly #resumptions: Resumptions
  /** In force. */
  #snapshot: PolicySnapshot | undefined

  /** @throws Error when the store can't be used. */
  static async open(options: StationOptions): Promise<ApprovalStation> {
    const { store, agentUsers = [], clock = systemClock, limits = defaultLimits } = options
    let station: ApprovalStation | undefined
    const early: ApprovalEvent[] = []
    const report = (event: ApprovalEvent): void => {
      if (station) station.#happened(event, options)
      else early.push(event)
    }
    const registry = await Registry.open({ store, clock, agentUsers, report })
    station = new ApprovalStation(registry, limits)
    for (const event of early) station.#happened(event, options)
    station.#resumptions.finish()
    return station
  }

  private constructor(registry: Registry, limits: HoldLimits) {
    this.#registry = registry
    this.#holds = new Holds(registry, limits)
    this.#elevations = new Elevations(registry)
    this.#resumptions = new Resumptions(registry)
  }

  /** Never rejects. @param agentUser the user of the system that the agent runs as, where that tells it apart from its approvers. */
  hold(session: HoldingSession, held: HeldCommand, agentUser?: string): Promise<HoldOutcome> {
    return this.#holds.hold(session, held, agentUser)
  }

  /** Who asks, as approvers are named: see {@link ApprovalStore.asker}. @param uid of its process. */
  asker(uid: number | undefined): Promise<string | undefined> {
    return this.#registry.asker(uid)
  }

  requestAccess(
    subject: Subject,
    ask: AccessAsk,
    snapshot: PolicySnapshot,
    agentUser?: string,
  ): Promise<Result<ApprovalRequest, string>> {
    return this.#elevations.request(subject, ask, snapshot, agentUser)
  }

  grantedTo(subject: Subject): readonly GrantedElevation[] {
    return this.#elevations.grantedTo(subject)
  }

  /** Elevations that are asked for or granted, of exactly this chain. */
  elevationsOf(chain: Subject['chain']): readonly ApprovalRequest[] {
    return this.#elevations.of(chain)
  }

  /** Roles of a resource that an identity may take for now, beside its own. */
  rolesOf(identity: QualifiedName, resource: QualifiedName): readonly string[] {
    return this.#elevations.rolesOf(identity, resource)
  }

  /** What signals have taken from identities, and nobody has given back. */
  get restrictions(): readonly Restriction[] {
    return this.#resumptions.restrictions
  }

  /** Asks people to give back what is taken from the last of a chain. @returns once that is on disk. @throws the system's error. */
  restrict(chain: Subject['chain'], resumption: Resumption, requirement: ApprovalRequirement): Promise<void> {
    return this.#resumptions.add(chain, resumption, requirement)
  }

  policyChanged(snapshot: PolicySnapshot): void {
    this.#snapshot = snapshot
    this.#elevations.policyChanged(snapshot)
    this.#registry.wakeAll()
  }

  /** Sessions are about to be told to end: what they wait for stays open for the next process. */
  stop(): void {
    this.#holds.stopping = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop()
    await this.#registry[Symbol.asyncDispose]()
  }

  #happened(event: ApprovalEvent, { notice, notify, elevationsChanged }: StationOptions): void {
    notice(eventName(event), auditLine(event))
    const signal = signalOf(event)
    if (signal) notice('signal', signal)
    notify?.(event)
    if (event.kind === 'decided' && event.decision === 'Denied' && event.unheard && event.request)
      this.#holds.decided(event.request, bindingOfRequest(event.request))
    if (event.kind === 'decided' && event.request?.spec.resumption) {
      this.#resumptions.finish()
      this.#registry.wakeAll()
    }
    if (event.kind !== 'granted' && event.kind !== 'ended') return
    // granted elsewhere, by a policy that may be another by now
    if (event.kind === 'granted' && this.#snapshot) this.#elevations.policyChanged(this.#snapshot)
    elevationsChanged?.()
    // what is held may need nobody's approval now
    this.#registry.wakeAll()
  }
}
