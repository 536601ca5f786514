/** A span, and how OTLP has it. https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto */
import { attributes } from '../outbound/otlp.ts'
import type { SpanContext } from './trace-context.ts'

/** OTLP's numbers. */
export const spanKinds = { internal: 1, server: 2, client: 3 } as const

export interface Span {
  readonly context: SpanContext
  /** Of the span that it is a part of. */
  readonly parent?: string | undefined
  readonly links?: readonly SpanContext[] | undefined
  readonly name: string
  readonly kind: keyof typeof spanKinds
  /** In whole microseconds since 1970. */
  readonly start: number
  readonly end: number
  readonly attributes: Readonly<Record<string, unknown>>
  readonly failed: boolean
}

/** An ExportTraceServiceRequest. @param resource whose spans they are. */
export function exportRequest(spans: readonly Span[], resource: Readonly<Record<string, unknown>>): unknown {
  return {
    resourceSpans: [
      {
        resource: { attributes: attributes(resource) },
        scopeSpans: [{ scope: { name: 'firebreak', version: '1' }, spans: spans.map(asOtlp) }],
      },
    ],
  }
}

function asOtlp({ context, parent, links, name, kind, start, end, failed, ...rest }: Span): unknown {
  return {
    ...context,
    ...(parent !== undefined && { parentSpanId: parent }),
    ...(links && { links }),
    name,
    kind: spanKinds[kind],
    startTimeUnixNano: `${start}000`,
    endTimeUnixNano: `${end}000`,
    attributes: attributes(rest.attributes),
    ...(failed && { status: { code: 2 } }),
  }
}
