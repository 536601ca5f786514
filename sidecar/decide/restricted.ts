/** What a decision becomes while a signal holds something back from an identity. */
import { type Command, type Decision, mergeApprovals, signalApprovalSeconds } from '@firebreak/policy'
import type { Restriction } from '../approvals/resumptions.ts'
import { inWords } from '../signals/restrictions.ts'

/** Decisions of commands are remembered; so is what becomes of them. */
export class RestrictedDecisions {
  readonly #restriction: Restriction
  readonly #known = new WeakMap<Decision, Decision>()

  constructor(restriction: Restriction) {
    this.#restriction = restriction
  }

  of(command: Command, decision: Decision): Decision {
    let restricted = this.#known.get(decision)
    if (!restricted) {
      restricted = this.#restrict(command, decision)
      this.#known.set(decision, restricted)
    }
    return restricted
  }

  #restrict(command: Command, decision: Decision): Decision {
    const { action, identity, signal, requirement } = this.#restriction
    if (decision.effect === 'deny') return decision
    const { alerts, touchesMasked, revision, matched } = decision
    const common = { rule: requirement.rule, alerts, touchesMasked, revision, matched }
    if (action === 'suspend') return { effect: 'deny', ...common, reason: inWords(this.#restriction) }
    // what comes with having a session reads and changes nothing that is protected
    if (command.opaque.length === 0 && command.touches.every(({ origin }) => origin === 'baseline'))
      return decision
    const own = {
      requirements: [requirement],
      expiresAfterSeconds: signalApprovalSeconds,
      whileWaiting: 'wait',
      boundTo: 'identity',
    } as const
    const { masks, unmasked } = decision
    return {
      effect: 'hold',
      ...common,
      reason: `every command of ${identity} needs approval since signal ${signal}, until a person resumes it`,
      masks,
      ...(unmasked && { unmasked }),
      approval: decision.effect === 'hold' ? mergeApprovals(decision.approval, own) : own,
    }
  }
}
