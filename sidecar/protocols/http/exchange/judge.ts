/** What a request does and whether it may: asked of policy, and where only the target knows what comes of it, of that as well. */
import type { Command, Decision } from '@firebreak/policy'
import type { GuardedSession, LimitReached, Target } from '../../../session.ts'
import type { Meaning } from '../analysis/meaning.ts'
import type { HttpRequest } from '../request.ts'
import { askTarget } from './asking.ts'
import type { ApiKind, ClientResponse } from './client.ts'
import { limitReached, type Problem } from './problems.ts'
import { type Answer, isOpen, type Question } from './question.ts'
import type { CommandRun } from './run.ts'

export interface Judged {
  readonly command: Command
  readonly decision: Decision
  /** The command has become more by what the target has said. */
  readonly isDerived?: true
  /** As it can turn out to be at most: the target was not asked, as nothing could come of that. */
  readonly worst?: Command
  /** What goes to the target instead of the request, so that no more comes of it than what was decided. */
  readonly sends?: HttpRequest
  /** The target wouldn't do it, and has said so. */
  readonly answer?: Answer
  /** Why the target could not be asked, with the command's reference. */
  readonly unasked?: (reference: string) => Problem
}

interface Asked {
  readonly question: Question
  readonly judged: Judged
  readonly response: ClientResponse
  readonly permits: CommandRun['permits']
}

export class Judge {
  readonly #kind: ApiKind
  readonly #meaning: Meaning
  readonly #session: GuardedSession
  readonly #target: Target
  readonly #upgrades: boolean
  #isAdmitted = false

  constructor(
    { kind, meaning }: { readonly kind: ApiKind; readonly meaning: Meaning },
    session: GuardedSession,
    target: Target,
    upgrades: boolean,
  ) {
    this.#kind = kind
    this.#meaning = meaning
    this.#session = session
    this.#target = target
    this.#upgrades = upgrades
  }

  /**
   * @param response of the client, which may go away while the target is asked.
   * @param permits what people have agreed to.
   */
  async judge(
    request: HttpRequest,
    response: ClientResponse,
    permits?: CommandRun['permits'],
  ): Promise<Judged> {
    const judged = this.byItself(request)
    const question = this.#kind.question?.(request)
    if (!question) return judged
    return isOpen(question, judged.decision, (command) => this.#session.decide(command))
      ? await this.#ask({ question, judged, response, permits })
      : { ...judged, worst: question.worst }
  }

  /** Where a command may not run as it is, but what is less of it may, that is what runs. */
  byItself(request: HttpRequest): Judged {
    const command = this.#meaning.commandOf(request, this.#upgrades)
    const decision = this.#session.decide(command)
    const lesser = decision.effect === 'allow' ? undefined : this.#kind.lesser?.(request)
    if (!lesser) return { command, decision }
    const decided = this.#session.decide(lesser)
    return decided.effect === 'deny' && decision.effect === 'hold'
      ? { command, decision }
      : { command: lesser, decision: decided }
  }

  /** Counts the request, once, before anything of it goes to the target. */
  admit(): LimitReached | undefined {
    if (this.#isAdmitted) return undefined
    const limit = this.#session.admit()
    this.#isAdmitted = limit === undefined
    return limit
  }

  async #ask({ question, judged, response, permits }: Asked): Promise<Judged> {
    const limit = this.admit()
    if (limit) return { ...judged, unasked: (reference) => limitReached(limit, reference) }
    const [session, target] = [this.#session, this.#target]
    const answer = await askTarget({ question, session, target, response })
    if (!answer.ok) return { ...judged, unasked: answer.error }
    const understood = question.understand(answer.value)
    if (understood.kind === 'refused') {
      // it says something of what is there, which is theirs to give
      const isHeld = judged.decision.effect === 'hold' && !permits?.([judged.command])
      return isHeld ? judged : { ...judged, answer: answer.value }
    }
    if (understood.kind === 'unknown') return { ...judged, decision: this.#denied(understood.why) }
    const { command, sends } = understood
    return { command, decision: session.decide(command), isDerived: true, ...(sends && { sends }) }
  }

  #denied(reason: string): Decision {
    const { revision } = this.#session.terms
    return { effect: 'deny', reason, matched: [], alerts: [], touchesMasked: false, revision }
  }
}
