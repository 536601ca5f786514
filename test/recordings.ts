/** What a gateway has recorded, read back. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { keyFiles } from '../sidecar/recording/installation-keys.ts'
import { parseIdentities } from '../sidecar/recording/keys.ts'
import { type ReadEntry, RecordingReader } from '../sidecar/recording/reader.ts'
import type { RecordingStore } from '../sidecar/recording/store.ts'
import { DirectoryStore } from '../sidecar/recording/stores/directory.ts'
import { type Verification, verifyRecording } from '../sidecar/recording/verify.ts'

export interface ReadRecording {
  readonly id: string
  readonly entries: readonly ReadEntry[]
  readonly verified: Verification
}

/** The recordings of a gateway that was given nothing but its directory. */
export async function recordingsOf(directory: string): Promise<ReadRecording[]> {
  await using store = await DirectoryStore.open(join(directory, 'recordings'))
  return await recordingsIn(store, join(directory, 'recording-keys'))
}

/** @param keys directory of the installation's own. */
export async function recordingsIn(store: RecordingStore, keys: string): Promise<ReadRecording[]> {
  const identities = parseIdentities(readFileSync(join(keys, keyFiles.reader), 'utf8'))
  const signer = readFileSync(join(keys, keyFiles.trusted), 'utf8').trim()
  const read: ReadRecording[] = []
  for await (const { id } of store.list()) {
    await using source = await store.open(id)
    if (!source) continue
    const reader = await RecordingReader.open(source, identities)
    const entries = await Array.fromAsync(reader.entries())
    read.push({ id, entries, verified: await verifyRecording(source, id, [signer]) })
  }
  return read
}
