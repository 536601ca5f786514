/** Commands that policy holds: people are asked, and the client's message waits for their answer. */
import type { Decision } from '@firebreak/policy'
import type { HoldOutcome } from '../../../session.ts'
import type { StatementAnalysis } from '../analysis/types.ts'
import * as encode from '../codec/encode.ts'
import { isRefused, type Refused } from './admission.ts'
import { estimateFor } from './estimate.ts'
import { type Held, readable } from './held.ts'
import { notApproved } from './refusals.ts'
import type { CommandRun } from './run.ts'
import type { Session } from './session.ts'

interface Answer {
  readonly outcome: HoldOutcome
  readonly canceled: boolean
  /** Of the commands, in order. */
  readonly references: readonly string[]
}

export class Holding {
  readonly #session: Session
  /** To the client's current message, which is looked at again once there is one. */
  #answer: Answer | undefined
  #asking: AbortController | undefined
  #canceled = false

  constructor(session: Session) {
    this.#session = session
  }

  /** People are being asked. */
  get asking(): boolean {
    return this.#asking !== undefined
  }

  /** The client gives up what is held. @returns whether anything was. */
  cancel(): boolean {
    if (!this.#asking) return false
    this.#canceled = true
    this.#asking.abort()
    return true
  }

  /** The session is over. */
  abandon(): void {
    this.#asking?.abort()
  }

  /** An answer is for the message that it was asked for, and for no other. */
  messageIsOver(): void {
    this.#answer = undefined
  }

  /** A command that was held keeps its reference. */
  referenceOf(index: number): string | undefined {
    return this.#answer?.references[index]
  }

  /**
   * Before the commands of a message run.
   *
   * @param held undefined: what they would do is not known well enough to ask about it; they are refused.
   * @returns what has to be waited for: nothing, where nobody has to be asked, or has answered.
   */
  before(
    statements: readonly StatementAnalysis[],
    decisions: readonly Decision[],
    held: () => Held | undefined,
  ): 'wait' | Promise<void> | undefined {
    if (!decisions.some(({ effect }) => effect === 'hold')) return undefined
    if (statements.some((statement, index) => isRefusedAt(statement, decisions[index]))) return undefined
    const outcome = this.#answer?.outcome
    if (outcome?.kind === 'refused' || outcome?.permits(statements.map(({ command }) => command)))
      return undefined
    const asked = held()
    if (!asked) return undefined
    const { operations, groupOpen, toServer } = this.#session
    if (operations.length === 0) return this.#ask(statements, decisions, asked)
    // nobody is asked about what will not run, because something before it fails
    if (groupOpen) toServer.send(encode.flush)
    return 'wait'
  }

  /** What people have said. @returns what the client is told when they have not agreed. */
  answer(held: CommandRun, runs: readonly CommandRun[]): Refused | undefined {
    const outcome = this.#answer?.outcome ?? unasked
    for (const run of runs) if (run.decision.effect === 'hold') run.approval = outcome.request
    if (outcome.kind === 'approved') return undefined
    const canceled = this.#answer?.canceled ?? false
    const error = { code: canceled ? '57014' : '42501', message: outcome.message }
    for (const run of runs) run.finish(error)
    return {
      message: notApproved(held.decision, outcome, canceled, held.reference),
      reference: held.reference,
    }
  }

  async #ask(
    statements: readonly StatementAnalysis[],
    decisions: readonly Decision[],
    { statement, parameters, exactText, parameterTexts }: Held,
  ): Promise<void> {
    const session = this.#session
    const { admission, guarded } = session
    const asking = new AbortController()
    this.#asking = asking
    this.#answer = undefined
    this.#canceled = false
    // should the session end meanwhile, these have their audit lines
    const runs = statements.map((analysis, index) =>
      admission.run(analysis, decisions[index] ?? admission.decide(analysis), exactText, parameterTexts),
    )
    const references = runs.map(({ reference }) => reference)
    const firstHeld = decisions.findIndex(({ effect }) => effect === 'hold')
    const outcome = await this.#outcome(
      statements,
      { statement, parameters },
      references[firstHeld] ?? guarded.reference(),
      asking.signal,
      runs,
    )
    this.#asking = undefined
    if (session.closed) return
    for (const run of runs) run.forget()
    this.#answer = { outcome, canceled: this.#canceled, references }
  }

  async #outcome(
    statements: readonly StatementAnalysis[],
    { statement, parameters }: Pick<Held, 'statement' | 'parameters'>,
    reference: string,
    signal: AbortSignal,
    runs: readonly CommandRun[],
  ): Promise<HoldOutcome> {
    const session = this.#session
    try {
      const estimate = estimateFor(session, statements, statement, parameters.length)
      return await session.guarded.hold({
        reference,
        commands: statements.map(({ command }) => command),
        statement,
        text: readable(statement),
        parameters,
        context: this.#context(statements, statement),
        ...(estimate && { estimate }),
        signal,
        onAsked: (request, message) => {
          for (const run of runs) run.approval = request
          session.notify(message)
        },
      })
    } catch {
      // a bug of ours: the client must not wait for ever, and nothing may run
      return { kind: 'refused', message: 'people could not be asked' }
    }
  }

  /** What else the text depends on. */
  #context(statements: readonly StatementAnalysis[], text: Buffer): string[] {
    const { database, state } = this.#session
    return [
      `database ${database}`,
      `user ${state.currentUser}`,
      `search_path ${state.searchPath?.join(', ') ?? 'unknown'}`,
      ...(state.standardConformingStrings ? [] : ['standard_conforming_strings off']),
      ...(state.clientEncoding === 'UTF8' ? [] : [`client_encoding ${state.clientEncoding}`]),
      ...(statements.some(({ contextual }) => contextual) ? this.#consulted(text) : []),
    ]
  }

  /** Texts of the prepared statements and cursors that take part: a name alone says nothing. They are found by analysing once more. */
  #consulted(text: Buffer): string[] {
    const { state, analyser, prepared } = this.#session
    const { statement, cursor } = state
    const texts = new Set<string>()
    state.statement = (name) => {
      const known = prepared.get(name)
      texts.add(`prepared statement "${name}": ${known ? readable(known.text) : 'unknown'}`)
      return statement(name)
    }
    state.cursor = (name) => {
      texts.add(`cursor "${name}": ${prepared.portal(name)?.analysis?.command.text ?? 'unknown'}`)
      return cursor(name)
    }
    try {
      analyser.analyse(text, state, state.key)
    } finally {
      state.statement = statement
      state.cursor = cursor
    }
    return [...texts]
  }
}

/** The policy has begun to ask after the values were bound, which were not kept. */
const unasked: HoldOutcome = {
  kind: 'refused',
  message: 'the policy has changed since the values were bound',
  hint: 'Send them again.',
}

function isRefusedAt(statement: StatementAnalysis, decision: Decision | undefined): boolean {
  return decision === undefined || isRefused(statement, decision)
}
