/** Opens the store of a place. What talks to it is loaded then. */
import type { RecordingStore } from '../store.ts'
import type { RecordingTarget } from '../target.ts'

/** @throws Error in words, when it can't be used. */
export async function openStore(target: RecordingTarget): Promise<RecordingStore> {
  switch (target.kind) {
    case 'directory':
      return await (await import('./directory.ts')).DirectoryStore.open(target.path)
    case 's3':
      return await (await import('./s3.ts')).S3Store.open(target)
    case 'postgresql':
      return await (await import('./postgresql.ts')).PostgresqlStore.open(target)
  }
}
