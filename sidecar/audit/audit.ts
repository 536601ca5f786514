/** The audit trail: one JSON line per command, per session and per refusal. The fields are described in docs/audit.md. */
import { hash } from 'node:crypto'
import { type Command, describeTouch, type SessionTerms, type Subject } from '@firebreak/policy'
import { type Logger, pino } from 'pino'
import type { CommandAudit } from '../session.ts'
import {
  type CommandLine,
  errorFor,
  type Notices,
  type SessionEnd,
  type SessionLine,
  type SessionStart,
} from './lines.ts'
import { FileSink, StandardOutput } from './sink.ts'
import { Spool } from './spool.ts'
import { AuditWriter, type AuditWriterEvents } from './writer.ts'

/** Version of the lines' form. */
const schemaVersion = 1

export interface SessionIdentity {
  readonly session: string
  readonly subject: Subject
  readonly remoteAddress: string
}

/** What the audit has to know of the commands' language. */
export interface CommandLanguage {
  /** Takes the constants out of a text; the result is the same for all texts of one {@link Command}. */
  readonly normalize: (text: string) => string
  /** Whether a command's constants may be a password or the like, which is not to be written. */
  readonly mayHoldSecret: (command: Command) => boolean
}

/** What is the same for every run of a command. */
interface Described {
  readonly actions: readonly string[]
  readonly objects: readonly string[]
  readonly mayHoldSecret: boolean
  normalized?: string
}

export class Audit {
  readonly #writer: AuditWriter
  readonly #log: Logger
  readonly #language: CommandLanguage
  readonly #described = new WeakMap<Command, Described>()

  /**
   * @param path of a file or a named pipe; undefined is standard output.
   * @throws the system's error when it, or the spool that an earlier process left, can't be opened.
   */
  static async open(
    path: string | undefined,
    language: CommandLanguage,
    events: AuditWriterEvents,
  ): Promise<Audit> {
    if (path === undefined)
      return new Audit(new AuditWriter(new StandardOutput(), undefined, events), language)
    const sink = new FileSink(path)
    const spool = sink.isRegular ? new Spool(`${path}.spool`) : undefined
    if (spool && !spool.empty) await spool.passOver(sink.lastLines())
    return new Audit(new AuditWriter(sink, spool, events), language)
  }

  private constructor(writer: AuditWriter, language: CommandLanguage) {
    this.#writer = writer
    this.#language = language
    this.#log = pino(
      { base: null, timestamp: false, formatters: { level: () => ({ v: schemaVersion }) } },
      this.#writer,
    )
  }

  command(who: SessionIdentity, entry: CommandAudit, policy: SessionTerms['audit']): void {
    const { command, decision, outcome, reference } = entry
    const described = this.#describe(command)
    const full = policy.text === 'full' && !described.mayHoldSecret
    const text = entry.text ?? command.text
    const { chain, resource, role } = who.subject
    // undefined fields are not written; one literal is far cheaper than joining parts
    this.#log.info({
      time: new Date().toISOString(),
      event: 'command',
      reference,
      session: who.session,
      identity: (chain.at(-1) ?? chain[0]).identity,
      chain: chain.length > 1 ? chain.map((link) => link.identity) : undefined,
      resource,
      role,
      text: full ? text : policy.text === 'digest' ? undefined : this.#normalized(command, described),
      parameters: full && entry.parameters && entry.parameters.length > 0 ? entry.parameters : undefined,
      digest: hash('sha256', described.mayHoldSecret ? this.#normalized(command, described) : text),
      actions: described.actions,
      objects: described.objects,
      opaque: command.opaque.length > 0 ? command.opaque : undefined,
      decision: decision.effect,
      policy: decision.rule?.policy,
      rule: decision.rule?.rule,
      reason: decision.effect === 'allow' ? undefined : decision.reason,
      alerts:
        decision.alerts.length > 0
          ? decision.alerts.map((alert) => `${alert.policy}/${alert.rule}`)
          : undefined,
      revision: decision.revision,
      rows: outcome.rows,
      bytes: outcome.bytes,
      masked: outcome.maskedFields.length > 0 ? outcome.maskedFields : undefined,
      milliseconds: Math.round(outcome.milliseconds * 1000) / 1000,
      approval: entry.approval,
      error: errorFor(outcome.error, full),
    } satisfies CommandLine & LineStart)
  }

  session(event: 'session.start', who: SessionIdentity, start: SessionStart): void
  session(event: 'session.end', who: SessionIdentity, end: SessionEnd): void
  session(
    event: 'session.start' | 'session.end',
    who: SessionIdentity,
    more: SessionStart | SessionEnd,
  ): void {
    const { chain, resource, role } = who.subject
    this.#log.info({
      time: new Date().toISOString(),
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
    this.#log.info({ time: new Date().toISOString(), event, ...fields })
  }

  /** @returns undefined while more lines can be taken. */
  ready(policy: SessionTerms['audit']): Promise<void> | undefined {
    return this.#writer.ready(policy.onFailure)
  }

  /** Whether no more lines can be taken now. */
  blocks(onFailure: SessionTerms['audit']['onFailure']): boolean {
    return this.#writer.blocks(onFailure)
  }

  /** @returns how many lines could not be written, not even to the spool. */
  close(): Promise<number> {
    return this.#writer.close()
  }

  #describe(command: Command): Described {
    let described = this.#described.get(command)
    if (!described) {
      const actions = [...new Set(command.touches.map((touch) => touch.action))]
      const objects = [
        ...new Set(command.touches.map((touch) => describeTouch(touch).slice(touch.action.length + 4))),
      ]
      described = { actions, objects, mayHoldSecret: this.#language.mayHoldSecret(command) }
      this.#described.set(command, described)
    }
    return described
  }

  #normalized(command: Command, described: Described): string {
    described.normalized ??= this.#language.normalize(command.text)
    return described.normalized
  }
}

interface LineStart {
  readonly time: string
  readonly event: string
}
