/** The station that passes rights on: what a parent gives a child, for how long, and when it is over. */
import { randomUUID } from 'node:crypto'
import { type Principal, type QualifiedName, seconds } from '@firebreak/policy'
import type { Notices } from '../audit/lines.ts'
import { type Clock, Deadline } from '../clock.ts'
import type { Configuration } from '../configuration/configuration.ts'
import { duration } from '../identity/duration.ts'
import type { Identities } from '../identity/identities.ts'
import { misused, type Proof, type Rejection } from '../identity/proof.ts'
import { SlidingWindow } from '../limits/sliding-window.ts'
import { Usage } from '../limits/usage.ts'
import type { Result } from '../session.ts'
import { groupsOf, holderOf, longestSessionOf, objectionTo } from './chain-rules.ts'
import {
  type Chain,
  chainInWords,
  chainOf,
  type Delegation,
  type Delegator,
  identitiesOf,
  path,
  type RootProof,
} from './delegation.ts'
import { narrow, type ScopeAsk } from './narrow.ts'
import { isBelow, OpenDelegations } from './open-delegations.ts'
import { lineOf, refusalLine, refusalSignal } from './report.ts'
import { DelegationTokens } from './token.ts'

export interface DelegationAsk extends ScopeAsk {
  /** Name of the child's AgentIdentity. */
  readonly to: string
  /** How long, as `10m`. Absent: ten minutes, or as long as the parent has. */
  readonly for?: string
  /** UID of the user of this system that the child runs as. */
  readonly user?: number
}

export type DelegationProof = Extract<Proof, { readonly kind: 'delegation' }>

export interface IssuedDelegation {
  readonly delegation: Delegation
  readonly token: string
}

export interface DelegationRefusal {
  /** `unfit`: nothing is wrong with the parent. `beyond`: it asks for more than it has. `full`: later. */
  readonly code: 'unfit' | 'beyond' | 'full'
  readonly message: string
}

/** With the reference of its audit line. */
export type ToldRefusal = DelegationRefusal & { readonly reference: string }

export interface DelegationsOptions {
  /** The one in force. */
  readonly configuration: () => Configuration
  readonly identities: Pick<Identities, 'renewed'>
  readonly clock: Clock
  readonly notice: <Event extends keyof Notices>(event: Event, fields: Notices[Event]) => void
  /** Delegations have ended: sessions hold their proof against what is left. */
  readonly ended: () => void
}

const defaultMilliseconds = 10 * 60_000
/** With all below them, in memory. */
const maximumOpen = 1_000
const maximumOpenOfOne = 128
const maximumPerMinute = 120
/** Drivers and servers in between take passwords of that length; in characters. */
const maximumTokenLength = 8_192
/** How often all of them are held against what proved the first of their chain. In milliseconds. */
const proveAgainEvery = 10_000
const timeIsOver = 'its time is over'

export class Delegations {
  readonly open = new OpenDelegations()
  readonly #options: DelegationsOptions
  readonly #tokens: DelegationTokens
  /** By the first of the chain. */
  readonly #asked = new Map<QualifiedName, SlidingWindow>()
  readonly #proveAgain: Deadline

  constructor(options: DelegationsOptions) {
    this.#options = options
    this.#tokens = new DelegationTokens(options.clock)
    this.#proveAgain = new Deadline(options.clock, proveAgainEvery)
  }

  /** Gives a child a token, for less than the parent has or as much. Refusals are in the audit trail. */
  async issue(
    by: Delegator,
    ask: DelegationAsk,
    remote: string,
  ): Promise<Result<IssuedDelegation, ToldRefusal>> {
    const made = this.#make(by, ask)
    if (!made.ok) return this.#refused(by, ask, made.error, remote)
    const delegation = made.value
    const issued = await this.#sign(delegation)
    if (!issued.ok) {
      this.open.end(delegation, issued.error.message)
      return this.#refused(by, ask, issued.error, remote)
    }
    this.#options.notice('delegation.issued', { ...lineOf(delegation), remote })
    return issued
  }

