/** The signals station: hears what happens, tells what is worth it, and acts where the policy says so. */
import type { QualifiedName, SignalRule, Subject } from '@firebreak/policy'
import type { ApprovalEvent } from '../approvals/events.ts'
import type { Notices } from '../audit/lines.ts'
import type { Clock } from '../clock.ts'
import type { Configuration } from '../configuration/configuration.ts'
import { nameOf } from '../configuration/name.ts'
import type { CommandAudit } from '../session.ts'
import { ruleAlerts } from './alerts.ts'
import type { BaselineFiles } from './baseline-files.ts'
import { RecentSet } from './detect/recent-set.ts'
import type { CommandEvent, Now, SignalEvent } from './events.ts'
import { aboutRequest, fromEgress, fromSignal, toLine } from './lines.ts'
import type { Restrictions } from './restrictions.ts'
import { traitsOf } from './traits.ts'
import { type Found, Watch } from './watch.ts'

type SignalLine = Notices['signal']

/** What of a session the station needs. */
export interface WatchedSession {
  readonly id: string
  readonly subject: Subject
  /** About how many rows something has; undefined where nobody can say. */
  readonly sizeOf: ((object: string) => Promise<number | undefined>) | undefined
  /** The user of the system that the agent runs as, where that tells it apart from those who resume it. */
  agentUser(): Promise<string | undefined>
}

export interface SignalsOptions {
  readonly configuration: () => Configuration
  readonly clock: Clock
  /** Writes to the audit trail. */
  readonly audit: (line: SignalLine) => void
  readonly restrictions: Restrictions
}

/** Places that unproven clients come from; the one that was not heard of for longest is forgotten. */
const maximumStrangers = 1_000
/** The same signal goes to the webhook once within. In milliseconds. */
const sameWithin = 600_000
const saveEvery = 60_000

export class Signals {
  readonly #options: SignalsOptions
  /** Of proven identities, of which there are as many as manifests. */
  readonly #watches = new Map<QualifiedName, Watch>()
  /** By resource and where somebody comes from who proves to be nobody. */
  readonly #strangers = new Map<string, Watch>()
  readonly #told = new RecentSet(sameWithin, 1_000)
  /** Told of every signal that is worth it. */
  notify: ((line: SignalLine) => void) | undefined
  /** Told why what was learned can't be kept. */
  problem: ((message: string) => void) | undefined
  #files: BaselineFiles | undefined
  #savedAt = 0
  #saving: Promise<void> = Promise.resolve()

  constructor(options: SignalsOptions) {
    this.#options = options
  }

  /** From now on what is learned is kept there. */
  keepIn(files: BaselineFiles): void {
    this.#files ??= files
  }

  /** A command's outcome is known. On the hot path. */
  command(session: WatchedSession, entry: CommandAudit, rules: readonly SignalRule[]): void {
    const { subject } = session
    if (entry.decision.alerts.length > 0)
      for (const line of ruleAlerts(session, entry, this.#options.configuration())) this.#tellOnce(line)
    if (rules.length === 0) return
    const { identity } = subject.chain.at(-1) ?? subject.chain[0]
    const event = eventOf(subject, entry)
    const now = this.#now
    const watch = this.#watch(identity, now)
    const found = watch.observe(rules, event, now, (object) => this.#askSize(session, watch, rules, object))
    if (found.length > 0) this.#act(found, subject.chain, session, event)
  }

  /** Something happened to an approval request. */
  approval(event: ApprovalEvent): void {
    const { request } = event
    const about = aboutRequest(event)
    if (!request || !about) return
    const { spec, metadata } = request
    const [first, ...rest] = spec.chain.map(({ identity, groups = [] }) => ({
      identity: identity as QualifiedName,
      groups,
    }))
    if (first) this.#happened(about, [first, ...rest], { resource: `${metadata.namespace}/${spec.resource}` })
  }

  /** A line that is about no command has been written to the audit trail. */
  heard<Event extends keyof Notices>(event: Event, fields: Notices[Event]): void {
    if (event === 'egress.refused') {
      const line = fields as Notices['egress.refused']
      this.#happened(fromEgress(line), [{ identity: line.identity, groups: [] }], {})
    }
    if (event !== 'signal') return
    const line = fields as SignalLine
    if (line.severity !== 'low') this.#notifyOnce(line)
    const misuse = fromSignal(line)
    if (!misuse) return
    const { resource, remote, chain: names = [] } = line
    const identity = line.identity ?? names.at(-1)
    if (identity !== undefined)
      this.#happened(misuse, [{ identity, groups: [] }], { ...(resource && { resource }) })
    else if (resource !== undefined) this.#unproven(misuse, resource, remote ?? '')
  }

  /** What time brings. Called every second. */
  tick(): void {
    if (this.#options.clock.monotonic() - this.#savedAt < saveEvery) return
    this.#savedAt = this.#options.clock.monotonic()
    void this.save()
  }

  configurationChanged(): void {
    const { snapshot, manifests } = this.#options.configuration()
    const known = new Set(manifests.identities.map(nameOf))
    for (const [identity, watch] of this.#watches)
      if (known.has(identity)) watch.keepOnly(snapshot.signalsFor({ identity }))
      else this.#watches.delete(identity)
    this.#strangers.clear()
  }

  /** A person has looked at an identity. */
  resumed(identity: QualifiedName): void {
    this.#watches.get(identity)?.startAnew()
  }

  /** Writes what was learned. Never rejects. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(async () => {
      for (const [identity, watch] of this.#watches) await this.#saveOne(identity, watch)
    })
    return this.#saving
  }

  get #now(): Now {
    const { clock } = this.#options
    return { wall: clock.wall(), monotonic: clock.monotonic() }
  }

  #happened(
    event: SignalEvent,
    chain: Subject['chain'],
    about: { readonly resource?: QualifiedName; readonly session?: WatchedSession },
  ): void {
    const { identity } = chain.at(-1) ?? chain[0]
    const { resource } = about
    const rules = this.#options.configuration().snapshot.signalsFor({ identity, resource })
    if (rules.length === 0) return
    const now = this.#now
    const found = this.#watch(identity, now).observe(rules, event, now)
    if (found.length > 0) this.#act(found, chain, undefined, event, resource)
  }

  /** Nobody is proven, so nothing is taken from anybody: or who wants to lock an agent out would only have to pretend. */
  #unproven(event: SignalEvent, resource: QualifiedName, remote: string): void {
    const rules = this.#options.configuration().snapshot.signalsFor({ resource })
    if (rules.length === 0) return
    const now = this.#now
    const watch = this.#stranger(`${resource} from ${remote}`, now)
    for (const { rule, finding, untold } of watch.observe(rules, event, now))
      if (untold !== undefined)
        this.#tell(
          toLine({ ...rule, action: 'alert' }, finding, untold, {
            who: `Somebody at ${remote}`,
            resource,
            remote,
          }),
        )
  }

  #act(
    found: readonly Found[],
    chain: Subject['chain'],
    session: WatchedSession | undefined,
    event: SignalEvent,
    resource = event.kind === 'command' ? event.resource : undefined,
  ): void {
    const { identity } = chain.at(-1) ?? chain[0]
    for (const { rule: watching, finding, untold } of found) {
      const rule = finding.onlyTold ? ({ ...watching, action: 'alert' } as const) : watching
      const about = {
        who: identity,
        identity,
        ...(resource !== undefined && { resource }),
        ...(session && { session: session.id }),
        ...(chain.length > 1 && { chain: chain.map((link) => link.identity) }),
      }
      const imposed = this.#impose(rule, chain, session, toLine(rule, finding, 0, about))
      if (untold !== undefined || imposed) this.#tell(toLine(rule, finding, untold ?? 0, about))
    }
  }

  #impose(
    rule: SignalRule,
    chain: Subject['chain'],
    session: WatchedSession | undefined,
    { explanation, evidence = [] }: SignalLine,
  ): boolean {
    const seen = { explanation: explanation.slice(0, 4_096), evidence: [...evidence] }
    return this.#options.restrictions.impose(
      chain,
      rule,
      seen,
      session?.agentUser() ?? Promise.resolve(undefined),
    )
  }

