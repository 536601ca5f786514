/** What every command passes before it may run: analysis, decision and limits. */
import type { Decision } from '@firebreak/policy'
import type { Analysed } from '../analysis/analyser.ts'
import type { StatementAnalysis } from '../analysis/types.ts'
import type { Portal } from './portal.ts'
import { nameChanges } from './prepared.ts'
import { commandTooLong, limitReached, refusedCommand } from './refusals.ts'
import { CommandRun } from './run.ts'
import type { Session } from './session.ts'

/** What a client hears instead, and the reference by which it is found in the audit trail. */
export interface Refused {
  readonly message: Buffer
  readonly reference: string
}

export class Admission {
  readonly #session: Session
  /** A text named something unknown, and the catalogue has been read again for it. */
  #refreshedFor: Buffer | undefined

  constructor(session: Session) {
    this.#session = session
  }

  /**
   * A text may be analysed when the state is known: nothing that could change it is in flight from before this
   * pipeline, and no question is open. Inside a pipeline what was predicted holds, or the text will not run; so
   * whatever message begins one has to wait until all is known.
   *
   * @returns what has to be waited for.
   */
  unsettled(): 'wait' | Promise<void> | undefined {
    const session = this.#session
    if (session.groupOpen) return undefined
    const question = session.state.question()
    if (question === undefined && session.effectsInFlight === 0) return undefined
    if (session.operations.length > 0) return 'wait'
    return question === undefined ? undefined : session.settle()
  }

  analyse(text: Buffer): Analysed {
    const { analyser, state } = this.#session
    const analysed = analyser.analyse(text, state, state.key)
    this.#session.analysedAt = performance.now()
    state.used()
    return analysed
  }

  decide(analysis: StatementAnalysis): Decision {
    return this.#session.guarded.decide(analysis.command)
  }

  /** An unknown name may be new: the catalogue is read again, once per text. */
  mayBeNew(statements: readonly StatementAnalysis[], text: Buffer): Promise<void> | undefined {
    const session = this.#session
    const unknown = statements.some(
      (statement) => statement.serverError?.code.startsWith('42') && statement.serverError.code !== '42601',
    )
    if (!unknown || this.#refreshedFor?.equals(text) || session.operations.length > 0 || session.groupOpen)
      return undefined
    this.#refreshedFor = Buffer.from(text)
    session.state.catalogueInDoubt()
    return session.settle()
  }

  /**
   * @param text where the analysis stands for another text of the same form.
   * @param index among the commands of the message.
   */
  run(
    analysis: StatementAnalysis,
    decision: Decision,
    text: string | undefined,
    parameters?: Portal['parameters'],
    index = 0,
  ): CommandRun {
    const { guarded, unfinished, holding } = this.#session
    const reference = holding.referenceOf(index)
    return new CommandRun(guarded, unfinished, analysis, decision, text, parameters, reference, this.#session)
  }

  /** @returns what to say when not all of the commands may run; each then has its audit line. */
  refuse(runs: readonly CommandRun[]): Refused | undefined {
    const { guarded } = this.#session
    const denied = runs.find(({ analysis, decision }) => isRefused(analysis, decision))
    if (denied) return refuseFor(denied, runs)
    const held = runs.find(({ decision }) => decision.effect === 'hold')
    const refused = held && this.#session.holding.answer(held, runs)
    if (refused) return refused
    for (const run of runs) {
      const limit = guarded.admit()
      if (!limit) continue
      for (const other of runs) other.finish({ code: '54000', message: limit.message })
      return { message: limitReached(limit, run.reference), reference: run.reference }
    }
    for (const run of runs) {
      run.sent = true
      this.limitTime(run)
    }
    return undefined
  }

  limitTime(run: CommandRun): void {
    const { commandSeconds: seconds } = this.#session.guarded.terms.limits
    if (seconds === undefined) return
    run.timer = setTimeout(() => {
      run.ended = commandTooLong(seconds, run.reference)
      run.error = { code: '57014', message: `ran longer than ${seconds} s` }
      this.#session.cancelRunning()
    }, seconds * 1_000)
    run.timer.unref()
  }

  /** What follows is analysed as if the command had succeeded. @returns whether it has effects. */
  predict(run: CommandRun): boolean {
    const { state, prepared } = this.#session
    const { effects, command } = run.analysis
    if (effects.length > 0) {
      run.changes = [...run.changes, ...nameChanges(effects, command.text)]
      state.predict(effects)
    }
    for (const change of run.changes) prepared.sent(change)
    return effects.length > 0
  }
}

/** Whether a command is refused at once: nobody is asked about one that can only fail. */
export function isRefused({ serverError }: StatementAnalysis, { effect }: Decision): boolean {
  return effect === 'deny' || (effect === 'hold' && serverError !== undefined)
}

function refuseFor(denied: CommandRun, runs: readonly CommandRun[]): Refused {
  const { serverError } = denied.analysis
  for (const run of runs)
    run.finish(
      run === denied
        ? { code: serverError?.code ?? '42501', message: serverError?.message ?? denied.decision.reason }
        : { code: '25P02', message: 'not run, because another command of the same message was refused' },
    )
  return {
    message: refusedCommand(denied.decision, denied.analysis, denied.reference),
    reference: denied.reference,
  }
}
