import { decodeHeader, type RecordingHeader } from '@firebreak/sidecar/recording/header.ts'
import type { RecordingSource } from '@firebreak/sidecar/recording/store.ts'
import { walk } from '@firebreak/sidecar/recording/walk.ts'

/** What may be known of a recording without a key. @returns the header, or why it can't be believed. */
export async function provenHeader(
  source: RecordingSource,
  id: string,
  trusted: readonly string[] | undefined,
): Promise<RecordingHeader | string> {
  for await (const block of walk(source, trusted)) {
    if (block.kind === 'broken') return block.what
    if (block.kind === 'torn') break
    const header = decodeHeader(block.body)
    if (typeof header === 'string' || header.recording === id) return header
    return 'this is another recording'
  }
  return 'it has no header'
}
