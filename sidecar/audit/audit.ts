/** The audit trail: one JSON line per command, per session and per refusal. The fields are described in docs/audit.md. */
import { hostname } from 'node:os'
import type { Command, Decision, SessionTerms, Subject } from '@firebreak/policy'
import { type Logger, pino } from 'pino'
import manifest from '../package.json' with { type: 'json' }
import type { ShownCommand } from '../recording/session-recording.ts'
import type { CommandAudit, RecordedCommand } from '../session.ts'
import { Chain, schemaVersion } from './chain.ts'
import { CommandTexts, type TextPolicy } from './command-texts.ts'
import { type CommandLanguage, type DecidedCommand, decided } from './described.ts'
import { FanOut } from './fan-out.ts'
import { cutList, lineLengths, withinLine } from './lengths.ts'
import {
  type CommandLine,
  errorFor,
  type Notices,
  type SessionEnd,
  type SessionLine,
  type SessionStart,
} from './lines.ts'
import type { AuditEvents, OutputEvents } from './outputs.ts'
import type { AuditTarget, RemoteTarget } from './target.ts'
import type { Dropped } from './writer.ts'

export interface SessionIdentity {
  readonly session: string
  readonly subject: Subject
  readonly remoteAddress: string
}

interface Beginning {
  readonly command: Command
  readonly ownText: boolean
  readonly textPolicy: TextPolicy
  readonly log: Logger
}

/** Is told what lines are about, to count or to trace it. */
export interface AuditObserver {
  command(who: SessionIdentity, entry: CommandAudit, policy: SessionTerms['audit']): void
  /** @param who the same object for all that is told of the session. */
  sessionStarted(who: SessionIdentity): void
  sessionEnded(who: SessionIdentity, ended: SessionEnd): void
  notice<Event extends keyof Notices>(event: Event, fields: Notices[Event]): void
}

export class Audit {
  readonly observers: AuditObserver[] = []
  readonly #outputs: FanOut
  readonly #chain: Chain
  readonly #log: Logger
  readonly #texts: CommandTexts
  readonly #beginnings = new WeakMap<Decision, Beginning>()
  readonly #decided = new WeakMap<Decision, { readonly command: Command; readonly decided: DecidedCommand }>()
  /** Whether the line that is made now may be dropped where nothing can take it. */
  #droppable = false
  #ended = false

