/** Where an agent's records go: what the operator says of it, and what this sidecar makes of that. In memory only. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { ReceiverTarget, RemoteTarget } from '../audit/target.ts'
import type { RecordingAssignment } from '../recording/place.ts'
import type { RecordingTarget } from '../recording/target.ts'
import { privateKeyOf, type Voucher } from '../recording/voucher.ts'
import type { TraceTarget } from '../traces/target.ts'

/** As JSON, with all credentials. */
export interface SentRecords {
  /** Absent: nowhere, and sessions that policies want recorded are refused. */
  readonly recordings?: SentRecordings | undefined
  /** Beside the standard output of the enforcer. */
  readonly audit: readonly ReceiverTarget[]
  /** Absent: nothing is traced. */
  readonly traces?: TraceTarget | undefined
}

export interface SentRecordings {
  readonly target: RecordingTarget
  readonly recipients: readonly string[]
  /** Who can see what masks hid. Absent: what an operator of an older version sends, which knows nobody. */
  readonly unmaskedRecipients?: readonly string[] | undefined
  /** PKCS #8 in base64: the key of this agent's recordings. */
  readonly signer: string
  readonly voucher: Voucher
}

/** So many bytes of lines may wait for each sink elsewhere. */
const spoolLimit = 64 * 1024 * 1024

/** What the operator of an older version sends: nothing of it. */
export const noRecords: SentRecords = { audit: [] }

/** @returns undefined when it isn't what the operator sends. */
export function readRecords(value: unknown): SentRecords | undefined {
  if (value === undefined) return noRecords
  if (!isObject(value) || !Array.isArray(value.audit) || !value.audit.every(isReceiver)) return undefined
  const { audit, recordings, traces } = value
  if (recordings !== undefined && !isRecordings(recordings)) return undefined
  if (traces !== undefined && !isTraces(traces)) return undefined
  return { audit, ...(recordings !== undefined && { recordings }), ...(traces !== undefined && { traces }) }
}

/** @throws Error when the key is none. */
export function assignmentOf(sent: SentRecordings): RecordingAssignment {
  const { target, recipients, unmaskedRecipients = [], signer, voucher } = sent
  return { target, recipients, unmaskedRecipients, signer: { key: privateKeyOf(signer), voucher } }
}

/** @param directory of all spools. Each receiver has one that stays its own, whatever credential it is asked with. */
export function withSpool(target: ReceiverTarget, directory: string): RemoteTarget {
  const name = createHash('sha256').update(`${target.kind} ${target.url}`).digest('hex').slice(0, 16)
  return { ...target, spool: { directory: join(directory, name), limit: spoolLimit } }
}

function isReceiver(value: unknown): value is ReceiverTarget {
  if (!isObject(value) || typeof value.url !== 'string' || !URL.canParse(value.url)) return false
  switch (value.kind) {
    case 'http':
      return typeof value.secret === 'string' && (value.format === 'lines' || value.format === 'ocsf')
    case 'otlp':
      return isObject(value.headers)
    case 'postgresql':
      return true
    default:
      return false
  }
}

function isTraces(value: unknown): value is TraceTarget {
  if (!isObject(value) || typeof value.url !== 'string' || !URL.canParse(value.url)) return false
  const { headers, share } = value
  return isObject(headers) && typeof share === 'number' && share > 0 && share <= 1
}

function isRecordings(value: unknown): value is SentRecordings {
  if (!isObject(value)) return false
  const { target, recipients, unmaskedRecipients, signer, voucher } = value
  return (
    isObject(target) &&
    ((target.kind === 's3' && typeof target.bucket === 'string' && typeof target.prefix === 'string') ||
      (target.kind === 'postgresql' && typeof target.url === 'string')) &&
    areTexts(recipients) &&
    recipients.length > 0 &&
    (unmaskedRecipients === undefined || areTexts(unmaskedRecipients)) &&
    typeof signer === 'string' &&
    isObject(voucher) &&
    [voucher.agent, voucher.authority, voucher.signature].every((text) => typeof text === 'string')
  )
}

function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((text) => typeof text === 'string')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
