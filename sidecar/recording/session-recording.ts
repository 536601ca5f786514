/** The recording of one session: what happens becomes entries, in the order in which the client sees it. */
import type { RecordingTerms, SessionTerms } from '@firebreak/policy'
import { cutList, cutText } from '../audit/lengths.ts'
import { errorFor } from '../audit/lines.ts'
import type { CommandAudit, RecordedCommand, SessionRecorder } from '../session.ts'
import { type Allowance, Allowances } from './allowance.ts'
import type { CommandEntry, EndEntry, EntryType, LimitEntry, ModeEntry, StartEntry } from './entries.ts'
import type { RecordingWriter } from './writer.ts'

/** In bytes as JSON has them; the audit trail's digest of a text is of all of it. An entry is far below what a writer takes. */
const maximumText = 8 * 1024 * 1024
const maximumParameters = 4 * 1024 * 1024
const maximumColumns = 1024 * 1024
/** Of raw bytes in one entry. */
const maximumPiece = 64 * 1024
const nothing = Buffer.alloc(0)

/** JSON of an outcome without its end: how much is left out of the response isn't known yet. */
type OpenOutcome = string

type Content<Of extends { readonly type: EntryType }> = Omit<Of, 'type'>

/** A command as far as it may be shown. */
export interface ShownCommand {
  /** All that is the same each time the command is decided in this way. */
  readonly decided: Omit<
    Content<CommandEntry>,
    'reference' | 'columns' | 'columnsLeftOut' | 'text' | 'textLeftOut' | 'parameters' | 'parametersLeftOut'
  >
  readonly text: string | undefined
  readonly parameters: readonly (string | null)[] | undefined
  /** Whether messages of errors may be shown, which quote constants. */
  readonly withConstants: boolean
}

export type ShowCommand = (
  command: Omit<RecordedCommand, 'reference'>,
  policy: SessionTerms['audit'],
) => ShownCommand

export class SessionRecording implements SessionRecorder {
  /** Nothing is recorded any more. */
  stopped = false
  answering = false
  /** Resolves when all is written, once it is {@link stopped}. */
  closed: Promise<void> = Promise.resolve()
  readonly writer: RecordingWriter
  readonly #show: ShowCommand
  readonly #onLimit: () => void
  /** Of commands that are answered at once. */
  readonly #concurrent = new WeakMap<object, Allowances>()
  /** Of the command that what comes now is of. */
  #current = new Allowances(undefined)
  #audit: SessionTerms['audit']
  #terms: RecordingTerms
  /** Bytes that have been handed over by {@link response}. */
  #given = 0
  /** Of commands that are over by what the target answered; where that ends is not known yet. */
  readonly #answered: OpenOutcome[] = []
  /** Of commands that are over before they ran; the answers to others may come before theirs. */
  readonly #refused: OpenOutcome[] = []
  /** That come when so many bytes have been given. */
  readonly #placed: { readonly at: number; readonly outcome: OpenOutcome }[] = []

  /** @param onLimit told when the recording has reached its largest size; nothing is recorded from then on. */
  constructor(
    writer: RecordingWriter,
    start: Content<StartEntry>,
    terms: SessionTerms,
    show: ShowCommand,
    onLimit: () => void,
  ) {
    this.writer = writer
    this.#audit = terms.audit
    this.#terms = terms.recording
    this.#show = show
    this.#onLimit = onLimit
    this.#json<StartEntry>('start', start)
  }

  get unplaced(): boolean {
    return this.#answered.length > 0 || this.#refused.length > 0
  }

  get keepsUnmasked(): boolean {
    const { mode, unmasked } = this.#terms
    return unmasked && mode === 'full' && this.writer.keepsUnmasked && !this.stopped
  }

  ready(): Promise<void> | undefined {
    return this.writer.full ? this.writer.drained() : undefined
  }

