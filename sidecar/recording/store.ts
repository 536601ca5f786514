/** Where recordings are kept. One interface for all kinds of places. */

import type { RecordingTarget } from './target.ts'

/** A recording that is being written. */
export interface RecordingSink {
  /**
   * Puts bytes at its end. Never called again before it is settled.
   * @throws Error in words; nothing of the bytes counts then, and the same may be tried again.
   */
  append(bytes: Buffer): Promise<void>
  /** Resolves when all that was appended outlives the machine's sudden end, as far as the place can promise it. */
  sync(): Promise<void>
  /** Nothing more is appended. */
  close(): Promise<void>
}

/** A recording that can be read, finished or not. */
export interface RecordingSource extends AsyncDisposable {
  /** In bytes, when it was opened. */
  readonly size: number
  /** @returns the bytes there are, fewer at the end. */
  read(position: number, length: number): Promise<Buffer>
}

export interface StoredRecording {
  readonly id: string
  readonly bytes: number
  /** When it was last written to. */
  readonly changedAt: Date
  /** It is in many pieces, of which the place could make one. */
  readonly inPieces?: true
  /** Why it is not to be deleted, where somebody said so. */
  readonly hold?: string
  /** Why it is to be deleted before its time, where somebody asked for that. */
  readonly deletion?: string
}

/** Where recordings are written. */
export interface RecordingSinks extends AsyncDisposable {
  /** The place in words, without what it is opened with. */
  readonly place: string
  /** Begins a recording. @throws Error in words, when the place can't take it, or is seen to have one of that name. */
  create(id: string): Promise<RecordingSink>
  /** From now on it is opened with what this target of the same place says, also for recordings that have begun. */
  renew(target: RecordingTarget): void
}

export interface RecordingStore extends RecordingSinks {
  /** @returns undefined when there is none. @throws Error in words. */
  open(id: string): Promise<RecordingSource | undefined>
  /** In the order of their names, which is that of their beginnings. */
  list(): AsyncIterable<StoredRecording>
  /** Stops expiry and deletion until it is released. @throws Error in words, when there is no such recording. */
  hold(id: string, reason: string): Promise<void>
  release(id: string): Promise<void>
  /** Asks the gateway to delete it, which leaves a line in the audit trail. @throws Error in words, also when it is held. */
  askDeletion(id: string, reason: string): Promise<void>
  /** @throws Error in words; of one that is held too. */
  delete(id: string): Promise<void>
  /** Makes one piece of a recording that has ended. @returns whether it has. @throws Error in words; then all is there as before. */
  join?(id: string): Promise<boolean>
}

/** Names of recordings are references of sessions: nothing that could be a path. */
export function isRecordingName(name: string): boolean {
  return /^[0-9A-Z]{10,40}$/.test(name)
}