  #askSize(session: WatchedSession, watch: Watch, rules: readonly SignalRule[], object: string): void {
    const { subject } = session
    const { resource, chain } = subject
    void (session.sizeOf?.(object) ?? Promise.resolve(undefined))
      .catch(() => undefined)
      .then((rows) => {
        const event = { kind: 'size', resource, object, rows } as const
        const found = watch.observe(rules, event, this.#now)
        if (found.length > 0) this.#act(found, chain, session, event, resource)
      })
  }

  #watch(identity: QualifiedName, { wall }: Now): Watch {
    const known = this.#watches.get(identity)
    if (known) return known
    const kept = this.#files?.read(identity)
    if (kept && !kept.ok) this.problem?.(kept.error)
    const watch = new Watch(wall, kept?.ok ? kept.value : undefined)
    this.#watches.set(identity, watch)
    return watch
  }

  #stranger(from: string, { wall }: Now): Watch {
    const watch = this.#strangers.get(from) ?? new Watch(wall)
    this.#strangers.delete(from)
    this.#strangers.set(from, watch)
    const [oldest] = this.#strangers.keys()
    if (this.#strangers.size > maximumStrangers && oldest !== undefined) this.#strangers.delete(oldest)
    return watch
  }

  async #saveOne(identity: QualifiedName, { baseline }: Watch): Promise<void> {
    if (!this.#files || !baseline.changed) return
    baseline.changed = false
    try {
      await this.#files.write(identity, baseline.keep())
    } catch (error) {
      baseline.changed = true
      this.problem?.(error instanceof Error ? error.message : String(error))
    }
  }

  #tell(line: SignalLine): void {
    this.#options.audit(line)
    this.notify?.(line)
  }

  #tellOnce(line: SignalLine): void {
    if (this.#wasTold(line)) return
    this.#tell(line)
  }

  #notifyOnce(line: SignalLine): void {
    if (!this.#wasTold(line)) this.notify?.(line)
  }

  #wasTold({ kind, identity, resource, rule, remote }: SignalLine): boolean {
    const key = JSON.stringify([kind, identity, resource, rule, remote])
    const now = this.#options.clock.monotonic()
    if (this.#told.has(key, now)) return true
    this.#told.add(key, now)
    return false
  }
}

function eventOf({ chain, resource, role }: Subject, entry: CommandAudit): CommandEvent {
  const { reference, command, decision, outcome, text, parameters, approval } = entry
  return {
    kind: 'command',
    reference,
    resource,
    role,
    elevated: (chain.at(-1)?.elevations ?? []).length > 0,
    decision,
    outcome,
    approved: decision.effect === 'hold' && approval !== undefined && !outcome.error,
    traits: traitsOf(command),
    text: text ?? command.text,
    parameters: parameters ?? none,
  }
}

const none: readonly string[] = []
