/**
 * Sessions and commands as OpenTelemetry spans. They are made when something is over, from what the audit is told of it:
 * who wants none pays for none.
 */
import type { QualifiedName, ResourceType, SessionTerms } from '@firebreak/policy'
import type { AuditObserver, SessionIdentity } from '../audit/audit.ts'
import type { SessionEnd } from '../audit/lines.ts'
import type { CommandAudit, HoldOutcome } from '../session.ts'
import { commandSpans, type Hold, type Place } from './command-spans.ts'
import type { SpanExporter } from './exporter.ts'
import type { TraceLanguage } from './language.ts'
import { aboutSession } from './session-span.ts'
import type { TraceTarget } from './target.ts'
import { newSpanId, newTraceId, type SpanContext } from './trace-context.ts'

export interface TraceSources {
  /** Where a resource is; undefined when it is gone. */
  readonly placeOf: (resource: QualifiedName) => Place | undefined
  readonly languages: Partial<Record<ResourceType, TraceLanguage>>
  /** A command's text as its audit line has it, in any case without constants. */
  readonly textOf: (entry: CommandAudit, policy: SessionTerms['audit']) => string | undefined
}

interface OpenSession {
  readonly context: SpanContext
  readonly start: number
}

export class Traces implements AuditObserver, AsyncDisposable {
  readonly #sources: TraceSources
  readonly #exporter: SpanExporter
  /** As it was said. */
  readonly target: TraceTarget
  readonly #sessions = new WeakMap<SessionIdentity, OpenSession>()
  /** By the reference of the command; gone when its outcome is known. */
  readonly #holds = new Map<string, Hold>()

  constructor(exporter: SpanExporter, target: TraceTarget, sources: TraceSources) {
    this.#exporter = exporter
    this.target = target
    this.#sources = sources
  }

  /** Sends what waits, for a moment. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#exporter[Symbol.asyncDispose]()
  }

  sessionStarted(who: SessionIdentity): void {
    if (!this.#isSampled()) return
    this.#sessions.set(who, { context: { traceId: newTraceId(), spanId: newSpanId() }, start: now() })
  }

  sessionEnded(who: SessionIdentity, ended: SessionEnd): void {
    const session = this.#sessions.get(who)
    if (!session) return
    this.#exporter.add([
      {
        ...session,
        name: `session ${who.subject.resource}`,
        kind: 'server',
        end: now(),
        attributes: {
          ...aboutSession(who),
          'client.address': who.remoteAddress,
          'firebreak.commands': ended.commands,
          'firebreak.reason': ended.reason,
        },
        failed: ended.reason !== undefined,
      },
    ])
  }

  /** A command waits for people. @returns what is to be told what came of it. */
  holding(reference: string): (outcome: HoldOutcome) => void {
    const start = now()
    return ({ kind, request }) => this.#holds.set(reference, { start, end: now(), kind, request })
  }

  /** A trace of its own for each: a session may be open for days. */
  command(who: SessionIdentity, entry: CommandAudit, policy: SessionTerms['audit']): void {
    const hold = this.#holds.size === 0 ? undefined : this.#holds.get(entry.reference)
    if (hold) this.#holds.delete(entry.reference)
    if (!this.#isSampled()) return
    this.#exporter.add(
      commandSpans({
        who,
        entry,
        end: now(),
        hold,
        language: this.#sources.languages[entry.command.resourceType],
        place: this.#sources.placeOf(who.subject.resource),
        text: this.#sources.textOf(entry, policy),
        session: this.#sessions.get(who)?.context,
      }),
    )
  }

  notice(): void {}

  #isSampled(): boolean {
    const { share } = this.target
    return share === 1 || Math.random() < share
  }
}

let ahead = 0

/** In whole microseconds since 1970: the monotonic clock, put right where the machine's has been set. */
function now(): number {
  const monotonic = performance.timeOrigin + performance.now()
  if (Math.abs(Date.now() - monotonic - ahead) > 100) ahead = Date.now() - monotonic
  return Math.round((monotonic + ahead) * 1_000)
}