  /** What a token proves, which has to be the token of a delegation that stands. */
  async prove(token: string): Promise<Result<DelegationProof, Rejection>> {
    const id = await this.#tokens.verify(token)
    if (!id.ok) return id
    const delegation = this.open.get(id.value)
    if (!delegation)
      return misused('ended', 'the delegation was revoked or has ended', 'Ask the parent for a new one.')
    const proof = this.renewed(delegation)
    if (proof.ok) return proof
    return { ok: false, error: { ...misused('ended', proof.error).error, chain: chainOf(delegation) } }
  }

  /** The proof that stands now, or why there is none any more. */
  renewed(delegation: Delegation): Result<DelegationProof, string> {
    const chain = this.#standing(delegation)
    if (!chain.ok) return chain
    const { identity, expiresAt } = delegation
    const { groups } = chain.value.at(-1) ?? chain.value[0]
    return {
      ok: true,
      value: { kind: 'delegation', identity, groups, expiresAt, delegation, chain: chain.value },
    }
  }

  /** Ends a delegation of one's own, or of a descendant's, with all below it. @returns whether there was one. */
  revoke(by: Delegator, id: string): boolean {
    const delegation = this.open.get(id)
    if (!delegation || !isBelow(delegation, by)) return false
    this.#revoke(delegation, `revoked by ${chainInWords(identitiesOf(by))}`)
    this.#options.ended()
    return true
  }

  /** Another configuration is in force: what it doesn't let be passed on is over, and doesn't come back with it. */
  configurationChanged(): void {
    this.#proveAgain.restart()
    let ended = false
    for (const delegation of [...this.open]) {
      if (delegation.ended !== undefined || delegation.window.passed) continue
      const fault = this.#fault(delegation, this.#options.identities.renewed(delegation.root))
      if (fault === undefined) continue
      this.#revoke(delegation, fault)
      ended = true
    }
    if (ended) this.#options.ended()
  }

  /** Called every second. */
  tick(): void {
    for (const delegation of this.open) if (delegation.window.passed) this.open.end(delegation, timeIsOver)
    if (this.#proveAgain.passed) this.configurationChanged()
  }

  /** The chain as the manifests and the first link's proof have it now, or why it doesn't hold any more. */
  #standing(delegation: Delegation): Result<Chain, string> {
    const root = this.#options.identities.renewed(delegation.root)
    const fault = this.#fault(delegation, root)
    if (!root.ok || fault !== undefined)
      return { ok: false, error: `the delegation ${chainInWords(chainOf(delegation))} has ended: ${fault}` }
    const first: Principal = { identity: root.value.identity, groups: root.value.groups }
    const rest = path(delegation).map(
      ({ identity, scope }): Principal => ({
        identity,
        groups: groupsOf(identity, this.#options.configuration()),
        ...(Object.keys(scope).length > 0 && { scope }),
      }),
    )
    return { ok: true, value: [first, ...rest] }
  }

  #fault(delegation: Delegation, root: Result<RootProof, string>): string | undefined {
    for (const { ended, window } of path(delegation)) {
      if (ended !== undefined) return ended
      if (window.passed) return timeIsOver
    }
    if (!root.ok) return root.error
    return objectionTo(chainOf(delegation), this.#options.configuration())?.message
  }

  async #sign(delegation: Delegation): Promise<Result<IssuedDelegation, DelegationRefusal>> {
    this.open.add(delegation)
    const chain = this.#standing(delegation)
    if (!chain.ok) return unfit(chain.error)
    const token = await this.#tokens.sign(delegation, chain.value)
    // signing takes a moment, in which the parent may lose its right
    if (delegation.ended !== undefined) return unfit(delegation.ended)
    if (token.length <= maximumTokenLength) return { ok: true, value: { delegation, token } }
    return unfit(
      `its token would have ${token.length} characters, and ${maximumTokenLength} are the most: name fewer things`,
    )
  }

