/** What all listeners of one sidecar share. */
import { randomBytes } from 'node:crypto'
import type { QualifiedName, Subject } from '@firebreak/policy'
import { elevate } from './approvals/elevate.ts'
import type { ApprovalStation } from './approvals/station.ts'
import type { Audit } from './audit/audit.ts'
import type { Notices } from './audit/lines.ts'
import { type Clock, systemClock } from './clock.ts'
import { type ClassificationDoubt, ClassifiedNames } from './configuration/classified.ts'
import type { Configuration } from './configuration/configuration.ts'
import { nameOf } from './configuration/name.ts'
import { Credentials } from './credentials/credentials.ts'
import type { Role } from './credentials/provider.ts'
import type { LiveSession } from './decide/live-session.ts'
import { Delegations } from './delegation/delegations.ts'
import { Identities } from './identity/identities.ts'
import { describeProof, type OwnPod, type Proof, type Rejection } from './identity/proof.ts'
import { Usage } from './limits/usage.ts'
import type { SidecarMetrics } from './metrics/metrics.ts'
import type { RecordingPlace } from './recording/place.ts'
import type { RecordedSession } from './recording/recordings.ts'
import type { SessionRecording } from './recording/session-recording.ts'
import type { Credential, Gateway, Result } from './session.ts'
import { Restrictions } from './signals/restrictions.ts'
import { Signals } from './signals/signals.ts'
import { inWords } from './system-errors.ts'
import type { Traces } from './traces/traces.ts'

export class Runtime {
  /** In force; a change replaces it as a whole. */
  configuration: Configuration
  readonly audit: Audit
  readonly sessions = new Set<LiveSession>()
  /** Masks by hash and format hold for as long as this process lives. */
  readonly maskKey: Uint8Array = randomBytes(32)
  readonly #usages = new Map<string, Usage>()

  /** Absent where nobody reads them. */
  metrics: SidecarMetrics | undefined
  /** Absent where nobody wants them. */
  traces: Traces | undefined
  /** Certificate that listeners show to clients that ask for TLS. PEM. */
  readonly clientTls: Gateway['clientTls']
  /** Those of single resources instead, by name; a change replaces all. */
  hostCertificates: ReadonlyMap<string, NonNullable<Gateway['clientTls']>> = new Map()
  readonly clock: Clock
  readonly identities: Identities
  readonly delegations: Delegations
  readonly credentials: Credentials
  readonly classified: ClassifiedNames
  readonly restrictions: Restrictions
  readonly signals: Signals
  /** Where people are asked; absent while no policy asks them. */
  approvals: ApprovalStation | undefined
  /** Why nobody can be asked although a policy asks. */
  approvalsProblem: string | undefined
  /** Where sessions are recorded; absent where nobody said where. */
  recordings: RecordingPlace | undefined

  constructor(
    configuration: Configuration,
    audit: Audit,
    {
      clientTls,
      clock = systemClock,
      tokenFailed = () => {},
      classifiesNothing = () => {},
      pod,
    }: {
      clientTls?: Gateway['clientTls']
      clock?: Clock | undefined
      /** Told where an identity's token can't be obtained; it is in the audit trail already. */
      tokenFailed?: (identity: QualifiedName, rejection: Rejection) => void
      /** Told where a resource classifies what it doesn't have; it is in the audit trail already. */
      classifiesNothing?: (doubt: ClassificationDoubt) => void
      /** The pod that this is the sidecar of, in a cluster. */
      pod?: OwnPod
    } = {},
  ) {
    this.configuration = configuration
    this.audit = audit
    this.clientTls = clientTls
    this.clock = clock
    this.restrictions = new Restrictions({
      approvals: () => this.approvals,
      changed: () => {
        for (const session of this.sessions) session.restrictionsChanged()
      },
      resumed: (identity) => this.signals.resumed(identity),
    })
    this.signals = new Signals({
      configuration: () => this.configuration,
      clock,
      audit: (line) => audit.notice('signal', line),
      restrictions: this.restrictions,
    })
    this.identities = new Identities(
      () => this.configuration,
      clock,
      (identity, outcome) => {
        if (outcome.ok) audit.notice('token.obtained', { identity, proof: describeProof(outcome.value) })
        else {
          audit.notice('token.failed', { identity, reason: outcome.error.message })
          tokenFailed(identity, outcome.error)
        }
      },
      pod,
    )
    this.delegations = new Delegations({
      configuration: () => this.configuration,
      identities: this.identities,
      clock,
      notice: this.notice,
      ended: () => {
        for (const session of this.sessions) session.delegationEnded()
      },
    })
    this.classified = new ClassifiedNames(
      () => this.configuration,
      (doubt) => {
        audit.notice('classification.unmatched', { ...doubt })
        classifiesNothing(doubt)
      },
    )
    this.credentials = new Credentials(
      () => this.configuration,
      clock,
      (resource, role, credential) => this.#rotated(resource, role, credential),
    )
  }

