/** The station that passes rights on: what a parent gives a child, for how long, and when it is over. */
import { randomUUID } from 'node:crypto'
import type { AgentIdentity } from '@firebreak/crds'
import { type Principal, type QualifiedName, type Scope, seconds } from '@firebreak/policy'
import type { DelegationLine, Notices } from '../audit/lines.ts'
import { newReference } from '../audit/reference.ts'
import { type Clock, Deadline } from '../clock.ts'
import type { Configuration } from '../configuration/configuration.ts'
import { nameOf } from '../decide/live-session.ts'
import { duration } from '../identity/duration.ts'
import type { Identities } from '../identity/identities.ts'
import { misused, type Proof, type Rejection } from '../identity/proof.ts'
import { SlidingWindow } from '../limits/sliding-window.ts'
import { Usage } from '../limits/usage.ts'
import type { Result } from '../session.ts'
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
import { type Holder, narrow, type ScopeAsk } from './narrow.ts'
import { DelegationTokens } from './token.ts'

export interface DelegationAsk extends ScopeAsk {
  /** Name of the child's AgentIdentity. */
  readonly to: string
  /** How long, as `10m`. Absent: ten minutes, or as long as the parent has. */
  readonly for?: string
  /** UID of the user of this system that the child runs as. */
  readonly user?: number
}

