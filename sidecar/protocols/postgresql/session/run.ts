/** One command on its way through the server: its decision, what came of it, and its audit line. */
import type { Decision, Touch } from '@firebreak/policy'
import type { CommandAudit, GuardedSession } from '../../../session.ts'
import type { StatementAnalysis } from '../analysis/types.ts'
import type { Catalogue } from '../catalogue/types.ts'
import type { ResultColumn } from '../codec/server-messages.ts'
import { CopyMasker, copyProblem } from '../masking/copy.ts'
import { originProblem, spreadMasks } from '../masking/plan.ts'
import { RowMasker } from '../masking/rows.ts'
import type { Exposure } from '../masking/scrub.ts'
import type { NameChange } from './prepared.ts'

export interface RunError {
  readonly code: string
  readonly message: string
}

/** By the monotonic clock. */
export interface Arrival {
  /** When the command's bytes came. */
  readonly receivedAt: number
  /** When it was known what it does; before that for a statement that was prepared earlier. */
  readonly analysedAt: number
}

export class CommandRun {
  readonly analysis: StatementAnalysis
  readonly decision: Decision
  readonly reference: string
  /** Name of the request by which people agreed, or did not. */
  approval: string | undefined
  readonly parameters: CommandAudit['parameters']
  /** The first row of an execute has been seen. */
  begun = false
  rows = 0
  bytes = 0
  /** Rewrites rows; undefined while they pass as they are. */
  rowMasker: RowMasker | undefined
  copyMasker: CopyMasker | undefined
  error: RunError | undefined
  /** Set when the gateway itself ended the command, to answer for it instead of the server. */
  ended: Buffer | undefined
  timer: NodeJS.Timeout | undefined
  /** What it changes among statements and portals when it succeeds. */
  changes: readonly NameChange[] = none
  /** It goes to the server. */
  sent = false
  /** Its portal stopped at the number of rows that the client had asked for. */
  suspended = false
  readonly #session: GuardedSession
  /** All that have no audit line yet. */
  readonly #unfinished: Set<CommandRun>
  readonly #text: string | undefined
  readonly #startedAt = performance.now()
  readonly #receivedAt: number
  readonly #analysedAt: number
  #masked: readonly string[] = []

  /**
   * @param text where the analysis stands for another text of the same form.
   * @param arrival absent: what it goes on with came before.
   */
  constructor(
    session: GuardedSession,
    unfinished: Set<CommandRun>,
    analysis: StatementAnalysis,
    decision: Decision,
    text: string | undefined,
    parameters?: CommandAudit['parameters'],
    reference = session.reference(),
    arrival?: Arrival,
  ) {
    this.#receivedAt = arrival?.receivedAt ?? this.#startedAt
    this.#analysedAt = arrival?.analysedAt ?? 0
    this.#session = session
    this.analysis = analysis
    this.decision = decision
    this.reference = reference
    this.#text = text
    this.parameters = parameters
    this.#unfinished = unfinished
    unfinished.add(this)
    session.recorder?.began({ reference, command: analysis.command, decision, text, parameters })
  }

  /** The same command when its portal is executed once more after it was over. */
  again(): CommandRun {
    const another = new CommandRun(
      this.#session,
      this.#unfinished,
      this.analysis,
      this.decision,
      this.#text,
      this.parameters,
    )
    another.sent = true
    return another
  }

  get finished(): boolean {
    return !this.#unfinished.has(this)
  }

  get masks(): boolean {
    return this.decision.effect !== 'deny' && this.decision.masks.length > 0
  }

  /** Messages of a COPY that look like rows and are none: the line of names, the end of the binary format. */
  get extraRows(): number {
    const { copy } = this.analysis
    return copy && (copy.header || copy.format === 'binary') ? 1 : 0
  }