  /** Writes to the audit trail what is about no command, and lets the signals hear of it. */
  readonly notice = <Event extends keyof Notices>(event: Event, fields: Notices[Event]): void => {
    this.audit.notice(event, fields)
    this.signals.heard(event, fields)
  }

  /** What an identity uses of a resource counts together, whichever session it is in. */
  readonly usageOf = (identity: QualifiedName, resource: QualifiedName): Usage => {
    const key = `${identity} ${resource}`
    let usage = this.#usages.get(key)
    if (!usage) {
      usage = new Usage()
      this.#usages.set(key, usage)
    }
    return usage
  }

  /** Puts a new configuration in force; sessions that it no longer allows end. */
  apply(configuration: Configuration): void {
    this.configuration = configuration
    this.approvals?.policyChanged(configuration.snapshot)
    this.delegations.configurationChanged()
    this.classified.configurationChanged()
    this.signals.configurationChanged()
    for (const session of this.sessions) session.configurationChanged()
  }

  /** What the manifest says of a role; undefined when it is gone. */
  roleOf({ resource, role }: Pick<Subject, 'resource' | 'role'>): Role | undefined {
    return this.configuration.manifests.resources
      .find((candidate) => nameOf(candidate) === resource)
      ?.spec.roles.find((candidate) => candidate.name === role)
  }

  /** Begins the recording of a session. @returns why it can't be recorded, in words. */
  async record(session: Omit<RecordedSession, 'protocol'>): Promise<Result<SessionRecording, string>> {
    const { resource } = session.subject
    const manifest = this.configuration.manifests.resources.find(
      (candidate) => nameOf(candidate) === resource,
    )
    if (!manifest) return { ok: false, error: `there is no resource ${resource}` }
    if (!this.recordings) return { ok: false, error: 'this gateway has no place for recordings' }
    try {
      const recordings = await this.recordings.open()
      return { ok: true, value: await recordings.begin({ ...session, protocol: manifest.spec.type }) }
    } catch (error) {
      return { ok: false, error: inWords(error) }
    }
  }

  /** Holds a proof against what is in force. */
  renewed(proof: Proof): Result<Proof, string> {
    return proof.kind === 'delegation'
      ? this.delegations.renewed(proof.delegation)
      : this.identities.renewed(proof)
  }

  /** Why a subject may have no session at all, now. */
  refusal(subject: Subject): string | undefined {
    return (
      this.restrictions.refusal(subject.chain) ??
      this.#unknownRestrictions(subject) ??
      this.configuration.snapshot.refusal(subject)
    )
  }

  /** A subject with what it was granted for now. */
  elevated(subject: Subject): Subject {
    return elevate(subject, this.approvals?.grantedTo(subject) ?? [])
  }

  /** What time brings: tokens are renewed, sessions end. Called every second. */
  tick(): void {
    this.restrictions.refresh()
    this.signals.tick()
    this.identities.tick()
    this.delegations.tick()
    this.credentials.tick([...this.sessions].map((session) => session.subject))
    for (const session of this.sessions) session.tick()
    this.recordings?.tick()
  }

  /** Who may have been suspended before a restart is refused while that can't be read. */
  #unknownRestrictions(subject: Subject): string | undefined {
    if (this.approvals || this.approvalsProblem === undefined) return undefined
    const { signals } = this.configuration.snapshot.termsFor(subject)
    return signals.some(({ action }) => action !== 'alert')
      ? `it can't be told whether ${subject.chain.at(-1)?.identity} is suspended: ${this.approvalsProblem}`
      : undefined
  }

  #rotated(resourceName: QualifiedName, roleName: string, credential: Credential): void {
    this.audit.notice('credential.rotated', { resource: resourceName, role: roleName })
    const role = this.roleOf({ resource: resourceName, role: roleName })
    if (role?.credential?.onRotation !== 'end') return
    for (const session of this.sessions)
      if (session.subject.resource === resourceName && session.subject.role === roleName)
        session.credentialRotated(credential)
  }
}
