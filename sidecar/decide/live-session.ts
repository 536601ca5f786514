/** A session as the protocols see it: every question about it is answered by what is in force now. */
import { isDeepStrictEqual } from 'node:util'
import { type Command, type Decision, type SessionTerms, type Subject, seconds } from '@firebreak/policy'
import { elevate } from '../approvals/elevate.ts'
import { type GrantedElevation, remainingInWords } from '../approvals/elevations.ts'
import type { SessionIdentity } from '../audit/audit.ts'
import type { SessionEnd } from '../audit/lines.ts'
import { newReference } from '../audit/reference.ts'
import { Deadline } from '../clock.ts'
import { sameCredential } from '../credentials/credentials.ts'
import type { Chain } from '../delegation/delegation.ts'
import { describeProof, type Proof } from '../identity/proof.ts'
import type { Budget } from '../limits/budget.ts'
import type { SessionRecording } from '../recording/session-recording.ts'
import type { Runtime } from '../runtime.ts'
import type {
  AccountEvent,
  AccountTerms,
  CommandAudit,
  Credential,
  GuardedSession,
  HeldCommand,
  HoldOutcome,
  LimitReached,
  Refusal,
  Result,
  Target,
} from '../session.ts'
import { inWords } from '../signals/restrictions.ts'
import { budgetOf, type Lifetimes, lifetimesOf } from './bounds.ts'
import { HeldProof } from './held-proof.ts'
import { OwnRecording, type SessionToRecord } from './own-recording.ts'
import { RestrictedDecisions } from './restricted.ts'

export class LiveSession implements GuardedSession {
  readonly id = newReference()
  readonly signal: AbortSignal
  busy: GuardedSession['busy']
  sizeOf: GuardedSession['sizeOf']
  staysAt: GuardedSession['staysAt']
  readonly #runtime: Runtime
  /** That of the resource as it is now; undefined where it can't be reached. */
  readonly #target: () => Target | undefined
  /** The UID of the client's process, where it can be told. */
  readonly #clientUser: () => number | undefined
  readonly #who: SessionIdentity
  #budget: Budget
  readonly #abort = new AbortController()
  readonly #startedAt = performance.now()
  readonly #lifetime: Deadline
  readonly #idle: Deadline
  /** As proven. */
  #proven: Subject
  /** With what was granted to it for now. */
  #subject: Subject
  #elevations: readonly GrantedElevation[] = []
  #held = 0
  readonly #watching = new Set<{ readonly changed: () => void }>()
  #onNotice: GuardedSession['onNotice']
  readonly #proof: HeldProof
  /** That the target was last logged in to with. */
  #credential: Credential | undefined
  #commands = 0
  #terms: SessionTerms
  /** While a signal holds something back from somebody of the chain. */
  #restricted: RestrictedDecisions | undefined
  readonly #recording: OwnRecording

