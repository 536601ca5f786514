/** A session as the protocols see it: every question about it is answered by what is in force now. */
import {
  type Command,
  type Decision,
  type QualifiedName,
  type SessionTerms,
  type Subject,
  seconds,
} from '@firebreak/policy'
import type { SessionIdentity } from '../audit/audit.ts'
import { newReference } from '../audit/reference.ts'
import { readCredential } from '../configuration/values.ts'
import type { Usage } from '../limits/usage.ts'
import type { Runtime } from '../runtime.ts'
import type {
  CommandAudit,
  Credential,
  GuardedSession,
  HoldOutcome,
  LimitReached,
  Refusal,
  Result,
} from '../session.ts'

export class LiveSession implements GuardedSession {
  readonly id = newReference()
  readonly subject: Subject
  readonly signal: AbortSignal
  onNotice: GuardedSession['onNotice']
  readonly #runtime: Runtime
  readonly #who: SessionIdentity
  readonly #usage: Usage
  readonly #abort = new AbortController()
  readonly #startedAt = performance.now()
  readonly #lifetime: NodeJS.Timeout
  #idle: NodeJS.Timeout | undefined
  #commands = 0
  #terms: SessionTerms

  constructor(runtime: Runtime, subject: Subject, remoteAddress: string) {
    this.#runtime = runtime
    this.subject = subject
    this.signal = this.#abort.signal
    this.#who = { session: this.id, subject, remoteAddress }
    this.#usage = runtime.usageOf(this.#identity, subject.resource)
    this.#terms = runtime.configuration.snapshot.termsFor(subject)
    const { maxDuration = '1h' } = this.#sessionSpec() ?? {}
    this.#lifetime = setTimeout(
      () => this.#end('expired', `the session has reached its maximum duration of ${maxDuration}`),
      timerDelay(maxDuration),
    ).unref()
    this.#touch()
    runtime.sessions.add(this)
    runtime.audit.session('session.start', this.#who)
  }

  get maskKey(): Uint8Array {
    return this.#runtime.maskKey
  }

  get terms(): SessionTerms {
    return this.#terms
  }

  async credential(): Promise<Result<Credential, Refusal>> {
    const { configuration } = this.#runtime
    const resource = configuration.manifests.resources.find(
      (candidate) => nameOf(candidate) === this.subject.resource,
    )
    const role = resource?.spec.roles.find((candidate) => candidate.name === this.subject.role)
    const credential =
      resource && role
        ? readCredential(resource, role, configuration)
        : ({ ok: false, error: 'the role is gone' } as const)
    if (credential.ok) return credential
    const message = `the credential of role ${this.subject.role} of ${this.subject.resource} can't be read: ${credential.error}`
    return { ok: false, error: { code: 'unavailable', message, reference: this.reference() } }
  }

  decide(command: Command): Decision {
    return this.#runtime.configuration.snapshot.decide(this.subject, command)
  }

  admit(): LimitReached | undefined {
    this.#commands++
    this.#touch()
    return this.#usage.admit(this.#terms.limits, performance.now())
  }

  meter(rows: number, bytes: number): LimitReached | undefined {
    return this.#usage.meter(rows, bytes, this.#terms.limits, performance.now())
  }

  reference(): string {
    return newReference()
  }

  audit(entry: CommandAudit): void {
    this.#runtime.audit.command(this.#who, entry, this.#terms.audit)
  }

  async hold(): Promise<HoldOutcome> {
    return { kind: 'refused', message: 'there is nobody here to ask' }
  }

  ready(): Promise<void> | undefined {
    return this.#runtime.audit.ready(this.#terms.audit)
  }

  /** A new configuration is in force: the session goes on if its identity still may. */
  configurationChanged(): void {
    const { snapshot } = this.#runtime.configuration
    this.#terms = snapshot.termsFor(this.subject)
    const refusal = snapshot.refusal(this.subject)
    if (refusal !== undefined) this.#end('expired', refusal)
  }

  /** The sidecar stops. */
  shutDown(): void {
    this.#end('expired', 'the gateway is shutting down')
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#lifetime)
    clearTimeout(this.#idle)
    if (!this.#runtime.sessions.delete(this)) return
    const seconds_ = Math.round(performance.now() - this.#startedAt) / 1000
    const reason = this.signal.aborted ? { reason: (this.signal.reason as Refusal).message } : {}
    this.#runtime.audit.session('session.end', this.#who, {
      commands: this.#commands,
      seconds: seconds_,
      ...reason,
    })
  }

  get #identity(): QualifiedName {
    return (this.subject.chain.at(-1) ?? this.subject.chain[0]).identity
  }

  #sessionSpec(): { maxDuration: string; idleTimeout: string } | undefined {
    return this.#runtime.configuration.manifests.identities.find(
      (candidate) => nameOf(candidate) === this.#identity,
    )?.spec.session
  }

  #touch(): void {
    if (this.#idle) {
      this.#idle.refresh()
      return
    }
    const { idleTimeout = '15m' } = this.#sessionSpec() ?? {}
    this.#idle = setTimeout(
      () => this.#end('expired', `the session was idle for ${idleTimeout}`),
      timerDelay(idleTimeout),
    ).unref()
  }

  #end(code: Refusal['code'], message: string): void {
    if (!this.signal.aborted)
      this.#abort.abort({ code, message, reference: this.reference() } satisfies Refusal)
  }
}

/** Node's timers take at most 2^31 - 1 milliseconds. */
function timerDelay(duration: string): number {
  return Math.min(seconds(duration) * 1_000, 0x7fffffff)
}

export function nameOf({ metadata }: { metadata: { namespace: string; name: string } }): QualifiedName {
  return `${metadata.namespace}/${metadata.name}`
}