  #make(by: Delegator, ask: DelegationAsk): Result<Delegation, DelegationRefusal> {
    const full = this.#full(by)
    if (full) return { ok: false, error: full }
    const configuration = this.#options.configuration()
    const parents = identitiesOf(by)
    const namespace = namespaceOf(by)
    const child: QualifiedName = `${namespace}/${ask.to}`
    const objection = objectionTo([...parents, child], configuration)
    if (objection) return { ok: false, error: objection }
    const holders = [...parents, child].map((identity) => holderOf(identity, configuration))
    const scope = narrow(ask, by.kind === 'child' ? by.delegation.scope : {}, holders, namespace)
    if (!scope.ok) return { ok: false, error: { code: 'beyond', message: scope.error } }
    const time = this.#time(by, ask.for)
    if (!time.ok) return time
    const { clock } = this.#options
    return {
      ok: true,
      value: {
        id: randomUUID(),
        parent: by.kind === 'child' ? by.delegation : undefined,
        root: by.kind === 'child' ? by.delegation.root : by.proof,
        identity: child,
        scope: scope.value,
        expiresAt: clock.wall() + time.value,
        window: new Deadline(clock, time.value),
        usage: new Usage(),
        ...(ask.user !== undefined && { user: ask.user }),
      },
    }
  }

  #full(by: Delegator): DelegationRefusal | undefined {
    const now = this.#options.clock.monotonic()
    const [root = '/'] = identitiesOf(by)
    const asked = this.#asked.get(root) ?? new SlidingWindow(60_000)
    this.#asked.set(root, asked)
    asked.add(1, now)
    if (asked.total(now) > maximumPerMinute)
      return { code: 'full', message: `${root} has asked more than ${maximumPerMinute} times in a minute` }
    const own = this.open.countOf(root)
    if (own >= maximumOpenOfOne || this.open.size >= maximumOpen)
      return { code: 'full', message: `${root} has ${own} open delegations, and more are not possible now` }
    return undefined
  }

  #time(by: Delegator, asked: string | undefined): Result<number, DelegationRefusal> {
    const most = this.#remaining(by)
    const wanted = asked === undefined ? Math.min(defaultMilliseconds, most) : seconds(asked) * 1_000
    if (most < 1_000 || wanted < 1_000) return unfit('there is no time left to pass on')
    if (wanted <= most) return { ok: true, value: wanted }
    const message = `${asked} is longer than the parent has, which is ${duration(most)}`
    return { ok: false, error: { code: 'beyond', message } }
  }

  /** How long what proves a parent is good for. In milliseconds. */
  #remaining(by: Delegator): number {
    if (by.kind === 'child') return by.delegation.window.remaining
    const { identity, expiresAt = Number.POSITIVE_INFINITY } = by.proof
    const longest = longestSessionOf(identity, this.#options.configuration())
    return Math.min(longest, expiresAt - this.#options.clock.wall())
  }

  #revoke(delegation: Delegation, reason: string): void {
    this.open.end(delegation, reason)
    this.#options.notice('delegation.revoked', { ...lineOf(delegation), reason })
  }

  #refused(
    by: Delegator,
    { to }: DelegationAsk,
    refusal: DelegationRefusal,
    remote: string,
  ): { readonly ok: false; readonly error: ToldRefusal } {
    const line = refusalLine(by, `${namespaceOf(by)}/${to}`, refusal.message, remote)
    this.#options.notice('delegation.refused', line)
    if (refusal.code === 'beyond') this.#options.notice('signal', refusalSignal(by, line))
    return { ok: false, error: { ...refusal, reference: line.reference } }
  }
}

function unfit(message: string): { readonly ok: false; readonly error: DelegationRefusal } {
  return { ok: false, error: { code: 'unfit', message } }
}

/** A chain stays in the namespace that it began in. */
function namespaceOf(by: Delegator): string {
  const [root = '/'] = identitiesOf(by)
  return root.slice(0, root.indexOf('/'))
}
