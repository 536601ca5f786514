/** Brings the index to what the store holds: recording by recording, so that it goes on where it was stopped. */
import { recipientsOf } from '@firebreak/sidecar/recording/keys.ts'
import { RecordingError, type RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import type { RecordingStore, StoredRecording } from '@firebreak/sidecar/recording/store.ts'
import { exchanges } from '@firebreak/sidecar/recording/transcript/exchanges.ts'
import type { Result } from '@firebreak/sidecar/recording/transcript/results.ts'
import { transcript } from '@firebreak/sidecar/recording/transcript/transcript.ts'
import { provenHeader } from '../proven-header.ts'
import { openRecording, type Reading } from '../recording.ts'
import type { Indexed, IndexedCommand, IndexWriter, SessionState } from './writer.ts'

/** Of an answer, that can be searched for. */
const searched = { rows: 1000, characters: 32 * 1024 }

export interface Progress {
  recordings: number
  commands: number
  /** Recordings that are gone from the store, and with it from the index. */
  forgotten: number
}

/** @param onProgress told after each recording, and every few commands. */
export async function updateIndex(
  writer: IndexWriter,
  store: RecordingStore,
  reading: Reading,
  onProgress: (progress: Progress) => void,
): Promise<Progress> {
  const progress: Progress = { recordings: 0, commands: 0, forgotten: 0 }
  const own = await recipientsOf(reading.keys)
  const trusted = trustedText(reading.trusted)
  let last = ''
  for await (const stored of store.list()) {
    progress.forgotten += writer.forget(last, stored.id)
    last = stored.id
    if (!isStale(writer.find(stored.id), stored, own, trusted)) continue
    writer.begin()
    try {
      await indexRecording(writer, store, stored, reading, () => {
        if (++progress.commands % 1000 === 0) onProgress(progress)
      })
      writer.commit()
    } catch (error) {
      writer.rollback()
      throw error
    }
    progress.recordings++
    onProgress(progress)
  }
  progress.forgotten += writer.forget(last, '~')
  return progress
}

/**
 * One that was locked may be for a key that is there now; what masks hid is in the index exactly as long as there is a key for
 * it; and a recording that was believed may be of nobody who is trusted now.
 */
function isStale(
  indexed: Indexed | undefined,
  { bytes, changedAt }: StoredRecording,
  own: ReadonlySet<string>,
  trusted: string,
): boolean {
  if (indexed?.bytes !== bytes || indexed.changedAt !== changedAt.getTime() || indexed.state === 'locked')
    return true
  if (indexed.trusted !== trusted) return true
  const { unmaskedFor, unmasked } = indexed
  return unmaskedFor.split(' ').some((recipient) => own.has(recipient)) !== (unmasked === 1)
}

/** Whose signatures count, as the index remembers it. */
function trustedText(trusted: readonly string[] | undefined): string {
  return trusted === undefined ? 'anybody' : JSON.stringify(trusted.toSorted())
}

async function indexRecording(
  writer: IndexWriter,
  store: RecordingStore,
  stored: StoredRecording,
  reading: Reading,
  onCommand: () => void,
): Promise<void> {
  const { id } = stored
  await using source = await store.open(id)
  // deleted meanwhile
  if (!source) return
  const header = await provenHeader(source, id, reading.trusted)
  const session = writer.session(
    stored,
    trustedText(reading.trusted),
    typeof header === 'string' ? undefined : header,
  )
  const totals = { microseconds: 0, commands: 0, denied: 0, held: 0 }
  if (typeof header === 'string') return writer.finish(session, 'altered', header, false, totals)
  const reader = await openRecording(source, id, reading).catch((error: unknown) => {
    if (error instanceof RecordingError) return error.message
    throw error
  })
  if (typeof reader === 'string') return writer.finish(session, 'locked', reader, false, totals)
  const { state, problem } = await indexSteps(
    reader,
    (command) => {
      writer.command(session, header, command)
      totals.commands = Math.max(totals.commands, command.number + 1)
      if (command.entry.decision === 'deny') totals.denied++
      if (command.entry.decision === 'hold') totals.held++
      onCommand()
    },
    (time) => {
      totals.microseconds = Math.max(totals.microseconds, time)
    },
  )
  writer.finish(session, state, problem, reader.readsUnmasked, totals)
}

async function indexSteps(
  reader: RecordingReader,
  onCommand: (command: IndexedCommand) => void,
  onTime: (microseconds: number) => void,
): Promise<{ readonly state: SessionState; readonly problem?: string }> {
  let state: SessionState = 'no end'
  let problem: string | undefined
  for await (const event of exchanges(transcript(reader, searched))) {
    onTime(event.time)
    switch (event.kind) {
      case 'exchange': {
        const { command, answer, time } = event
        const response = answer?.results.map(wordsOf).join('\n') ?? ''
        if (command) onCommand({ ...command, time, response })
        break
      }
      case 'end':
        state = 'ended'
        break
      case 'limit':
        state = 'limit'
        break
      case 'broken off':
        state = event.state
        problem = event.what
    }
  }
  return { state, ...(problem !== undefined && { problem }) }
}

function wordsOf({ columns = [], rows, copied, messages }: Result): string {
  return [
    columns.join(' '),
    ...rows.map((row) => row.filter((value) => value !== null).join(' ')),
    copied,
    ...messages.map((message) => (message.kind === 'unreadable' ? '' : message.message)),
  ].join('\n')
}
