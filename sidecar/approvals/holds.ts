/** Held commands: who waits for which request, and who may go. */
import type { ApprovalRequest } from '@firebreak/crds'
import {
  type ApprovalTerms,
  type Command,
  type Decision,
  mergeApprovals,
  type Subject,
} from '@firebreak/policy'
import { SlidingWindow } from '../limits/sliding-window.ts'
import type { HeldCommand, HoldOutcome } from '../session.ts'
import { commandDigest } from './digest.ts'
import type { Entry } from './entry.ts'
import type { Registry } from './registry.ts'
import { bindingOf, commandRequest, type Described, describeCommands, inTime, tooLong } from './request.ts'
import { asksFor, inWords, unmet } from './requirements.ts'

/** What of a session a hold needs. */
export interface HoldingSession {
  readonly id: string
  readonly subject: Subject
  readonly signal: AbortSignal
  decide(command: Command): Decision
}

export interface HoldLimits {
  /** Open requests of one identity. */
  readonly open: number
  /** New requests of one identity within a minute: people can't look at more, and each is written to disk. */
  readonly perMinute: number
}

/** Denials that nobody was there to hear are told to the next who asks; the youngest so many. */
const maximumUntold = 1_000

type Refused = Extract<HoldOutcome, { kind: 'refused' }>

export class Holds {
  readonly #registry: Registry
  readonly #limits: HoldLimits
  readonly #made = new Map<string, SlidingWindow>()
  readonly #untold = new Map<string, ApprovalRequest>()
  /** The runner stops: requests stay as they are for the next one. */
  stopping = false

  constructor(registry: Registry, limits: HoldLimits) {
    this.#registry = registry
    this.#limits = limits
  }

  /** @param agentUser the user of the system that the agent runs as, where that tells it apart from its approvers. */
  async hold(
    session: HoldingSession,
    held: HeldCommand,
    agentUser: string | undefined,
  ): Promise<HoldOutcome> {
    const signal = AbortSignal.any([held.signal, session.signal])
    try {
      return await this.#hold(session, held, agentUser, signal)
    } catch (error) {
      return refused(
        `the approval could not be recorded: ${error instanceof Error ? error.message : String(error)}`,
      )
    }
  }

