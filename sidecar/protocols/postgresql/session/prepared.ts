/** Prepared statements and portals of a session: PREPARE and Parse share one name space, DECLARE and Bind another. */
import type { Analysed, Analyser } from '../analysis/analyser.ts'
import type { SessionEffect, StatementAnalysis } from '../analysis/types.ts'
import type { ResultColumn } from '../codec/server-messages.ts'
import type { CommandRun } from './run.ts'
import type { SessionState } from './state.ts'

export interface Prepared {
  readonly text: Buffer
  /** Made by SQL: the text is that of the PREPARE. */
  readonly bySql: boolean
  analysed: Analysed
  /** The state in which it was analysed. */
  stateKey: string
  columns?: readonly ResultColumn[]
}

export interface Portal {
  readonly analysis: StatementAnalysis
  /** The statement's text, when the analysis stands for another of the same form. */
  readonly text: string | undefined
  readonly resultFormats: readonly number[]
  readonly parameters: readonly (string | null)[]
  columns?: readonly ResultColumn[]
  /** The command, once it has been executed; a suspended portal goes on with it. */
  run?: CommandRun
}

export class PreparedStatements {
  readonly #byName = new Map<string, Prepared>()
  readonly portals = new Map<string, Portal>()
  readonly #analyser: Analyser
  readonly #state: SessionState

  constructor(analyser: Analyser, state: SessionState) {
    this.#analyser = analyser
    this.#state = state
    state.statement = (name) => this.analysis(name)
    state.cursor = (name) => this.portals.get(name)?.analysis
  }

  get(name: string): Prepared | undefined {
    return this.#byName.get(name)
  }

  /** @returns how to take it back. */
  set(name: string, prepared: Prepared): () => void {
    return setting(this.#byName, name, prepared)
  }

  remove(name: string): () => void {
    return setting(this.#byName, name, undefined)
  }

  /**
   * What the statement does now. The server plans a statement anew when names may mean something else, so it is
   * analysed anew as well.
   */
  analysis(name: string): StatementAnalysis | undefined {
    const prepared = this.#byName.get(name)
    if (!prepared) return undefined
    if (prepared.stateKey !== this.#state.key || this.#state.definitionsPending) {
      prepared.analysed = this.#analyser.analyse(prepared.text, this.#state, this.#state.key)
      prepared.stateKey = this.#state.key
    }
    const [first] = prepared.analysed.statements
    if (!prepared.bySql) return first
    const effect = first?.effects.find((candidate) => candidate.kind === 'prepare')
    return effect?.statement ?? first
  }

  /** Portals end with their transaction, but for cursors WITH HOLD, which the server alone knows. */
  transactionEnded(): void {
    for (const [name, portal] of this.portals) {
      if (portal.run || name === '') {
        portal.run?.finish()
        this.portals.delete(name)
      }
    }
  }

  /** @returns how to take the changes back. */
  apply(effects: readonly SessionEffect[], text: Buffer): () => void {
    const undo: (() => void)[] = []
    for (const effect of effects) {
      switch (effect.kind) {
        case 'prepare':
          undo.push(
            this.set(effect.name, {
              text,
              bySql: true,
              analysed: { statements: [effect.statement], byForm: false },
              stateKey: '',
            }),
          )
          break
        case 'deallocate':
          if (effect.name === undefined) this.#byName.clear()
          else undo.push(this.remove(effect.name))
          break
        case 'declareCursor':
          undo.push(
            setting(this.portals, effect.name, {
              analysis: effect.statement,
              text: undefined,
              resultFormats: [],
              parameters: [],
            }),
          )
          break
        case 'closeCursor':
          if (effect.name === undefined) this.portals.clear()
          else undo.push(setting(this.portals, effect.name, undefined))
          break
      }
    }
    return () => {
      for (const step of undo.reverse()) step()
    }
  }
}

function setting<Value>(map: Map<string, Value>, name: string, value: Value | undefined): () => void {
  const before = map.get(name)
  if (value === undefined) map.delete(name)
  else map.set(name, value)
  return () => {
    if (before === undefined) map.delete(name)
    else map.set(name, before)
  }
}