export interface IssuedDelegation {
  readonly delegation: Delegation
  readonly chain: Chain
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

export class Delegations {
  readonly #options: DelegationsOptions
  readonly #tokens: DelegationTokens
  readonly #open = new Map<string, Delegation>()
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
      this.#forget(delegation)
      return this.#refused(by, ask, issued.error, remote)
    }
    this.#options.notice('delegation.issued', { ...lineOf(delegation), remote })
    return issued
  }

  /** What a token proves, which has to be the token of a delegation that stands. */
  async prove(token: string): Promise<Result<Proof & { readonly kind: 'delegation' }, Rejection>> {
    const id = await this.#tokens.verify(token)
    if (!id.ok) return id
    const delegation = this.#open.get(id.value)
    if (!delegation)
      return misused('ended', 'the delegation was revoked or has ended', 'Ask the parent for a new one.')
    const proof = this.renewed(delegation)
    if (proof.ok) return proof
    return {
      ok: false,
      error: { ...misused('ended', proof.error).error, chain: chainOf(delegation) },
    }
  }

  /** The proof that stands now, or why there is none any more. */
  renewed(delegation: Delegation): Result<Proof & { readonly kind: 'delegation' }, string> {
    const chain = this.standing(delegation)
    if (!chain.ok) return chain
    const { identity, expiresAt } = delegation
    const { groups } = chain.value.at(-1) ?? chain.value[0]
    return {
      ok: true,
      value: { kind: 'delegation', identity, groups, expiresAt, delegation, chain: chain.value },
    }
  }

  /** The chain as the manifests and the first link's proof have it now, or why it doesn't hold any more. */
  standing(delegation: Delegation): Result<Chain, string> {
    const root = this.#options.identities.renewed(delegation.root)
    const fault = this.#fault(delegation, root)
    if (!root.ok || fault !== undefined)
      return {
        ok: false,
        error: `the delegation ${chainInWords(chainOf(delegation))} has ended: ${fault}`,
      }
    const first: Principal = { identity: root.value.identity, groups: root.value.groups }
    const rest = path(delegation).map(
      ({ identity, scope }): Principal => ({
        identity,
        groups: this.#identity(identity)?.spec.groups ?? [],
        ...(Object.keys(scope).length > 0 && { scope }),
      }),
    )
    return { ok: true, value: [first, ...rest] }
  }

  #fault(delegation: Delegation, root: Result<RootProof, string>): string | undefined {
    if (delegation.ended !== undefined) return delegation.ended
    if (delegation.window.passed) return 'its time is over'
    return root.ok ? this.#objection(chainOf(delegation))?.message : root.error
  }

  /** Those that were issued by somebody or below, the youngest last. */
  below(by: Delegator): readonly Delegation[] {
    return [...this.#open.values()].filter((delegation) => isBelow(delegation, by))
  }

  /** Ends a delegation of one's own, or of a descendant's, with all below it. @returns whether there was one. */
  revoke(by: Delegator, id: string): boolean {
    const delegation = this.#open.get(id)
    if (!delegation || !isBelow(delegation, by)) return false
    this.#end(delegation, `revoked by ${chainInWords(identitiesOf(by))}`)
    this.#options.ended()
    return true
  }

  /** Whether somebody stands before a child of this name in the chain of a delegation. */
  isAncestor(ancestor: QualifiedName, child: QualifiedName): boolean {
    return [...this.#open.values()].some(
      (delegation) =>
        !delegation.window.passed &&
        delegation.identity === child &&
        ancestor !== child &&
        chainOf(delegation).includes(ancestor),
    )
  }

  /**
   * Why a client can't be who it proves to be, by the user of this system that it is.
   *
   * @param user asked only where a parent has said who its child runs as; undefined where it can't be told.
   */
  contradiction(proof: Proof, user: () => number | undefined): Rejection | undefined {
    const bound = [...this.#open.values()].filter(
      (delegation) => delegation.user !== undefined && !delegation.window.passed,
    )
    if (bound.length === 0) return undefined
    const actual = user()
    const own = proof.kind === 'delegation' ? path(proof.delegation) : []
    const wanted = own.at(-1)?.user
    if (wanted !== undefined && wanted !== actual)
      return misused(
        'otherUser',
        `the delegation is for user ${wanted} of this system, not for ${actual ?? 'one that can't be told'}`,
      ).error
    const child = bound.find(
      (delegation) =>
        delegation.user === actual &&
        !own.includes(delegation) &&
        chainOf(delegation).slice(0, -1).includes(proof.identity),
    )
    return (
      child &&
      misused(
        'parentsToken',
        `user ${actual} of this system runs ${child.identity}, and presents itself as ${proof.identity}, which has delegated to it`,
      ).error
    )
  }

  /** Another configuration is in force: what it doesn't let be passed on is over, and doesn't come back with it. */
  configurationChanged(): void {
    this.#proveAgain.restart()
    let ended = false
    for (const delegation of [...this.#open.values()]) {
      if (!this.#open.has(delegation.id) || delegation.window.passed) continue
      const fault = this.#fault(delegation, this.#options.identities.renewed(delegation.root))
      if (fault === undefined) continue
      this.#end(delegation, fault)
      ended = true
    }
    if (ended) this.#options.ended()
  }

  /** Called every second. */
  tick(): void {
    for (const delegation of this.#open.values()) if (delegation.window.passed) this.#forget(delegation)
    if (this.#proveAgain.passed) this.configurationChanged()
  }

  async #sign(delegation: Delegation): Promise<Result<IssuedDelegation, DelegationRefusal>> {
    const unfit = (message: string): Result<IssuedDelegation, DelegationRefusal> => ({
      ok: false,
      error: { code: 'unfit', message },
    })
    this.#open.set(delegation.id, delegation)
    const chain = this.standing(delegation)
    if (!chain.ok) return unfit(chain.error)
    const token = await this.#tokens.sign(delegation, chain.value)
    // signing takes a moment, in which the parent may lose its right
    if (delegation.ended !== undefined) return unfit(delegation.ended)
    if (token.length <= maximumTokenLength)
      return { ok: true, value: { delegation, chain: chain.value, token } }
    return unfit(
      `its token would have ${token.length} characters, and ${maximumTokenLength} are the most: name fewer things`,
    )
  }

  #make(by: Delegator, ask: DelegationAsk): Result<Delegation, DelegationRefusal> {
    const full = this.#full(by)
    if (full) return { ok: false, error: full }
    const parents = identitiesOf(by)
    const [root = '/'] = parents
    const namespace = root.slice(0, root.indexOf('/'))
    const child: QualifiedName = `${namespace}/${ask.to}`
    const objection = this.#objection([...parents, child])
    if (objection) return { ok: false, error: objection }
    const holders = [...parents, child].map((identity) => this.#holder(identity))
    const scope = narrow(ask, by.kind === 'child' ? by.delegation.scope : {}, holders, namespace)
    if (!scope.ok) return { ok: false, error: { code: 'beyond', message: scope.error } }
    const time = this.#time(by, ask.for)
    if (!time.ok) return time
    const { user } = ask
    return {
      ok: true,
      value: { ...this.#delegation(by, child, scope.value, time.value), ...(user !== undefined && { user }) },
    }
  }

  #delegation(by: Delegator, identity: QualifiedName, scope: Scope, milliseconds: number): Delegation {
    const { clock } = this.#options
    return {
      id: randomUUID(),
      parent: by.kind === 'child' ? by.delegation : undefined,
      root: by.kind === 'child' ? by.delegation.root : by.proof,
      identity,
      scope,
      expiresAt: clock.wall() + milliseconds,
      window: new Deadline(clock, milliseconds),
      usage: new Usage(),
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
    const own = [...this.#open.values()].filter((delegation) => delegation.root.identity === root).length
    if (own >= maximumOpenOfOne || this.#open.size >= maximumOpen)
      return { code: 'full', message: `${root} has ${own} open delegations, and more are not possible now` }
    return undefined
  }

  /** Why identities can't stand in a chain in this order, by the manifests in force. */
  #objection(chain: readonly QualifiedName[]): DelegationRefusal | undefined {
    for (const [index, name] of chain.entries()) {
      const identity = this.#identity(name)
      if (!identity) return { code: 'unfit', message: `there is no AgentIdentity ${name}` }
      if (identity.spec.suspend) return { code: 'unfit', message: `${name} is suspended` }
      const next = chain[index + 1]
      if (next === undefined) return undefined
      const { delegation } = identity.spec
      const after = chain.length - 1 - index
      if (!delegation || after > delegation.maxDepth)
        return {
          code: 'beyond',
          message: `${name} may have ${delegation?.maxDepth ?? 0} links after it (spec.delegation.maxDepth), and this would be ${after}`,
        }
      if (delegation.to && !delegation.to.includes(next.slice(next.indexOf('/') + 1)))
        return { code: 'beyond', message: `${name} may not delegate to ${next} (spec.delegation.to)` }
    }
    return undefined
  }

  #time(by: Delegator, asked: string | undefined): Result<number, DelegationRefusal> {
    const most = this.#remaining(by)
    const wanted = asked === undefined ? Math.min(defaultMilliseconds, most) : seconds(asked) * 1_000
    if (most < 1_000 || wanted < 1_000)
      return { ok: false, error: { code: 'unfit', message: 'there is no time left to pass on' } }
    if (wanted <= most) return { ok: true, value: wanted }
    const message = `${asked} is longer than the parent has, which is ${duration(most)}`
    return { ok: false, error: { code: 'beyond', message } }
  }

  /** How long what proves a parent is good for. In milliseconds. */
  #remaining(by: Delegator): number {
    if (by.kind === 'child') return by.delegation.window.remaining
    const { identity, expiresAt = Number.POSITIVE_INFINITY } = by.proof
    const longest = seconds(this.#identity(identity)?.spec.session.maxDuration ?? '0s') * 1_000
    return Math.min(longest, expiresAt - this.#options.clock.wall())
  }

  #holder(identity: QualifiedName): Holder {
    const namespace = identity.slice(0, identity.indexOf('/'))
    const access = this.#identity(identity)?.spec.access ?? []
    return {
      identity,
      access: access.map(({ resource, roles }) => ({ resource: `${namespace}/${resource}`, roles })),
    }
  }

  #identity(name: QualifiedName): AgentIdentity | undefined {
    return this.#options.configuration().manifests.identities.find((identity) => nameOf(identity) === name)
  }

  #forget(delegation: Delegation): void {
    delegation.ended ??= 'its time is over'
    this.#open.delete(delegation.id)
  }

  #end(delegation: Delegation, reason: string): void {
    for (const other of [...this.#open.values()])
      if (path(other).includes(delegation)) {
        other.ended = reason
        this.#open.delete(other.id)
      }
    this.#options.notice('delegation.revoked', { ...lineOf(delegation), reason })
  }

  #refused(
    by: Delegator,
    ask: DelegationAsk,
    refusal: DelegationRefusal,
    remote: string,
  ): { readonly ok: false; readonly error: ToldRefusal } {
    const { code, message } = refusal
    const parents = identitiesOf(by)
    const [root = '/'] = parents
    const identity: QualifiedName = `${root.slice(0, root.indexOf('/'))}/${ask.to}`
    const chain = [...parents, identity]
    const reference = newReference()
    this.#options.notice('delegation.refused', { reference, identity, chain, remote, reason: message })
    if (code === 'beyond')
      this.#options.notice('signal', {
        kind: 'delegationMisuse',
        // who proved itself may have made a mistake; a child was told what it has
        severity: by.kind === 'child' ? 'high' : 'low',
        reference,
        identity: parents.at(-1) ?? identity,
        chain,
        remote,
        explanation: `${chainInWords(parents)} tried to pass on to ${ask.to} more than it may: ${message}.`,
      })
    return { ok: false, error: { ...refusal, reference } }
  }
}

function isBelow(delegation: Delegation, by: Delegator): boolean {
  if (by.kind === 'child') return delegation !== by.delegation && path(delegation).includes(by.delegation)
  return delegation.root.identity === by.proof.identity
}

/** As it stands in the audit trail. */
export function lineOf(delegation: Delegation): DelegationLine & { readonly delegation: string } {
  return {
    delegation: delegation.id,
    identity: delegation.identity,
    chain: chainOf(delegation),
    scope: delegation.scope,
    expiresAt: new Date(delegation.expiresAt).toISOString(),
    ...(delegation.user !== undefined && { user: delegation.user }),
  }
}
