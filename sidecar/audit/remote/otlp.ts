/**
 * An OpenTelemetry collector, by OTLP over HTTP with JSON. https://opentelemetry.io/docs/specs/otlp/
 *
 * The body of a log record is the line as it stands, so that its chain can be verified wherever it ends up.
 */
import { type BoundedFetch, boundedFetch } from '../../outbound/fetch.ts'
import type { RemoteTarget } from '../target.ts'
import { addressOf, requestBounds } from './http.ts'
import { type AuditLine, ocsfClassOf, readLine } from './ocsf.ts'
import type { Receiver } from './receiver.ts'

type OtlpTarget = Extract<RemoteTarget, { kind: 'otlp' }>

export class OtlpReceiver implements Receiver {
  readonly name: string
  readonly #target: OtlpTarget
  readonly #fetch: BoundedFetch

  constructor(target: OtlpTarget) {
    this.name = addressOf(target.url)
    this.#target = target
    this.#fetch = boundedFetch({ ...requestBounds, ca: target.ca })
  }

  async send(lines: readonly string[], signal: AbortSignal): Promise<number> {
    const response = await this.#fetch(this.#target.url, {
      method: 'POST',
      headers: { ...this.#target.headers, 'content-type': 'application/json', 'user-agent': 'firebreak' },
      body: JSON.stringify(exportRequest(lines)),
      signal,
    })
    if (!response.ok) throw new Error(`the collector answered ${response.status}`)
    return rejectedOf(await response.text())
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** An ExportLogsServiceRequest. Lines of several runs are records of several resources. */
export function exportRequest(lines: readonly string[]): unknown {
  const bySource = Map.groupBy(
    lines.flatMap((text) => {
      const line = readLine(text)
      return line ? [{ text, line }] : []
    }),
    ({ line }) => line.source,
  )
  return {
    resourceLogs: [...bySource].map(([source, records]) => ({
      resource: { attributes: attributes({ 'service.name': 'firebreak', 'service.instance.id': source }) },
      scopeLogs: [
        {
          scope: { name: 'firebreak.audit', version: '1' },
          logRecords: records.map(({ text, line }) => logRecord(text, line)),
        },
      ],
    })),
  }
}

/** https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber */
const severities = {
  1: [9, 'INFO'],
  2: [10, 'INFO2'],
  3: [13, 'WARN'],
  4: [17, 'ERROR'],
  5: [21, 'FATAL'],
} as const

/** What people filter by; the rest is in the body. */
const indexed = [
  'reference',
  'session',
  'identity',
  'resource',
  'role',
  'decision',
  'policy',
  'rule',
  'kind',
] as const

function logRecord(text: string, line: AuditLine): unknown {
  const { classUid, activityId, severityId } = ocsfClassOf(line)
  const [severityNumber, severityText] = severities[severityId]
  const time = `${Date.parse(line.time)}000000`
  return {
    timeUnixNano: time,
    observedTimeUnixNano: time,
    severityNumber,
    severityText,
    eventName: `firebreak.${line.event}`,
    body: { stringValue: text },
    attributes: attributes({
      'firebreak.event': line.event,
      'firebreak.seq': line.seq,
      ...Object.fromEntries(indexed.map((name) => [`firebreak.${name}`, line[name]])),
      'ocsf.class_uid': classUid,
      'ocsf.activity_id': activityId,
      'ocsf.severity_id': severityId,
    }),
  }
}

function attributes(values: Readonly<Record<string, unknown>>): unknown[] {
  return Object.entries(values).flatMap(([key, value]) => {
    if (typeof value === 'string') return { key, value: { stringValue: value } }
    // 64-bit numbers are strings in JSON
    return typeof value === 'number' ? { key, value: { intValue: String(value) } } : []
  })
}

/** @returns how many records the collector will never take: it must not be asked again. */
function rejectedOf(answer: string): number {
  try {
    const { partialSuccess } = JSON.parse(answer) as { partialSuccess?: { rejectedLogRecords?: unknown } }
    return Number(partialSuccess?.rejectedLogRecords ?? 0) || 0
  } catch {
    return 0
  }
}
