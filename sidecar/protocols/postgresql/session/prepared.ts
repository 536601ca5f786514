/**
 * Prepared statements and portals of a session by name: PREPARE and Parse share one name space, DECLARE and Bind
 * another.
 */
import type { Analysed, Analyser } from '../analysis/analyser.ts'
import { eitherMeaning } from '../analysis/either.ts'
import type { SessionEffect, StatementAnalysis } from '../analysis/types.ts'
import type { ResultColumn } from '../codec/server-messages.ts'
import { Portal } from './portal.ts'
import type { SessionState } from './state.ts'

export interface Prepared {
  readonly text: Buffer
  /** As the client has declared them; 0 for those that the server is to infer. */
  readonly parameterTypes?: readonly number[]
  /** Made by SQL: the text is that of the PREPARE. */
  readonly bySql: boolean
  analysed: Analysed
  /** The state in which it was analysed. */
  stateKey: string
  /** What it meant at one time or another; undefined while that is one thing. */
  meaning?: StatementAnalysis | undefined
  columns?: readonly ResultColumn[]
}

/** What a message changes if it succeeds; no name means all of them, no value that it is taken away. */
export type NameChange =
  | { readonly of: 'statement'; readonly name: string | undefined; readonly value?: Prepared }
  | { readonly of: 'portal'; readonly name: string | undefined; readonly value?: Portal }

class Names {
  readonly statements: Map<string, Prepared>
  readonly portals: Map<string, Portal>

  constructor(from?: Names) {
    this.statements = new Map(from?.statements)
    this.portals = new Map(from?.portals)
  }

  apply(change: NameChange): void {
    if (change.of === 'statement') put(this.statements, change.name, change.value)
    else put(this.portals, change.name, change.value)
  }
}

function put<Value>(map: Map<string, Value>, name: string | undefined, value: Value | undefined): void {
  if (name === undefined) map.clear()
  else if (value === undefined) map.delete(name)
  else map.set(name, value)
}

/**
 * The client's messages run ahead of the server's answers. What they say about names is looked up in what there
 * will be when all that was sent has succeeded; when something fails, that is made anew from what the server has
 * confirmed and what is still in flight. Any other bookkeeping would let a name mean one thing here and another there.
 */
export class PreparedStatements {
  readonly #confirmed = new Names()
  #sent = new Names()
  readonly #analyser: Analyser
  readonly #state: SessionState

  constructor(analyser: Analyser, state: SessionState) {
    this.#analyser = analyser
    this.#state = state
    state.statement = (name) => this.analysis(name)
    state.cursor = (name) => this.portal(name)?.analysis
  }

  get(name: string): Prepared | undefined {
    return this.#sent.statements.get(name)
  }

  portal(name: string): Portal | undefined {
    return this.#sent.portals.get(name)
  }

  /**
   * What the statement may do. The server plans it anew when what it is about has changed, so it is analysed anew as
   * well; but it keeps its plan when a name only could mean something else by now, so what it meant before still counts.
   */
  analysis(name: string): StatementAnalysis | undefined {
    const prepared = this.get(name)
    if (!prepared) return undefined
    if (prepared.stateKey === this.#state.key && !this.#state.definitionsPending)
      return prepared.meaning ?? meaningOf(prepared)
    prepared.meaning ??= meaningOf(prepared)
    prepared.analysed = this.#analyser.analyse(prepared.text, this.#state, this.#state.key)
    const now = meaningOf(prepared)
    const either = prepared.meaning && now ? eitherMeaning(prepared.meaning, now) : now
    // what can't be told now may be told again in a moment
    const settled = now !== undefined && now.command.opaque.length === 0
    prepared.stateKey = settled ? this.#state.key : ''
    if (settled) prepared.meaning = either
    return either
  }

  /** A message that changes this is on its way. */
  sent(change: NameChange): void {
    this.#sent.apply(change)
  }

  /** The message has succeeded. A portal that is closed or replaced by it ends its command. */
  confirmed(change: NameChange): void {
    if (change.of === 'portal') {
      const { portals } = this.#confirmed
      if (change.name === undefined) for (const portal of portals.values()) portal.run?.finish()
      else portals.get(change.name)?.run?.finish()
    }
    this.#confirmed.apply(change)
  }

  /** Something failed. @param inFlight what of all that was sent may still succeed, in order. */
  failed(inFlight: Iterable<NameChange>): void {
    this.#sent = new Names(this.#confirmed)
    for (const change of inFlight) this.#sent.apply(change)
  }

  /**
   * The server's portals end with their transaction, and with them their commands. Which cursors are WITH HOLD the
   * server alone knows: they stay, and being read on is another command.
   */
  transactionEnded(): void {
    for (const [name, portal] of this.#confirmed.portals) {
      portal.run?.finish()
      if (!portal.byBind) continue
      this.#confirmed.portals.delete(name)
      if (this.#sent.portals.get(name) === portal) this.#sent.portals.delete(name)
    }
  }
}

function meaningOf({ analysed, bySql }: Prepared): StatementAnalysis | undefined {
  const [first] = analysed.statements
  const effect = bySql ? first?.effects.find((candidate) => candidate.kind === 'prepare') : undefined
  return effect?.statement ?? first
}

/** @param text of the command that has the effects. */
export function nameChanges(effects: readonly SessionEffect[], text: string): NameChange[] {
  return effects.flatMap((effect): NameChange[] => {
    switch (effect.kind) {
      case 'prepare': {
        const analysed = { statements: [effect.statement], byForm: false }
        const value: Prepared = { text: Buffer.from(text), bySql: true, analysed, stateKey: '' }
        return [{ of: 'statement', name: effect.name, value }]
      }
      case 'deallocate':
        return [{ of: 'statement', name: effect.name }]
      case 'declareCursor':
        return [{ of: 'portal', name: effect.name, value: new Portal(false, effect.statement) }]
      case 'closeCursor':
        return [{ of: 'portal', name: effect.name }]
      default:
        return []
    }
  })
}