  /** A request was decided while nobody waited: whoever comes back for it is told once. */
  decided(request: ApprovalRequest, binding: string): void {
    this.#untold.set(binding, request)
    const [oldest] = this.#untold.keys()
    if (this.#untold.size > maximumUntold && oldest !== undefined) this.#untold.delete(oldest)
  }

  async #hold(
    session: HoldingSession,
    held: HeldCommand,
    agentUser: string | undefined,
    signal: AbortSignal,
  ): Promise<HoldOutcome> {
    const described = describeCommands(held.commands)
    const long = tooLong(held, described)
    if (long !== undefined) return refused(`nobody could see the command whole to approve it: ${long}`)
    const digest = commandDigest(held)
    let estimate: { readonly effect: string | undefined } | undefined
    let asked: Entry | undefined
    for (;;) {
      if (signal.aborted) return this.#leave(asked, held)
      const terms = termsNow(session, held.commands)
      if (!terms) return this.#overtaken(asked)
      const bound = terms.boundTo === 'session' ? session.id : undefined
      const binding = bindingOf(session.subject, bound, digest, described)
      const denial = this.#untold.get(binding)
      if (denial && !asked) {
        this.#untold.delete(binding)
        return outcomeOf(denial)
      }
      const entry = this.#registry.boundTo(binding)
      if (entry && this.#outdated(entry, terms, agentUser)) continue
      if (entry?.state === 'Approved') {
        if (await this.#registry.use(entry, signal)) return this.#approved(session, entry, described)
        if (entry === asked && entry.lapses.passed)
          return refused(`approvalrequest/${entry.name} expired before it could be used`, undefined, entry)
        this.#registry.sweep()
        continue
      }
      if (!entry && held.estimate && !estimate) {
        estimate = { effect: await held.estimate().catch(() => undefined) }
        continue
      }
      const waiting = entry ?? (await this.#ask(session, held, terms, described, estimate?.effect))
      if ('kind' in waiting) return waiting
      if (agentUser !== undefined) waiting.askers.add(agentUser)
      if (waiting !== asked) held.onAsked(waiting.name, whatIsAsked(waiting))
      asked = waiting
      if (terms.whileWaiting === 'fail') return pending(waiting)
      // it may have been decided while it was written
      if (waiting.state === 'Pending') await waiting.changed(signal)
      const { state } = waiting
      if (state === 'Denied' || state === 'Expired') return outcomeOf(waiting.request)
    }
  }

  /** An approval by people that the policy in force does not take for enough is worth nothing. */
  #outdated(entry: Entry, terms: ApprovalTerms, agentUser: string | undefined): boolean {
    // what the one who asks has approved itself, while nobody waited, is no approval
    const votes = (entry.request.status?.approvals ?? []).filter(({ user }) => user !== agentUser)
    const enough =
      entry.state === 'Approved'
        ? unmet(terms.requirements, votes).length === 0
        : asksFor(entry.request, terms.requirements)
    if (enough) return false
    this.#registry.end(entry, 'Withdrawn', 'withdrawn', 'those who agreed are not those whom the policy asks')
    return true
  }

  async #ask(
    session: HoldingSession,
    held: HeldCommand,
    terms: ApprovalTerms,
    described: Described,
    estimate: string | undefined,
  ): Promise<Entry | Refused> {
    const { subject } = session
    const tooMany = this.#tooMany(subject)
    if (tooMany !== undefined) return refused(tooMany, 'Wait until some of them are decided or have expired.')
    const asking = { subject, session: session.id, terms, now: this.#registry.now }
    const request = commandRequest(asking, held, described, estimate)
    const entry = await this.#registry.add(request)
    this.#registry.tell('requested', request, { reference: held.reference })
    return entry
  }

  #tooMany({ chain }: Subject): string | undefined {
    const { identity } = chain.at(-1) ?? chain[0]
    const [namespace = '', name = ''] = identity.split('/')
    const { open, perMinute } = this.#limits
    if (this.#registry.countOf(namespace, name) >= open)
      return `${identity} has ${open} open approval requests, and that is the most it may have`
    const made = this.#made.get(identity) ?? new SlidingWindow(60_000)
    this.#made.set(identity, made)
    const now = this.#registry.clock.monotonic()
    if (made.total(now) >= perMinute)
      return `${identity} has made ${perMinute} approval requests within a minute, and that is the most it may make`
    made.add(1, now)
    return undefined
  }

  #approved(session: HoldingSession, { request, name }: Entry, described: Described): HoldOutcome {
    const votes = request.status?.approvals ?? []
    return {
      kind: 'approved',
      request: name,
      permits: (commands) => {
        const terms = termsNow(session, commands)
        return (
          terms !== undefined &&
          unmet(terms.requirements, votes).length === 0 &&
          JSON.stringify(describeCommands(commands)) === JSON.stringify(described)
        )
      },
    }
  }

  /** The one who asked is gone, and whoever else asks for the same goes on waiting. */
  #leave(asked: Entry | undefined, held: HeldCommand): Refused {
    if (asked && !asked.awaited && !this.stopping && this.#registry.isOwn(asked))
      this.#registry.end(
        asked,
        'Withdrawn',
        'withdrawn',
        held.signal.aborted ? 'the client gave up' : 'its session ended',
      )
    return refused('canceled while it was held for approval', undefined, asked)
  }

  /** The policy was changed meanwhile: it needs nobody's approval, or none will help. */
  #overtaken(asked: Entry | undefined): Refused {
    if (asked && !asked.awaited)
      this.#registry.end(asked, 'Withdrawn', 'withdrawn', 'the policy has changed, and asks nobody any more')
    return refused('the policy has changed while it was held for approval', undefined, asked)
  }
}

/** What the policy in force asks for commands that run together; undefined when it denies or asks nobody. */
function termsNow(session: HoldingSession, commands: readonly Command[]): ApprovalTerms | undefined {
  let terms: ApprovalTerms | undefined
  for (const command of commands) {
    const decision = session.decide(command)
    if (decision.effect === 'deny') return undefined
    if (decision.effect === 'hold')
      terms = terms ? mergeApprovals(terms, decision.approval) : decision.approval
  }
  return terms
}

function whatIsAsked({ name, request, lapses }: Entry): string {
  return `held for approval as approvalrequest/${name} (approvers: ${inWords(request.spec.requirements)}, expires in ${inTime(lapses.remaining)})`
}

function pending(entry: Entry): Refused {
  return refused(
    `pending approval as approvalrequest/${entry.name}`,
    `Approvers: ${inWords(entry.request.spec.requirements)}. Run the same command again once it is approved; it expires in ${inTime(entry.lapses.remaining)}.`,
    entry,
  )
}

function outcomeOf({ metadata: { name }, status }: ApprovalRequest): Refused {
  if (status?.state !== 'Denied')
    return {
      kind: 'refused',
      request: name,
      message: `approvalrequest/${name} expired before it was decided`,
    }
  const denial = status.approvals?.find(({ decision }) => decision === 'Denied')
  const why = denial?.reason === undefined ? '' : `: ${denial.reason}`
  return {
    kind: 'refused',
    request: name,
    message: `approvalrequest/${name} was denied by ${denial?.user ?? 'an approver'}${why}`,
  }
}

function refused(message: string, hint?: string, asked?: Entry): Refused {
  return {
    kind: 'refused',
    message,
    ...(hint !== undefined && { hint }),
    ...(asked && { request: asked.name }),
  }
}
