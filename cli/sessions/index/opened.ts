/** The index of a place's recordings, as the commands that use it take it. */
import type { DatabaseSync } from 'node:sqlite'
import type { RecordingStore } from '@firebreak/sidecar/recording/store.ts'
import { UsageError } from '../../command.ts'
import { type Reading, type ReadingValues, readingOptions } from '../recording.ts'
import { defaultIndexPath, openIndex } from './database.ts'
import { type Progress, updateIndex } from './update.ts'
import { IndexWriter } from './writer.ts'

export const indexOptions = {
  ...readingOptions,
  index: { type: 'string' },
  'as-indexed': { type: 'boolean' },
} as const

export const indexHelp = `  --index FILE      where the index is kept, which holds decrypted text (default: a file for each place, in
                    \${XDG_STATE_HOME:-~/.local/state}/firebreak/sessions)`

export const asIndexedHelp = `  --as-indexed      ask the index as it is, without looking for what was recorded since`

export interface IndexValues extends ReadingValues {
  readonly index?: string | undefined
  readonly 'as-indexed'?: boolean | undefined
}

export function indexPath(values: IndexValues, store: RecordingStore): string {
  return values.index ?? defaultIndexPath(store.place)
}

/** Opens the index and, if it is not to be taken as it is, brings it to what the store holds. */
export async function useIndex<Result>(
  values: IndexValues,
  store: RecordingStore,
  reading: Reading,
  use: (database: DatabaseSync) => Result,
): Promise<Result> {
  if (values['as-indexed'] && values.signer)
    throw new UsageError('--as-indexed looks at no signature, and --signer asks for one')
  const database = openIndex(indexPath(values, store))
  try {
    if (!values['as-indexed']) await bringUpToDate(database, store, reading)
    return use(database)
  } finally {
    database.close()
  }
}

/** Tells on a terminal how far it is. */
export async function bringUpToDate(
  database: DatabaseSync,
  store: RecordingStore,
  reading: Reading,
): Promise<Progress> {
  const { stderr } = process
  let told = 0
  const progress = await updateIndex(new IndexWriter(database), store, reading, (so) => {
    if (!stderr.isTTY || performance.now() < told + 200) return
    told = performance.now()
    stderr.write(`\rindexing: ${so.recordings} recordings, ${so.commands} commands\x1b[K`)
  })
  if (told > 0) stderr.write('\r\x1b[K')
  return progress
}