  constructor(
    runtime: Runtime,
    { subject, proof }: { readonly subject: Subject; readonly proof: Proof },
    remoteAddress: string,
    target: () => Target | undefined,
    clientUser: () => number | undefined = () => undefined,
  ) {
    this.#runtime = runtime
    this.#target = target
    this.#clientUser = clientUser
    this.#proven = subject
    this.#subject = subject
    this.#proof = new HeldProof(proof, runtime.clock, (held) => runtime.renewed(held))
    this.signal = this.#abort.signal
    this.#who = { session: this.id, subject, remoteAddress }
    this.#terms = this.#elevate()
    this.#budget = budgetOf(this.#subject, proof, runtime)
    const { maxDuration, idleTimeout } = this.#bounds
    this.#lifetime = new Deadline(runtime.clock, seconds(maxDuration) * 1_000)
    this.#idle = new Deadline(runtime.clock, seconds(idleTimeout) * 1_000)
    this.#recording = new OwnRecording(this.#toRecord(), runtime)
    runtime.sessions.add(this)
    this.restrictionsChanged()
    runtime.audit.session('session.start', this.#who, { proof: describeProof(proof) })
  }

  get subject(): Subject {
    if (this.#elevations.some(({ window }) => window.passed)) this.elevationsChanged()
    return this.#subject
  }

  get onNotice(): GuardedSession['onNotice'] {
    return this.#onNotice
  }

  /** Whoever listens is told at once what is granted already. */
  set onNotice(onNotice: GuardedSession['onNotice']) {
    this.#onNotice = onNotice
    for (const elevation of this.#elevations) onNotice?.(remainingInWords(elevation))
  }

  get maskKey(): Uint8Array {
    return this.#runtime.maskKey
  }

  get terms(): SessionTerms {
    return this.#terms
  }

  async credential(target: Target): Promise<Result<Credential, Refusal>> {
    const { resource, role } = this.subject
    const credential = await this.#runtime.credentials.current(resource, role)
    if (!isDeepStrictEqual(target, this.#target())) {
      const message = `${resource} is another target since this began: ask again`
      return { ok: false, error: { code: 'unavailable', message, reference: this.reference() } }
    }
    if (credential.ok) {
      this.#credential = credential.value
      return credential
    }
    const message = `the credential of role ${role} of ${resource} can't be read: ${credential.error}`
    return { ok: false, error: { code: 'unavailable', message, reference: this.reference() } }
  }

  credentialRefused(credential: Credential): boolean {
    const { resource, role } = this.subject
    return this.#runtime.credentials.refused(resource, role, credential)
  }

  get ownAccount(): AccountTerms | undefined {
    const { shortLived } = this.#runtime.roleOf(this.subject) ?? {}
    const [first, ...others] = shortLived?.memberOf ?? []
    return shortLived && first !== undefined
      ? { memberOf: [first, ...others], validForSeconds: seconds(shortLived.validFor) }
      : undefined
  }

  auditAccount(event: AccountEvent): void {
    const { resource, role } = this.subject
    const line = { session: this.id, resource, role, account: event.account }
    if (event.kind === 'left') this.#runtime.audit.notice('account.left', { ...line, reason: event.reason })
    else this.#runtime.audit.notice(`account.${event.kind}`, line)
  }

  decide(command: Command): Decision {
    const decision = this.#runtime.configuration.snapshot.decide(this.subject, command)
    return this.#restricted ? this.#restricted.of(command, decision) : decision
  }

  watch(changed: () => void): Disposable {
    // the same function may watch twice
    const watching = { changed }
    this.#watching.add(watching)
    return { [Symbol.dispose]: () => void this.#watching.delete(watching) }
  }

  admit(): LimitReached | undefined {
    this.#commands++
    this.#idle.restart()
    return this.#budget.admit(performance.now())
  }

  meter(rows: number, bytes: number): LimitReached | undefined {
    this.#idle.restart()
    return this.#budget.meter(rows, bytes, performance.now())
  }

  reference(): string {
    return newReference()
  }

  audit(entry: CommandAudit): void {
    this.recorder?.finished(entry)
    this.#runtime.audit.command(this.#who, entry, this.#terms.audit)
    const { signals } = this.#terms
    if (signals.length > 0 || entry.decision.alerts.length > 0)
      this.#runtime.signals.command(this, entry, signals)
  }

  async hold(held: HeldCommand): Promise<HoldOutcome> {
    const { approvals, approvalsProblem } = this.#runtime
    if (!approvals)
      return {
        kind: 'refused',
        message: `there is nobody to ask: ${approvalsProblem ?? 'no policy asks for approval'}`,
      }
    // who waits for people is not idle
    this.#held++
    const ended = this.#runtime.metrics?.holding(this.#subject)
    const traced = this.#runtime.traces?.holding(held.reference)
    const outcome = await approvals.hold(this, held, await this.agentUser())
    this.#held--
    ended?.(outcome.kind)
    traced?.(outcome)
    this.#idle.restart()
    return outcome
  }

  ready(): Promise<void> | undefined {
    return (
      this.#recording.beginning?.then(() => {}) ??
      this.recorder?.ready() ??
      this.#runtime.audit.ready(this.#terms.audit)
    )
  }

  get recorder(): SessionRecording | undefined {
    return this.#recording.recorder
  }

  /** Begins to record the session, if its terms ask for that. @returns why it may not go on. */
  record(): Promise<Refusal | undefined> {
    return this.#recording.begin()
  }

  /** What was granted has begun or ended: it counts from the next command on. */
  elevationsChanged(): void {
    const before = this.#elevations
    this.#refresh()
    for (const { request, grants } of before)
      if (!this.#elevations.some((elevation) => elevation.request === request))
        this.#onNotice?.(`elevation ${request} has ended: ${grants}`)
    for (const elevation of this.#elevations)
      if (!before.some(({ request }) => request === elevation.request))
        this.#onNotice?.(remainingInWords(elevation))
    const { role } = this.#subject
    const lost = before.find((elevation) => elevation.role === role)
    const refusal = this.#runtime.refusal(this.#subject)
    if (refusal !== undefined)
      this.#end('expired', lost ? `elevation ${lost.request}, which gave role ${role}, has ended` : refusal)
    this.#tellOfChange()
  }

  /** A signal has taken something from somebody, or a person has given it back. */
  restrictionsChanged(): void {
    const { restrictions } = this.#runtime
    const restriction = restrictions.on(this.#proven.chain)
    this.#restricted = restriction && new RestrictedDecisions(restriction)
    if (restriction?.action === 'suspend' && restrictions.isSettled(restriction))
      this.#end('forbidden', inWords(restriction))
    this.#tellOfChange()
  }

  /** The user of the system that the agent runs as, where that says something of approvers. */
  async agentUser(): Promise<string | undefined> {
    return await this.#runtime.approvals?.asker(this.#clientUser())
  }

  /** A new configuration is in force: the session goes on if its identity still may, and still is proven. */
  configurationChanged(): void {
    this.#refresh()
    const { maxDuration, idleTimeout } = this.#bounds
    this.#lifetime.change(seconds(maxDuration) * 1_000)
    this.#idle.change(seconds(idleTimeout) * 1_000)
    const refusal = this.#runtime.refusal(this.subject)
    if (refusal !== undefined) this.#end('expired', refusal)
    else if (this.staysAt && !isDeepStrictEqual(this.staysAt, this.#target()))
      this.#end('expired', `${this.subject.resource} is another target now; connect again`)
    else this.#holdProof()
    this.#tellOfChange()
  }

  /** Delegations are over, which may be this session's own or one before it. */
  delegationEnded(): void {
    if (this.#proof.now.kind === 'delegation') this.#holdProof()
  }

  /** Ends what may not go on, whichever clock says so. Called every second. */
  tick(): void {
    const { maxDuration, idleTimeout } = this.#bounds
    if (this.#held > 0 || this.busy?.()) this.#idle.restart()
    if (this.#lifetime.passed)
      this.#end('expired', `the session has reached its maximum duration of ${maxDuration}`)
    else if (this.#idle.passed) this.#end('expired', `the session was idle for ${idleTimeout}`)
    else if (this.#proof.isDue) this.#holdProof()
  }

  /** The role's credential is another one now, and the role says that its sessions end then. */
  credentialRotated(current: Credential): void {
    if (this.#credential && !sameCredential(this.#credential, current))
      this.#end('expired', `the credential of role ${this.subject.role} was rotated; connect again`)
  }

  /** The sidecar stops. */
  shutDown(): void {
    this.#end('expired', 'the gateway is shutting down')
  }

  [Symbol.dispose](): void {
    if (!this.#runtime.sessions.delete(this)) return
    this.#recording.end()
    this.#runtime.audit.session('session.end', this.#who, this.#ended())
  }

  get #bounds(): Lifetimes {
    return lifetimesOf(this.#subject, this.#runtime.configuration)
  }

  #holdProof(): void {
    const proven = this.#proof.prove()
    if (proven.ok) this.#adopt(proven.value)
    else this.#end('expired', proven.error)
  }

  /** Everybody's groups may be others now. */
  #adopt(chain: Chain): void {
    if (isDeepStrictEqual(this.#proven.chain, chain)) return
    this.#proven = { ...this.#proven, chain }
    this.#refresh()
    const refusal = this.#runtime.refusal(this.#subject)
    if (refusal !== undefined) this.#end('expired', refusal)
    this.#tellOfChange()
  }

  #tellOfChange(): void {
    if (!this.signal.aborted) for (const { changed } of [...this.#watching]) changed()
  }

  #toRecord(): SessionToRecord {
    return {
      head: () => ({
        id: this.id,
        subject: this.#subject,
        remote: this.#who.remoteAddress,
        proof: describeProof(this.#proof.now),
        terms: this.#terms,
        onStop: (reason) => this.#end('expired', reason),
      }),
      ended: () => this.#ended(),
      isOver: () => !this.#runtime.sessions.has(this),
      reference: () => this.reference(),
    }
  }

  /** What is said of the session when it is over. */
  #ended(): SessionEnd {
    return {
      commands: this.#commands,
      seconds: Math.round(performance.now() - this.#startedAt) / 1000,
      ...(this.signal.aborted && { reason: (this.signal.reason as Refusal).message }),
    }
  }

  #refresh(): void {
    this.#terms = this.#elevate()
    this.#recording.adjust()
    this.#budget = budgetOf(this.#subject, this.#proof.now, this.#runtime)
  }

  /** @returns the terms of the session with what is granted to it now. */
  #elevate(): SessionTerms {
    this.#elevations = this.#runtime.approvals?.grantedTo(this.#proven) ?? []
    this.#subject = elevate(this.#proven, this.#elevations)
    return this.#runtime.configuration.snapshot.termsFor(this.#subject)
  }

  #end(code: Refusal['code'], message: string): void {
    if (!this.signal.aborted)
      this.#abort.abort({ code, message, reference: this.reference() } satisfies Refusal)
  }
}
