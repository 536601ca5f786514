/** The audit trail: one JSON line per command, per session and per refusal. The fields are described in docs/audit.md. */
import { hash } from 'node:crypto'
import { type Command, describeTouch, type SessionTerms, type Subject } from '@firebreak/policy'
import { type Logger, pino } from 'pino'
import type { CommandAudit } from '../session.ts'
import { AuditWriter } from './writer.ts'

/** Version of the lines' form. */
const schemaVersion = 1

export interface SessionIdentity {
  readonly session: string
  readonly subject: Subject
  readonly remoteAddress: string
}

export class Audit {
  readonly #writer: AuditWriter
  readonly #log: Logger
  readonly #normalize: (text: string) => string
  /** What is the same for every run of a command. */
  readonly #described = new WeakMap<
    Command,
    { readonly actions: readonly string[]; readonly objects: readonly string[] }
  >()

  /** @param path undefined is standard output. @param normalize takes the constants out of a command's text. */
  constructor(
    path: string | undefined,
    normalize: (text: string) => string,
    onFailure: (error: Error) => void,
  ) {
    this.#writer = new AuditWriter(path, onFailure)
    this.#normalize = normalize
    this.#log = pino(
      { base: null, timestamp: false, formatters: { level: () => ({ v: schemaVersion }) } },
      this.#writer,
    )
  }

  command(who: SessionIdentity, entry: CommandAudit, policy: SessionTerms['audit']): void {
    const { command, decision, outcome, reference } = entry
    const text = entry.text ?? command.text
    const { actions, objects } = this.#describe(command)
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
      text: policy.text === 'full' ? text : policy.text === 'normalized' ? this.#normalize(text) : undefined,
      parameters:
        policy.text === 'full' && entry.parameters && entry.parameters.length > 0
          ? entry.parameters
          : undefined,
      digest: hash('sha256', text),
      actions,
      objects,
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
      error: outcome.error,
    })
  }

  session(
    event: 'session.start' | 'session.end',
    who: SessionIdentity,
    more: Readonly<Record<string, unknown>> = {},
  ): void {
    this.#log.info({
      time: new Date().toISOString(),
      event,
      ...subjectFields(who),
      remote: who.remoteAddress,
      ...more,
    })
  }

  /** Something that is about no session: a refused client, a changed configuration. */
  notice(event: string, fields: Readonly<Record<string, unknown>>): void {
    this.#log.info({ time: new Date().toISOString(), event, ...fields })
  }

  ready(policy: SessionTerms['audit']): Promise<void> | undefined {
    return this.#writer.ready(policy.onFailure)
  }

  /** @returns bytes that could not be written. */
  close(): number {
    return this.#writer.close()
  }

  #describe(command: Command): { readonly actions: readonly string[]; readonly objects: readonly string[] } {
    let described = this.#described.get(command)
    if (!described) {
      const actions = [...new Set(command.touches.map((touch) => touch.action))]
      const objects = [
        ...new Set(command.touches.map((touch) => describeTouch(touch).slice(touch.action.length + 4))),
      ]
      described = { actions, objects }
      this.#described.set(command, described)
    }
    return described
  }
}

function subjectFields({ session, subject }: SessionIdentity): Readonly<Record<string, unknown>> {
  const { chain, resource, role } = subject
  const last = chain.at(-1) ?? chain[0]
  return {
    session,
    identity: last.identity,
    ...(chain.length > 1 && { chain: chain.map((link) => link.identity) }),
    resource,
    role,
  }
}
