/** Spans as a collector has passed them on. */
import { setTimeout as delay } from 'node:timers/promises'
import type { LogServer } from '../../audit/remote/testdata/log-server.ts'

interface Value {
  readonly stringValue?: string
  readonly intValue?: string
  readonly arrayValue?: { readonly values: readonly Value[] }
}

interface Attribute {
  readonly key: string
  readonly value: Value
}

export interface ExportedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes?: readonly Attribute[]
  readonly status?: { readonly code?: number }
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[]
}

interface Exported {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly ExportedSpan[] }[]
  }[]
}

export function valuesOf(attributes: readonly Attribute[] = []): Record<string, string> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, shown(value)]))
}

function shown({ stringValue, intValue, arrayValue }: Value): string {
  return stringValue ?? intValue ?? (arrayValue?.values ?? []).map(shown).join(',')
}

export function spansOf({
  requests,
}: {
  readonly requests: readonly { readonly body: string }[]
}): readonly ExportedSpan[] {
  return requests.flatMap(({ body }) =>
    (JSON.parse(body) as Exported).resourceSpans.flatMap(({ scopeSpans }) =>
      scopeSpans.flatMap(({ spans }) => spans),
    ),
  )
}

export function resourceOf({ requests: [first] }: LogServer): Record<string, string> {
  const { resourceSpans } = JSON.parse(first?.body ?? '{"resourceSpans":[]}') as Exported
  return valuesOf(resourceSpans[0]?.resource.attributes ?? [])
}

/**
 * Waits for the spans until there are those that are wanted.
 * @returns them in the order in which they began: a collector may pass on side by side what it got one after the other.
 */
export async function spansWith(
  server: LogServer,
  wanted: (spans: readonly ExportedSpan[]) => boolean,
): Promise<readonly ExportedSpan[]> {
  const until = performance.now() + 60_000
  for (;;) {
    const spans = spansOf(server)
    if (wanted(spans))
      return spans.toSorted((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)))
    if (performance.now() > until)
      throw new Error(`the spans never came: ${JSON.stringify(spans.map(({ name }) => name))}`)
    await delay(50)
  }
}
