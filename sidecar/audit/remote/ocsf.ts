/**
 * Audit lines as events of the Open Cybersecurity Schema Framework, 1.8.0: https://schema.ocsf.io/1.8.0
 * docs/audit.md has the same table.
 */
import type { Notices } from '../lines.ts'

export type EventName = keyof Notices | 'command' | 'session.start' | 'session.end'

/** A line that was read back: of its fields those that are looked at here. */
export interface AuditLine {
  readonly v: number
  readonly source: string
  readonly seq: number
  readonly time: string
  readonly event: EventName
  readonly [field: string]: unknown
}

/** 1 informational, 2 low, 3 medium, 4 high, 5 critical. */
type Severity = 1 | 2 | 3 | 4 | 5

interface OcsfClass {
  readonly classUid: keyof typeof classes
  readonly activityId: number
  readonly severityId: Severity
}

/** Classes, with what each asks for beyond what all events have. */
const classes = {
  2004: (line: AuditLine) => ({
    finding_info: {
      uid: text(line.reference) ?? `${line.source}/${line.seq}`,
      title: text(line.kind) ?? line.event,
      desc: text(line.explanation),
    },
  }),
  3001: (line: AuditLine) => ({ user: { name: text(line.account) ?? text(line.role) } }),
  3002: (line: AuditLine) => ({
    user: userOf(line),
    service: { name: text(line.resource) ?? 'firebreak' },
    src_endpoint: endpointOf(line),
  }),
  3004: (line: AuditLine) => ({
    entity: {
      type: line.event.slice(0, line.event.indexOf('.')),
      name:
        text(line.request) ??
        text(line.delegation) ??
        text(line.recording) ??
        text(line.revision) ??
        line.event,
    },
    actor: actorOf(line),
  }),
  4001: (line: AuditLine) => ({
    src_endpoint: { name: text(line.identity) },
    dst_endpoint: { name: text(line.destination) ?? text(line.name) ?? 'unknown' },
  }),
  6002: () => ({ app: { name: 'firebreak', vendor_name: 'firebreak' } }),
  6003: (line: AuditLine) => ({
    ...decisionOf(line),
    actor: actorOf(line),
    src_endpoint: endpointOf(line),
    api: { operation: actionsOf(line)[0] ?? 'unknown', service: { name: text(line.resource) } },
  }),
  6005: (line: AuditLine) => ({
    ...decisionOf(line),
    actor: actorOf(line),
    src_endpoint: endpointOf(line),
    database: { name: text(line.resource), type_id: 1 },
    query_info: {
      uid: text(line.digest) ?? 'unknown',
      query_string: text(line.text) ?? '',
      bytes: typeof line.bytes === 'number' ? line.bytes : undefined,
    },
    duration: typeof line.milliseconds === 'number' ? Math.round(line.milliseconds) : undefined,
  }),
  6008: (line: AuditLine) => ({ message: text(line.reason) ?? line.event }),
} as const

const mapped: Readonly<Record<EventName, OcsfClass | ((line: AuditLine) => OcsfClass)>> = {
  command: (line) => ({
    ...commandClass(actionsOf(line)),
    severityId: line.decision === 'deny' ? 3 : line.decision === 'hold' || line.alerts ? 2 : 1,
  }),
  'session.start': { classUid: 3002, activityId: 1, severityId: 1 },
  'session.end': { classUid: 3002, activityId: 2, severityId: 1 },
  'session.refused': { classUid: 3002, activityId: 1, severityId: 3 },
  'request.refused': { classUid: 3002, activityId: 1, severityId: 3 },
  'token.obtained': { classUid: 3002, activityId: 3, severityId: 1 },
  'token.failed': { classUid: 3002, activityId: 3, severityId: 3 },
  'delegation.issued': { classUid: 3004, activityId: 1, severityId: 1 },
  'delegation.refused': { classUid: 3004, activityId: 1, severityId: 3 },
  'delegation.revoked': { classUid: 3004, activityId: 4, severityId: 1 },
  'approval.requested': { classUid: 3004, activityId: 1, severityId: 2 },
  'approval.decided': { classUid: 3004, activityId: 3, severityId: 2 },
  'approval.refused': { classUid: 3004, activityId: 3, severityId: 3 },
  'approval.used': { classUid: 3004, activityId: 10, severityId: 2 },
  'approval.withdrawn': { classUid: 3004, activityId: 4, severityId: 1 },
  'approval.expired': { classUid: 3004, activityId: 11, severityId: 1 },
  'approval.unsaved': { classUid: 3004, activityId: 99, severityId: 4 },
  'elevation.granted': { classUid: 3004, activityId: 10, severityId: 3 },
  'elevation.ended': { classUid: 3004, activityId: 11, severityId: 1 },
  'credential.rotated': { classUid: 3001, activityId: 3, severityId: 1 },
  'account.made': { classUid: 3001, activityId: 1, severityId: 1 },
  'account.dropped': { classUid: 3001, activityId: 6, severityId: 1 },
  'account.left': { classUid: 3001, activityId: 99, severityId: 3 },
  'egress.refused': { classUid: 4001, activityId: 5, severityId: 3 },
  'configuration.applied': { classUid: 3004, activityId: 3, severityId: 1 },
  'configuration.refused': { classUid: 3004, activityId: 3, severityId: 3 },
  'notification.lost': { classUid: 6008, activityId: 1, severityId: 3 },
  'classification.unmatched': { classUid: 6008, activityId: 1, severityId: 3 },
  'recording.started': { classUid: 3004, activityId: 1, severityId: 1 },
  'recording.ended': { classUid: 3004, activityId: 3, severityId: 1 },
  'recording.deleted': { classUid: 3004, activityId: 4, severityId: 2 },
  'recording.limit': { classUid: 6008, activityId: 1, severityId: 3 },
  'recording.failed': { classUid: 6008, activityId: 1, severityId: 4 },
  'recording.lost': { classUid: 6008, activityId: 1, severityId: 4 },
  'recording.recovered': { classUid: 6008, activityId: 99, severityId: 1 },
  signal: ({ severity }) => ({
    classUid: 2004,
    activityId: 1,
    severityId: severity === 'critical' ? 5 : severity === 'high' ? 4 : 2,
  }),
  'audit.start': { classUid: 6002, activityId: 3, severityId: 1 },
  'audit.end': { classUid: 6002, activityId: 4, severityId: 1 },
  'audit.dropped': { classUid: 6008, activityId: 99, severityId: 4 },
}

