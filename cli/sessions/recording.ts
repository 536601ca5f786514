/** A recording, opened by one who may read it. */
import { RecordingError, RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import type { RecordingSource } from '@firebreak/sidecar/recording/store.ts'
import { UsageError } from '../command.ts'
import { hasReaderKey, openPlace, placeHelp, placeOptions, readerKeys, trustedSigners } from './place.ts'
import { provenHeader } from './proven-header.ts'

/** What a command takes that reads recordings. */
export const readingOptions = {
  ...placeOptions,
  key: { type: 'string', multiple: true },
  signer: { type: 'string', multiple: true },
} as const

export const readingHelp = `${placeHelp}
  --key FILE        private keys of age to read with; may be repeated (default: recording-keys/reader.txt of --config
                    or --state)
  --signer KEY      the public key that must have signed; may be repeated (default: the runner's own, from its
                    recording-keys, where --config or --state is given)`

export interface ReadingValues {
  readonly config?: string | undefined
  readonly state?: string | undefined
  readonly recordings?: string | undefined
  readonly key?: string[] | undefined
  readonly signer?: string[] | undefined
}

/** Who may read, and whose signature counts. */
export interface Reading {
  readonly keys: readonly string[]
  /** Absent: whoever signed. */
  readonly trusted: readonly string[] | undefined
}

/** Whether somebody named keys to read with, or the runner's own are there. */
export function canRead(values: ReadingValues): boolean {
  return values.key !== undefined || hasReaderKey(values)
}

/** @throws UsageError when there is no key. */
export function readingFor(values: ReadingValues): Reading {
  return {
    keys: readerKeys(values, values.key ?? []),
    trusted: trustedSigners(values, values.signer ?? []),
  }
}

/** @throws RecordingError when it is another one, signed by somebody else, or not for these keys. */
export async function openRecording(
  source: RecordingSource,
  id: string,
  { keys, trusted }: Reading,
): Promise<RecordingReader> {
  const header = await provenHeader(source, id, trusted)
  if (typeof header === 'string') throw new RecordingError(`recording ${id} can't be believed: ${header}`)
  return await RecordingReader.open(source, keys)
}

/** Opens the one recording that was asked for, and closes it afterwards. @throws Error in words. */
export async function withRecording<Result>(
  values: ReadingValues,
  positionals: readonly string[],
  command: string,
  use: (reader: RecordingReader, source: RecordingSource, reading: Reading) => Promise<Result>,
): Promise<Result> {
  const [id, ...more] = positionals
  if (id === undefined || more.length > 0) throw new UsageError(`${command} takes the name of one recording`)
  const reading = readingFor(values)
  await using store = await openPlace(values)
  await using source = await store.open(id)
  if (!source) throw new Error(`${store.place}: there is no recording ${id}`)
  return await use(await openRecording(source, id, reading), source, reading)
}
