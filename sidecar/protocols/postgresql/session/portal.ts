/** A portal: what Bind and DECLARE make, and Execute and FETCH read. */
import type { StatementAnalysis } from '../analysis/types.ts'
import type { ResultColumn } from '../codec/server-messages.ts'
import type { Held } from './held.ts'
import type { CommandRun } from './run.ts'

export class Portal {
  /** Whether Bind made it. A cursor of DECLARE may be WITH HOLD and outlive its transaction. */
  readonly byBind: boolean
  /** Undefined: of an empty text, which does nothing. */
  readonly analysis: StatementAnalysis | undefined
  /** The statement's text, when the analysis stands for another of the same form. */
  readonly text: string | undefined
  readonly parameters: readonly (string | null)[]
  columns: readonly ResultColumn[] | undefined
  /** What people are asked about, where policy holds what it does. */
  held: Held | undefined
  /** The command that reads it; one that stopped at a number of rows goes on when the portal is executed again. */
  run: CommandRun | undefined

  constructor(
    byBind: boolean,
    analysis: StatementAnalysis | undefined,
    text?: string,
    parameters: readonly (string | null)[] = [],
  ) {
    this.byBind = byBind
    this.analysis = analysis
    this.text = text
    this.parameters = parameters
    this.columns = undefined
    this.held = undefined
    this.run = undefined
  }
}