/** @returns a line read back; undefined for what is none. */
export function readLine(text: string): AuditLine | undefined {
  try {
    const line = JSON.parse(text) as AuditLine
    return Object.hasOwn(mapped, line.event) ? line : undefined
  } catch {
    return undefined
  }
}

export function ocsfClassOf(line: AuditLine): OcsfClass {
  const found = mapped[line.event]
  return typeof found === 'function' ? found(line) : found
}

/** @returns the event that a line is; undefined for what is no line. The line itself is in `raw_data`. */
export function ocsfEvent(raw: string): unknown {
  const line = readLine(raw)
  if (!line) return undefined
  const { classUid, activityId, severityId } = ocsfClassOf(line)
  return {
    category_uid: Math.floor(classUid / 1000),
    class_uid: classUid,
    activity_id: activityId,
    type_uid: classUid * 100 + activityId,
    severity_id: severityId,
    time: Date.parse(line.time),
    status_id: statusOf(line),
    metadata: {
      version: '1.8.0',
      product: { name: 'Firebreak', vendor_name: 'Firebreak' },
      log_name: 'audit',
      log_version: String(line.v),
      uid: `${line.source}/${line.seq}`,
      sequence: line.seq,
      event_code: line.event,
      correlation_uid: text(line.session),
    },
    raw_data: raw,
    ...classes[classUid](line),
  }
}

/** By what a command does: of several actions the one that changes most. */
function commandClass(actions: readonly string[]): Pick<OcsfClass, 'classUid' | 'activityId'> {
  const verbs = actions.map((action) => action.slice(action.indexOf(':') + 1))
  const first = (table: Readonly<Record<string, number>>): number | undefined =>
    Object.entries(table).find(([verb]) => verbs.includes(verb))?.[1]
  return actions.every((action) => action.startsWith('sql:'))
    ? { classUid: 6005, activityId: first(sqlActivities) ?? 4 }
    : { classUid: 6003, activityId: first(apiActivities) ?? 99 }
}

/** The first that occurs counts. */
const sqlActivities = {
  drop: 7,
  truncate: 7,
  delete: 7,
  update: 2,
  merge: 2,
  alter: 2,
  create: 6,
  insert: 5,
  select: 1,
}
const apiActivities = { delete: 4, create: 1, update: 3, patch: 3, get: 2, list: 2, watch: 2 }

/** 1 success, 2 failure, 99 other: what waits for people is neither. */
function statusOf({ event, decision, error }: AuditLine): number {
  if (event === 'command') return decision === 'deny' || error ? 2 : decision === 'hold' ? 99 : 1
  return /\.(refused|failed|left|lost|unsaved|dropped|unmatched)$/.test(event) && event !== 'account.dropped'
    ? 2
    : 1
}

function decisionOf({ reason, error, policy, rule }: AuditLine): object {
  const { code } = (error ?? {}) as { code?: string }
  const by = text(policy) && text(rule) ? `${policy}/${rule}` : undefined
  return { status_code: code, status_detail: text(reason) ?? by }
}

function actorOf(line: AuditLine): object {
  return { user: userOf(line), session: text(line.session) && { uid: line.session } }
}

function userOf({ by, identity, remote }: AuditLine): object {
  return { name: text(by) ?? text(identity) ?? text(remote) ?? 'unknown' }
}

function endpointOf({ remote, session }: AuditLine): object {
  return text(remote) ? { name: remote } : { uid: text(session) ?? 'unknown' }
}

function actionsOf({ actions }: AuditLine): readonly string[] {
  return Array.isArray(actions) ? actions.map(String) : []
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