  /** What the policy says now. */
  change({ audit, recording, revision }: SessionTerms): void {
    const { mode } = this.#terms
    this.#audit = audit
    // what is there already is kept as it was to be
    this.#terms = recording.mode === 'off' ? { ...this.#terms, mode: 'off' } : recording
    if (recording.mode !== mode) this.#json<ModeEntry>('mode', { mode: recording.mode, revision })
  }

  began(recorded: RecordedCommand): void {
    if (this.#terms.mode === 'off') return
    const { decided, text, parameters } = this.#show(recorded, this.#audit)
    // what is the same each time is turned into text once
    let known = decidedTexts.get(decided)
    if (known === undefined) {
      const labels = recorded.command.fields.map(({ label }) => label)
      const { values: columns, leftOut: columnsLeftOut } = cutList(labels, maximumColumns)
      known = JSON.stringify({ ...decided, ...(labels.length > 0 && { columns, columnsLeftOut }) }).slice(1)
      decidedTexts.set(decided, known)
    }
    const shown = text === undefined ? undefined : cutText(text, maximumText)
    const values = parameters && cutList(parameters, maximumParameters)
    let json = `{"reference":"${recorded.reference}",`
    if (shown) json += `"text":${JSON.stringify(shown.text)},`
    if (shown?.leftOut !== undefined) json += `"textLeftOut":${shown.leftOut},`
    if (values) json += `"parameters":${JSON.stringify(values.values)},`
    if (values?.leftOut !== undefined) json += `"parametersLeftOut":${values.leftOut},`
    this.#append('command', json + known)
  }

  turnTo(command: { readonly reference: string }): void {
    let allowances = this.#concurrent.get(command)
    if (!allowances) {
      allowances = new Allowances(command.reference)
      this.#concurrent.set(command, allowances)
    }
    this.#current = allowances
  }

  renew(): void {
    this.#current.renew()
  }

  response(bytes: Buffer, unmasked?: Buffer): void {
    let from = 0
    for (let next = this.#placed[0]; next && next.at <= this.#given + bytes.length; next = this.#placed[0]) {
      const end = next.at - this.#given
      this.#respond(bytes.subarray(from, end))
      this.#finish(next.outcome)
      this.#placed.shift()
      from = end
    }
    // what answers several commands is no masked result
    this.#respond(bytes.subarray(from), from === 0 ? unmasked : undefined)
    this.#given += bytes.length
  }

  input(bytes: Buffer): void {
    // data is made of constants
    if (this.#audit.text === 'full') this.#raw('input', bytes)
  }

  mark(ahead: number, refused: boolean): void {
    for (const outcome of this.#answered) this.#place(outcome, ahead)
    this.#answered.length = 0
    if (!refused) return
    for (const outcome of this.#refused) this.#place(outcome, ahead)
    this.#refused.length = 0
  }

  /** A command is over. Where its response ends, the next {@link mark} says. */
  finished(entry: CommandAudit): void {
    if (this.#terms.mode === 'off') return
    const { reference, outcome, approval } = entry
    const { rows, bytes, maskedFields, milliseconds, error } = outcome
    const shownError = error && errorFor(error, this.#show(shownOf(entry), this.#audit).withConstants)
    const masked = cutList(maskedFields, maximumColumns)
    // by hand: it is made for every command
    let json = `{"reference":"${reference}","rows":${rows},"bytes":${bytes},"milliseconds":${Math.round(milliseconds * 1000) / 1000}`
    if (maskedFields.length > 0) json += `,"masked":${JSON.stringify(masked.values)}`
    if (masked.leftOut !== undefined) json += `,"maskedLeftOut":${masked.leftOut}`
    if (approval !== undefined) json += `,"approval":${JSON.stringify(approval)}`
    if (shownError) json += `,"error":${JSON.stringify(shownError)}`
    const over = this.answering ? this.#answered : this.#refused
    over.push(json)
  }

  /** Under which it is recorded. */
  get terms(): RecordingTerms {
    return this.#terms
  }

  /** The session is over. */
  async end(end: Content<EndEntry>): Promise<void> {
    this.mark(0, true)
    for (const { outcome } of this.#placed) this.#finish(outcome)
    this.#placed.length = 0
    this.#json<EndEntry>('end', end)
    this.#close()
    await this.closed
  }

  /** The place takes nothing any more. */
  async giveUp(): Promise<void> {
    this.stopped = true
    await this.writer.giveUp()
  }

  #place(outcome: OpenOutcome, ahead: number): void {
    if (ahead === 0 && this.#placed.length === 0) this.#finish(outcome)
    else this.#placed.push({ at: this.#given + ahead, outcome })
  }

  #close(): void {
    if (this.stopped) return
    this.stopped = true
    this.closed = this.writer.end()
  }

  #respond(bytes: Buffer, unmasked?: Buffer): void {
    const differs = unmasked && this.keepsUnmasked && !unmasked.equals(bytes)
    if (bytes.length > 0 || differs) this.#raw('response', bytes, differs ? unmasked : undefined)
  }

  #raw(what: 'response' | 'input', bytes: Buffer, unmasked?: Buffer): void {
    const { mode, bytesPerCommand } = this.#terms
    if (mode !== 'full') return
    const allowance = this.#current[what]
    const allowed = allowance.take(bytes.length, bytesPerCommand)
    const keeps = unmasked && this.#takeUnmasked(unmasked, allowed === bytes.length)
    for (let at = 0; at < allowed || (at === 0 && keeps); at += maximumPiece) {
      const piece = bytes.subarray(at, Math.min(allowed, at + maximumPiece))
      // all of it stands in place of the first piece
      this.#append(what, piece, keeps ? (at === 0 ? unmasked : nothing) : undefined, this.#current.of)
    }
    this.#sayCut(allowance)
  }

  /** @returns whether it is kept, which it is only beside a whole response; where the command has had its part, nothing more is. */
  #takeUnmasked({ length }: Buffer, beside: boolean): boolean {
    const allowance = this.#current.unmasked
    const taken = allowance.takeWhole(length, beside ? this.#terms.bytesPerCommand : 0)
    this.#sayCut(allowance)
    return taken
  }

  #sayCut({ justExceeded, what }: Allowance): void {
    if (!justExceeded) return
    const cut = JSON.stringify({ what, limit: this.#terms.bytesPerCommand })
    this.#append('cut', cut, undefined, this.#current.of)
  }

  #finish(outcome: OpenOutcome): void {
    const responseLeftOut = this.#current.response.restart()
    const inputLeftOut = this.#current.input.restart()
    this.#current.unmasked.restart()
    const response = responseLeftOut > 0 ? `,"responseLeftOut":${responseLeftOut}` : ''
    const input = inputLeftOut > 0 ? `,"inputLeftOut":${inputLeftOut}` : ''
    this.#append('outcome', `${outcome}${response}${input}}`)
  }

  #json<Of extends { readonly type: EntryType }>(type: Of['type'], content: Content<Of>): void {
    this.#append(type, JSON.stringify(content))
  }

  #append(type: EntryType, content: Buffer | string, unmasked?: Buffer, of?: string): void {
    if (this.stopped) return
    this.writer.append(type, content, unmasked, of)
    if (this.writer.written > this.#terms.maxBytes) this.#limitReached()
  }

  #limitReached(): void {
    const { maxBytes, onLimit } = this.#terms
    const limit: Content<LimitEntry> = { bytes: maxBytes, session: onLimit === 'end' ? 'ends' : 'continues' }
    this.writer.append('limit', JSON.stringify(limit))
    this.#close()
    this.#onLimit()
  }
}

const decidedTexts = new WeakMap<object, string>()

function shownOf({ command, decision, text, parameters }: CommandAudit): Omit<RecordedCommand, 'reference'> {
  return { command, decision, text, parameters }
}
