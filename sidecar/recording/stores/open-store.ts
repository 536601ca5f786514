/** Opens the store of a place. What talks to it is loaded then. */
import type { RecordingSinks, RecordingStore } from '../store.ts'
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

/** Opens a place for one who only writes. @throws Error in words, when it can't be used. */
export async function openSinks(target: RecordingTarget): Promise<RecordingSinks> {
  return target.kind === 's3'
    ? new (await import('./s3-blocks.ts')).S3Blocks(target)
    : await openStore(target)
}