  /** What the server may quote when it says something about the command. */
  get exposure(): Exposure {
    if (this.decision.touchesMasked) return 'data'
    const runsCode = ({ action, origin }: Touch): boolean => action === 'sql:call' && origin === 'implied'
    return this.analysis.command.touches.some(runsCode) && this.#session.terms.masks ? 'code' : 'nothing'
  }

  /**
   * The columns of the result are known.
   *
   * @returns why the result can't be masked with certainty; nothing of it may pass then.
   */
  begin(columns: readonly ResultColumn[], catalogue: Catalogue): string | undefined {
    const { decision, analysis } = this
    if (decision.effect === 'deny') return 'the command was refused'
    if (!this.#session.terms.masks && !this.masks && this.#session.terms.detectors.length === 0)
      return undefined
    const problem = originProblem(columns, analysis, catalogue)
    if (problem !== undefined) return problem
    const masks = spreadMasks(decision.masks, columns.length, analysis.shapeUnknown)
    if (masks === undefined) return 'the result has other columns than the analysis expected'
    const { detectors } = this.#session.terms
    const copies = columns.map(
      (_, index) => analysis.command.fields[analysis.shapeUnknown ? 0 : index]?.derivation === 'copy',
    )
    if (masks.some((mask) => mask !== undefined) || detectors.length > 0)
      this.rowMasker = new RowMasker(columns, masks, copies, this.#session.maskKey, detectors, catalogue)
    this.#masked = columns.flatMap((column, index) => (masks[index] ? [column.name] : []))
    return undefined
  }

  /** COPY sends rows without describing them. */
  beginCopy(columnCount: number, binary: boolean, catalogue: Catalogue): string | undefined {
    const { decision, analysis } = this
    if (decision.effect === 'deny' || analysis.copy?.direction !== 'out')
      return 'the server sends rows that the analysis did not expect'
    const { detectors } = this.#session.terms
    if (!this.masks && detectors.length === 0) return undefined
    const masks = spreadMasks(decision.masks, columnCount, analysis.shapeUnknown)
    if (masks === undefined) return 'the result has other columns than the analysis expected'
    if (binary !== (analysis.copy.format === 'binary'))
      return 'the rows come in another format than the analysis expected'
    const problem = copyProblem(analysis.copy, analysis, masks, detectors.length > 0, catalogue)
    if (problem !== undefined) return problem
    const key = this.#session.maskKey
    this.copyMasker = new CopyMasker(analysis.copy, analysis, masks, detectors, key, catalogue)
    this.#masked = analysis.command.fields.flatMap((field, index) => (masks[index] ? [field.label] : []))
    return undefined
  }

  /** It is looked at again, as another run with the same reference. */
  forget(): void {
    this.#unfinished.delete(this)
  }

  /** The client has read as many rows as it asked for, and may go on. */
  stopped(): void {
    this.suspended = true
    clearTimeout(this.timer)
  }

  /** Writes the audit line; only the first call counts. */
  finish(error?: RunError): void {
    if (!this.#unfinished.delete(this)) return
    clearTimeout(this.timer)
    const outcomeError = this.error ?? error
    this.#session.audit({
      reference: this.reference,
      command: this.analysis.command,
      decision: this.decision,
      outcome: {
        rows: this.rows,
        bytes: this.bytes,
        maskedFields: this.#masked,
        milliseconds: performance.now() - this.#startedAt,
        // what people took is in between
        ...(this.approval === undefined && { addedMilliseconds: this.#startedAt - this.#receivedAt }),
        analysisMilliseconds:
          this.#analysedAt > this.#receivedAt ? this.#analysedAt - this.#receivedAt : undefined,
        sent: this.sent,
        ...(outcomeError && { error: outcomeError }),
      },
      ...(this.#text !== undefined && { text: this.#text }),
      ...(this.parameters && { parameters: this.parameters }),
      ...(this.approval !== undefined && { approval: this.approval }),
    })
  }
}

const none: readonly NameChange[] = []