  /**
   * @param targets each gets every line.
   * @param othersFollow there will be a {@link follow}: those get the lines from the first one on.
   * @throws the system's error when one, or the spool that an earlier process left, can't be opened.
   */
  static async open(
    targets: readonly AuditTarget[],
    language: CommandLanguage,
    events: AuditEvents,
    { othersFollow = false }: { othersFollow?: boolean } = {},
  ): Promise<Audit> {
    let audit: Audit | undefined
    const dropped = (sink: string, what: Dropped): void => {
      // nothing comes after the end of a chain
      if (!audit || audit.#ended) events.failed(new Error(`${sink} never gets ${what.count} lines`))
      else audit.notice('audit.dropped', { sink, ...what })
    }
    const rejected: OutputEvents['rejected'] = (sink, count, known) => {
      // numbers in a line are of its own run
      const own = known.filter(({ source }) => source === audit?.source)
      dropped(sink, { count, lines: own.map(({ seq }) => [seq, seq]) })
    }
    const outputs = await FanOut.open(targets, { ...events, dropped, rejected }, othersFollow)
    audit = new Audit(outputs, language)
    return audit
  }

  private constructor(outputs: FanOut, language: CommandLanguage) {
    const before = outputs.end
    this.#outputs = outputs
    this.#texts = new CommandTexts(language)
    this.#chain = new Chain(before)
    const { source } = this.#chain
    this.#log = pino(
      { base: null, timestamp: timeField, formatters: { level: () => ({ v: schemaVersion, source }) } },
      { write: (line: string) => this.#take(line) },
    )
    this.notice('audit.start', {
      program: manifest.version,
      host: hostname(),
      process: process.pid,
      ...(before && { after: { source: before.source, seq: before.seq } }),
    })
  }

  command(who: SessionIdentity, entry: CommandAudit, policy: SessionTerms['audit']): void {
    const { command, outcome, reference } = entry
    const full = this.#texts.showsConstants(command, policy.text)
    const { chain, resource, role } = who.subject
    const ownText =
      entry.text === undefined ? undefined : this.#texts.inLine(command, policy.text, entry.text)
    const parameters = cutList((full && entry.parameters) || [], lineLengths.parameters)
    const masked = cutList(outcome.maskedFields, lineLengths.masked)
    for (const observer of this.observers) observer.command(who, entry, policy)
    this.#droppable = policy.onFailure === 'drop'
    // undefined fields are not written; one literal is far cheaper than joining parts
    this.#beginning(entry, policy.text).info({
      text: ownText?.text,
      textLeftOut: ownText?.textLeftOut,
      digest: ownText?.digest,
      reference,
      session: who.session,
      identity: (chain.at(-1) ?? chain[0]).identity,
      chain: chain.length > 1 ? chain.map((link) => link.identity) : undefined,
      resource,
      role,
      parameters: parameters.values.length > 0 ? parameters.values : undefined,
      parametersLeftOut: parameters.leftOut,
      rows: outcome.rows,
      bytes: outcome.bytes,
      masked: masked.values.length > 0 ? masked.values : undefined,
      maskedLeftOut: masked.leftOut,
      milliseconds: Math.round(outcome.milliseconds * 1000) / 1000,
      approval: entry.approval,
      error: errorFor(outcome.error, full),
    } satisfies Omit<CommandLine, keyof DecidedCommand | 'digest'> & { digest: string | undefined })
    this.#droppable = false
  }

  /** What a line may show of a command, with all of its text and parameters. `decided` is the same object for the same decision. */
  shown(
    { command, decision, text, parameters }: Omit<RecordedCommand, 'reference'>,
    { text: policy }: SessionTerms['audit'],
  ): ShownCommand {
    const withConstants = this.#texts.showsConstants(command, policy)
    let about = this.#decided.get(decision)
    if (about?.command !== command) {
      about = { command, decided: decided(decision, this.#texts.describe(command)) }
      this.#decided.set(decision, about)
    }
    return {
      decided: about.decided,
      text: this.#texts.shown(command, policy, text ?? command.text),
      parameters: withConstants && parameters && parameters.length > 0 ? parameters : undefined,
      withConstants,
    }
  }

  /** A command's text without its constants, where its line shows a text at all. */
  textWithoutConstants({ command }: CommandAudit, { text }: SessionTerms['audit']): string | undefined {
    return text === 'digest' ? undefined : this.#texts.withoutConstants(command)
  }

  /** Of the run that writes this trail. */
  get source(): string {
    return this.#chain.source
  }

  /**
   * What all lines of a command under one decision begin with is made once. Its text is a part of that, except
   * where the command stands for several texts.
   */
  #beginning({ command, decision, text }: CommandAudit, textPolicy: TextPolicy): Logger {
    const known = this.#beginnings.get(decision)
    const ownText = text !== undefined
    if (known?.command === command && known.ownText === ownText && known.textPolicy === textPolicy)
      return known.log
    const log = this.#log.child({
      event: 'command',
      ...(ownText ? undefined : this.#texts.inLine(command, textPolicy, command.text)),
      ...decided(decision, this.#texts.describe(command)),
    })
    this.#beginnings.set(decision, { command, ownText, textPolicy, log })
    return log
  }

  session(event: 'session.start', who: SessionIdentity, start: SessionStart): void
  session(event: 'session.end', who: SessionIdentity, end: SessionEnd): void
  session(
    event: 'session.start' | 'session.end',
    who: SessionIdentity,
    more: SessionStart | SessionEnd,
  ): void {
    const { chain, resource, role } = who.subject
    for (const observer of this.observers)
      if ('proof' in more) observer.sessionStarted(who)
      else observer.sessionEnded(who, more)
    this.#log.info({
      event,
      session: who.session,
      identity: (chain.at(-1) ?? chain[0]).identity,
      chain: chain.length > 1 ? chain.map((link) => link.identity) : undefined,
      resource,
      role,
      remote: who.remoteAddress,
      ...more,
    } satisfies SessionLine & LineStart)
  }

  /** Something that is about no session: a refused client, a changed configuration. */
  notice<Event extends keyof Notices>(event: Event, fields: Notices[Event]): void {
    for (const observer of this.observers) observer.notice(event, fields)
    this.#log.info({ event, ...fields })
  }

  /** @returns undefined while more lines can be taken. */
  ready({ onFailure }: SessionTerms['audit']): Promise<void> | undefined {
    return this.#outputs.ready(onFailure)
  }

  /** Whether no more lines can be taken now. */
  blocks(onFailure: SessionTerms['audit']['onFailure']): boolean {
    return this.#outputs.blocks(onFailure)
  }

  /** By sink: bytes that it has not got yet. */
  waiting(): Iterable<readonly [string, number]> {
    return this.#outputs.waiting()
  }

  /**
   * Makes the sinks elsewhere be these, besides those that it was opened with: see {@link FanOut.follow}.
   *
   * @throws the system's error when a spool can't be opened.
   */
  async follow(targets: readonly RemoteTarget[]): Promise<void> {
    await this.#outputs.follow(targets)
  }

  /** @returns how many lines could not be written, not even to the spool. */
  async close(): Promise<number> {
    this.#outputs.tellDropped()
    this.notice('audit.end', {})
    this.#ended = true
    return await this.#outputs.close()
  }

  #take(line: string): void {
    const linked = this.#chain.link(withinLine(line))
    this.#outputs.write(linked, this.#droppable ? this.#chain.seq : undefined)
  }
}

let lastTime = 0
let lastTimeField = ''

/** Lines of the same millisecond share it. */
function timeField(): string {
  const now = Date.now()
  if (now !== lastTime) {
    lastTime = now
    lastTimeField = `,"time":"${new Date(now).toISOString()}"`
  }
  return lastTimeField
}

interface LineStart {
  readonly event: string
}
