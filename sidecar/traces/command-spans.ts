/** One command as spans: the whole, and as its parts the analysis, the decision, the wait for people and the target's answer. */
import type { SessionIdentity } from '../audit/audit.ts'
import type { CommandAudit, HoldOutcome } from '../session.ts'
import type { TraceLanguage } from './language.ts'
import { aboutSession } from './session-span.ts'
import type { Span } from './span.ts'
import { newSpanId, newTraceId, readTraceParent, type SpanContext } from './trace-context.ts'

/** How long people were asked, and what came of it. In microseconds since 1970. */
export interface Hold {
  readonly kind: HoldOutcome['kind']
  readonly request: string | undefined
  readonly start: number
  readonly end: number
}

/** Of a protected system. */
export interface Place {
  readonly host: string
  readonly port: number
  readonly database?: string | undefined
}

export interface TracedCommand {
  readonly who: SessionIdentity
  readonly entry: CommandAudit
  /** In microseconds since 1970. */
  readonly end: number
  readonly hold: Hold | undefined
  readonly language: TraceLanguage | undefined
  readonly place: Place | undefined
  /** Without constants. */
  readonly text: string | undefined
  /** Of the session's span, if it has one. */
  readonly session: SpanContext | undefined
}

/** Longer texts are cut. In characters. */
const maximumText = 2_048
/** Of the actions of one command. */
const maximumActions = 32

interface Part extends Pick<Span, 'name' | 'kind' | 'start' | 'end'> {
  readonly attributes?: Span['attributes']
  readonly failed?: boolean
}

export function commandSpans(command: TracedCommand): readonly Span[] {
  const { entry, end, hold, language, session } = command
  const { outcome } = entry
  // when it was decided for the last time, which after a hold is the one that counts
  const decided = end - microseconds(outcome.milliseconds)
  const arrived = hold?.start ?? decided - microseconds(outcome.addedMilliseconds ?? 0)
  const parts = [...partsBefore(command, arrived, decided), ...answer(command, decided)]
  const claim = entry.traceParent ?? language?.claimedParent?.(entry.text ?? entry.command.text)
  const claimed = claim === undefined ? undefined : readTraceParent(claim)
  const context = { traceId: claimed?.traceId ?? newTraceId(), spanId: newSpanId() }
  return [
    {
      context,
      parent: claimed?.spanId,
      links: session && [session],
      name: `command ${describe(command).name}`,
      kind: 'server',
      start: arrived,
      end,
      attributes: about(command, claimed !== undefined),
      failed: outcome.error !== undefined,
    },
    ...parts.map(
      (part): Span => ({
        attributes: {},
        failed: false,
        ...part,
        context: { ...context, spanId: newSpanId() },
        parent: context.spanId,
      }),
    ),
  ]
}

function partsBefore({ entry, hold }: TracedCommand, arrived: number, decided: number): Part[] {
  if (hold) {
    const { kind, request } = hold
    const attributes = { 'firebreak.hold.outcome': kind, 'firebreak.approval': request }
    return [{ name: 'hold', kind: 'internal', start: hold.start, end: hold.end, attributes }]
  }
  const { addedMilliseconds, analysisMilliseconds } = entry.outcome
  if (addedMilliseconds === undefined) return []
  const analysed = arrived + microseconds(analysisMilliseconds ?? 0)
  return [
    // of a prepared statement it was done before
    ...(analysisMilliseconds === undefined
      ? []
      : [{ name: 'analysis', kind: 'internal', start: arrived, end: analysed } as const]),
    { name: 'decision', kind: 'internal', start: analysed, end: decided },
  ]
}

/** As a client of the protected system would have it. */
function answer(command: TracedCommand, decided: number): Part[] {
  const { entry, end, language, place, text } = command
  const { outcome } = entry
  if (!outcome.sent) return []
  const { name, attributes } = describe(command)
  return [
    {
      name,
      kind: 'client',
      start: decided,
      end,
      attributes: {
        ...attributes,
        'db.namespace': place?.database,
        'server.address': place?.host,
        'server.port': place?.port,
        ...named(language?.textAttribute, text?.slice(0, maximumText)),
        ...named(language?.rowsAttribute, outcome.rows),
        ...language?.status?.(outcome),
        'error.type': outcome.error?.code,
      },
      failed: outcome.error !== undefined,
    },
  ]
}

function about({ who, entry }: TracedCommand, joins: boolean): Span['attributes'] {
  const { command, decision, outcome, reference, approval } = entry
  const actions = [...new Set(command.touches.map(({ action }) => action))]
  return {
    ...aboutSession(who),
    'firebreak.reference': reference,
    'firebreak.actions': actions.slice(0, maximumActions),
    'firebreak.decision': decision.effect,
    'firebreak.policy': decision.rule?.policy,
    'firebreak.rule': decision.rule?.rule,
    'firebreak.revision': decision.revision,
    'firebreak.approval': approval,
    'firebreak.rows': outcome.rows,
    'firebreak.bytes': outcome.bytes,
    'firebreak.masked_fields': outcome.maskedFields.length,
    'error.type': outcome.error?.code,
    // whoever wrote the comment chose the trace
    ...(joins && { 'firebreak.trace.claimed_by': 'client' }),
  }
}

function describe({ entry, language }: TracedCommand): ReturnType<TraceLanguage['describe']> {
  const { command } = entry
  return (
    language?.describe(command) ?? {
      name: command.touches[0]?.action ?? command.resourceType,
      attributes: {},
    }
  )
}

function named(attribute: string | undefined, value: unknown): Readonly<Record<string, unknown>> {
  return attribute === undefined ? {} : { [attribute]: value }
}

function microseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1_000)
}
