/** Where recordings are, and the keys to them, as all commands about sessions take it. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { keyFiles } from '@firebreak/sidecar/recording/installation-keys.ts'
import { parseIdentities } from '@firebreak/sidecar/recording/keys.ts'
import type { RecordingStore } from '@firebreak/sidecar/recording/store.ts'
import { openStore } from '@firebreak/sidecar/recording/stores/open-store.ts'
import { UsageError } from '../command.ts'
import { parseRecordings, recordingsHelp } from '../recording-target.ts'

export const placeOptions = {
  config: { type: 'string' },
  state: { type: 'string' },
  recordings: { type: 'string' },
} as const

export const placeHelp = `${recordingsHelp}
                    (default: the variable FIREBREAK_RECORDINGS)
  --config DIR      the directory that the runner was started with: its folders recordings and recording-keys
  --state DIR       the runner's own --state, if it was given one (default: the variable FIREBREAK_STATE)`

interface Values {
  readonly config?: string | undefined
  readonly state?: string | undefined
  readonly recordings?: string | undefined
}

/** @throws UsageError when nothing says where; Error in words when there is nothing. */
export async function openPlace(values: Values): Promise<RecordingStore> {
  const base = baseOf(values)
  const place =
    values.recordings ?? (base === undefined ? process.env.FIREBREAK_RECORDINGS : join(base, 'recordings'))
  if (place === undefined)
    throw new UsageError('--recordings PLACE, --config DIR or --state DIR is needed, to find the recordings')
  const target = parseRecordings(place)
  if (target.kind === 'directory' && !existsSync(target.path))
    throw new Error(`${target.path}: there are no recordings`)
  return await openStore(target)
}

/** The public keys of those who may have signed; undefined where nothing says so. */
export function trustedSigners(values: Values, given: readonly string[]): readonly string[] | undefined {
  if (given.length > 0) return given
  const text = readKeyFile(values, keyFiles.trusted)
  return text === undefined ? undefined : [text.trim()]
}

/** The private keys to read with. @param files of age, as --key names them. @throws UsageError when there is none. */
export function readerKeys(values: Values, files: readonly string[]): readonly string[] {
  const texts = files.map((file) => readFileSync(file, 'utf8'))
  const own = files.length > 0 ? undefined : readKeyFile(values, keyFiles.reader)
  const keys = (own === undefined ? texts : [own]).flatMap(parseIdentities)
  if (keys.length === 0)
    throw new UsageError('--key FILE is needed: the private key of one whom the recordings are for')
  return keys
}

/** Whether the runner's own key to read is there. */
export function hasReaderKey(values: Values): boolean {
  return readKeyFile(values, keyFiles.reader) !== undefined
}

function readKeyFile(values: Values, name: string): string | undefined {
  const base = baseOf(values)
  const path = base === undefined ? undefined : join(base, 'recording-keys', name)
  return path !== undefined && existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

function baseOf({ config, state }: Values): string | undefined {
  return state ?? config ?? process.env.FIREBREAK_STATE
}
