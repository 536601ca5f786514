/** The options of `firebreak operator` about where agents' records go. */
import type { RecordTargets } from '@firebreak/operator/records/records.ts'
import type { TraceTarget } from '@firebreak/sidecar'
import { parseReceivers } from './audit-targets.ts'
import { UsageError } from './command.ts'
import { parseRecipients, parseRecordings } from './recording-target.ts'
import { parseTraces } from './trace-target.ts'

/** Each has a spool of a fixed size in every pod. */
const mostSinks = 4

export const recordsOptions = {
  recordings: { type: 'string' },
  'recording-key': { type: 'string', multiple: true },
  'unmasked-key': { type: 'string', multiple: true },
  retention: { type: 'string' },
  audit: { type: 'string', multiple: true },
  traces: { type: 'string' },
} as const

export const recordsHelp = `  --recordings PLACE[,OPTION=VALUE]…
                             where enforcers record sessions: s3://BUCKET/PREFIX with access-key-file, secret-key-file,
                             endpoint, region and ca-file, or postgresql://USER@HOST/DATABASE with password-file and
                             ca-file (default: nowhere, and sessions that policies want recorded are refused). They
                             need the right to write, and no other
  --recording-key KEY        who can read the recordings: a public key of age (age1…); may be repeated
  --unmasked-key KEY         who can see what masks hid as well, of sessions whose policies want that recorded: another
                             public key; may be repeated (default: nobody, and such sessions are refused)
  --retention PLACE[,OPTION=VALUE]…
                             the same place, with rights to list, read and delete: the leading replica deletes what
                             is due (default: nothing is deleted)
  --audit TARGET[,OPTION=VALUE]…
                             where enforcers deliver their audit trail, besides their standard output: https://…,
                             otlp+https://… or postgresql://…, as for firebreak run, without spool; up to ${mostSinks}
  --traces TARGET[,OPTION=VALUE]…
                             the OpenTelemetry collector that enforcers send sessions and commands to as spans, as for
                             firebreak run: otlp+https://…, share=0.1`

export interface RecordsValues {
  readonly recordings?: string | undefined
  readonly 'recording-key'?: readonly string[] | undefined
  readonly 'unmasked-key'?: readonly string[] | undefined
  readonly retention?: string | undefined
  readonly audit?: readonly string[] | undefined
  readonly traces?: string | undefined
}

/**
 * @returns what reads the files again that are named; undefined where there is nothing to record.
 * @throws UsageError for what can't be meant, and the system's error when a file can't be read.
 */
export async function parseRecords(values: RecordsValues): Promise<(() => RecordTargets) | undefined> {
  const { recordings, retention, audit = [], traces, 'recording-key': keys } = values
  if ((recordings === undefined) !== (keys === undefined))
    throw new UsageError('--recordings and --recording-key go together')
  if (retention !== undefined && recordings === undefined)
    throw new UsageError('--retention goes with --recordings')
  if (recordings === undefined && audit.length === 0 && traces === undefined) return undefined
  if (audit.length > mostSinks) throw new UsageError(`--audit can be given ${mostSinks} times`)
  if (values['unmasked-key'] !== undefined && recordings === undefined)
    throw new UsageError('--unmasked-key goes with --recordings')
  const recipients = await parseRecipients(values)
  const read = (): RecordTargets => ({
    ...(recordings !== undefined && { recordings: { target: sidecarsTarget(recordings), ...recipients } }),
    ...(retention !== undefined && { retention: parseRecordings(retention) }),
    audit: parseReceivers(audit).map((target) => outsideOfPods('--audit', target)),
    ...(traces !== undefined && { traces: tracesOutsideOfPods(traces) }),
  })
  // what can't be meant is said before anything is started
  read()
  return read
}

function sidecarsTarget(item: string): NonNullable<RecordTargets['recordings']>['target'] {
  const target = parseRecordings(item)
  if (target.kind === 'directory')
    throw new UsageError(`--recordings takes s3:// or postgresql:// here, not ${item}: pods keep nothing`)
  // what the environment of a pod gives, such as a web identity, is the agent's as well
  if (target.kind === 's3' && !target.credentials)
    throw new UsageError('--recordings s3://… needs access-key-file=FILE and secret-key-file=FILE')
  if (target.kind === 's3' && target.endpoint !== undefined) refuseLoopback('--recordings', target.endpoint)
  if (target.kind === 'postgresql') refuseLoopback('--recordings', target.url)
  return target
}

function outsideOfPods<Target extends { readonly url: string }>(option: string, target: Target): Target {
  refuseLoopback(option, target.url)
  return target
}

function tracesOutsideOfPods(item: string): TraceTarget | undefined {
  const target = parseTraces(item)
  return target && outsideOfPods('--traces', target)
}

/** There the agent would be asked, which shares it with its sidecars. */
function refuseLoopback(option: string, url: string): void {
  const { hostname } = new URL(url)
  if (['localhost', '[::1]', '0.0.0.0', '[::]'].includes(hostname) || /^127\./.test(hostname))
    throw new UsageError(`${option} takes an address that a pod reaches, not ${hostname}`)
}
