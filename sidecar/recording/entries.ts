/** What is recorded of a session, one after the other. docs/recording.md describes the bytes. */
import type { QualifiedName } from '@firebreak/policy'

/** How much of responses is recorded. */
export type RecordingMode = 'full' | 'commands'

/** The first of a recording. */
export interface StartEntry {
  readonly type: 'start'
  readonly session: string
  readonly identity: QualifiedName
  /** From the first to the one who acts. */
  readonly chain: readonly QualifiedName[]
  readonly groups: readonly string[]
  readonly resource: QualifiedName
  readonly role: string
  /** The client's address. */
  readonly remote: string
  readonly proof: unknown
  readonly mode: RecordingMode
  readonly revision: string
}

/** A command was decided. A later one of the same reference stands for it: it was held, and decided again. */
export interface CommandEntry {
  readonly type: 'command'
  /** Of the audit line and of the error that the client saw. */
  readonly reference: string
  /** As far as the policy's `audit.text` lets it be shown. */
  readonly text?: string
  /** Characters of the text that are left out at its end. */
  readonly textLeftOut?: number
  readonly parameters?: readonly (string | null)[]
  /** Values that are left out at its end, as of other lists. */
  readonly parametersLeftOut?: number
  readonly actions: readonly string[]
  readonly objects: readonly string[]
  readonly objectsLeftOut?: number | undefined
  readonly opaque?: readonly string[] | undefined
  readonly opaqueLeftOut?: number | undefined
  /** Labels of the result's columns, as analysed: a prepared statement's response doesn't name them. */
  readonly columns?: readonly string[] | undefined
  readonly columnsLeftOut?: number | undefined
  readonly decision: 'allow' | 'deny' | 'hold'
  readonly policy?: QualifiedName | undefined
  readonly rule?: string | undefined
  readonly reason?: string | undefined
  /** Rules with effect `alert` that matched. */
  readonly alerts?: readonly string[] | undefined
  readonly revision: string
}

/** Whose the `response`, `input` and `cut` entries are that follow in the same block, until another one says otherwise. */
export interface OfEntry {
  readonly type: 'of'
  /** Of a command. */
  readonly reference: string
}

/**
 * Bytes of the protocol, after masking, as the client got them: of the command that {@link OfEntry} names, or else of the one whose
 * outcome comes next.
 */
export interface ResponseEntry {
  readonly type: 'response'
  readonly bytes: Buffer
}

/** Bytes of data that the client sent for a command: the lines of a COPY. */
export interface InputEntry {
  readonly type: 'input'
  readonly bytes: Buffer
}

/**
 * From here on, response or input of the current command is left out. How much, its outcome says; not of what masks hid, of which
 * that would tell something.
 */
export interface CutEntry {
  readonly type: 'cut'
  readonly what: 'response' | 'input' | 'unmasked'
  /** Bytes per command. */
  readonly limit: number
}

export interface OutcomeEntry {
  readonly type: 'outcome'
  readonly reference: string
  readonly rows: number
  /** That went to the client. */
  readonly bytes: number
  /** Labels of the masked columns. */
  readonly masked?: readonly string[]
  readonly maskedLeftOut?: number
  readonly milliseconds: number
  readonly approval?: string
  readonly error?: {
    readonly code: string
    readonly message?: string
    /** Characters of the message that are left out at its end. */
    readonly messageLeftOut?: number
  }
  /** Bytes of the response that are not in the recording. */
  readonly responseLeftOut?: number
  /** Bytes of the client's data that are not in the recording. */
  readonly inputLeftOut?: number
}

/** The policy now asks for more, or less. */
export interface ModeEntry {
  readonly type: 'mode'
  readonly mode: RecordingMode | 'off'
  readonly revision: string
}

/** The recording has reached its largest size: nothing more is recorded. */
export interface LimitEntry {
  readonly type: 'limit'
  readonly bytes: number
  /** What becomes of the session. */
  readonly session: 'ends' | 'continues'
}

/** The session is over. */
export interface EndEntry {
  readonly type: 'end'
  readonly commands: number
  readonly seconds: number
  /** Why the gateway ended it, if it was the gateway. */
  readonly reason?: string
}

export type Entry =
  | StartEntry
  | CommandEntry
  | OfEntry
  | ResponseEntry
  | InputEntry
  | CutEntry
  | OutcomeEntry
  | ModeEntry
  | LimitEntry
  | EndEntry

export type EntryType = Entry['type']

/** Entries of raw bytes; the others are JSON. */
const typeNumbers = {
  start: 1,
  command: 2,
  response: 3,
  outcome: 4,
  cut: 5,
  mode: 6,
  limit: 7,
  end: 8,
  input: 9,
  of: 10,
} as const satisfies Record<EntryType, number>

const typeNames = new Map<number, EntryType>(
  Object.entries(typeNumbers).map(([name, number]) => [number, name as EntryType]),
)

/** Type, time and length. */
export const entryHeadLength = 11

/** @param microseconds since the recording's start. @param length of what follows, in bytes. */
export function writeEntryHead(
  to: Buffer,
  position: number,
  type: EntryType,
  microseconds: number,
  length: number,
): void {
  to.writeUInt8(typeNumbers[type], position)
  to.writeUIntBE(microseconds, position + 1, 6)
  to.writeUInt32BE(length, position + 7)
}

/** An entry with when it was. */
export interface TimedEntry {
  /** Microseconds since the recording's start. */
  readonly time: number
  readonly entry: Entry
}

/** Entries of a block. @throws Error when they are not well formed; types that are not known are passed over. */
export function* readEntries(plain: Buffer): Generator<TimedEntry> {
  let position = 0
  while (position < plain.length) {
    if (position + entryHeadLength > plain.length) throw new Error('an entry is cut off')
    const type = typeNames.get(plain.readUInt8(position))
    const time = plain.readUIntBE(position + 1, 6)
    const start = position + entryHeadLength
    position = start + plain.readUInt32BE(position + 7)
    if (position > plain.length) throw new Error('an entry is cut off')
    const bytes = plain.subarray(start, position)
    if (type === 'response' || type === 'input') yield { time, entry: { type, bytes } }
    else if (type) yield { time, entry: { ...JSON.parse(bytes.toString('utf8')), type } as Entry }
  }
}
