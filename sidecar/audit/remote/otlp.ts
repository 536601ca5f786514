/**
 * Audit lines for an OpenTelemetry collector.
 *
 * The body of a log record is the line as it stands, so that its chain can be verified wherever it ends up.
 */
import { attributes, OtlpClient, OtlpError } from '../../outbound/otlp.ts'
import type { ReceiverTarget } from '../target.ts'
import { type AuditLine, ocsfClassOf, readLine } from './ocsf.ts'
import { type Receiver, TooLargeError } from './receiver.ts'

type OtlpTarget = Extract<ReceiverTarget, { kind: 'otlp' }>

export class OtlpReceiver implements Receiver {
  readonly name: string
  readonly #client: OtlpClient

  constructor(target: OtlpTarget) {
    this.#client = new OtlpClient(target)
    this.name = this.#client.name
  }

  async send(lines: readonly string[], signal: AbortSignal): Promise<number> {
    try {
      return await this.#client.send(exportRequest(lines), lines.length, signal)
    } catch (error) {
      throw error instanceof OtlpError && error.status === 413 ? new TooLargeError() : error
    }
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
