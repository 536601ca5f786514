/** Whether a recording is whole, in order and unaltered. Needs no key to read it. */
import { blockKind, hashOfHead } from './blocks.ts'
import { decodeHeader, type RecordingHeader } from './header.ts'
import type { RecordingSource } from './store.ts'
import { type BrokenBlock, walk } from './walk.ts'

/** What is proven of a recording. */
export interface Proven {
  readonly header: RecordingHeader
  readonly blocks: number
  readonly commands: number
  /** From its beginning to its last entry. */
  readonly microseconds: number
  /** In bytes. */
  readonly length: number
  /** SHA-256 of the last block's head, in hexadecimal: the audit trail names it at a recording's end. */
  readonly hash: string
}

/**
 * `whole`: from the first byte to the end that the writer made.
 * `unfinished`: what is there is unaltered, and there is no end: it is being written, the writer was killed, or the
 * end was cut off. `rest`: bytes of a block that isn't whole.
 * `broken`: up to the named place it is unaltered.
 */
export type Verification =
  | { readonly state: 'whole'; readonly proven: Proven }
  | { readonly state: 'unfinished'; readonly proven: Proven; readonly rest: number }
  | { readonly state: 'broken'; readonly proven?: Proven; readonly fault: Omit<BrokenBlock, 'kind'> }

/**
 * @param recording its name: another recording in its place is broken.
 * @param trusted the keys that may have signed it, as headers name them. Absent: whichever the header names, which
 * proves that it is of one piece, and not who wrote it.
 */
export async function verifyRecording(
  source: RecordingSource,
  recording: string,
  trusted?: readonly string[],
): Promise<Verification> {
  let proven: Proven | undefined
  let ended = false
  let rest = 0
  for await (const block of walk(source, trusted)) {
    if (block.kind === 'broken') {
      const { kind: _, ...fault } = block
      return { state: 'broken', fault, ...(proven && { proven }) }
    }
    if (block.kind === 'torn') {
      rest = block.length
      break
    }
    const { position, head, body } = block
    const header: RecordingHeader | string = proven?.header ?? decodeHeader(body)
    if (typeof header === 'string' || header.recording !== recording) {
      const what = typeof header === 'string' ? header : 'this is another recording'
      return { state: 'broken', fault: { block: 0, position, length: head.bytes.length + body.length, what } }
    }
    proven = {
      header,
      blocks: head.number + 1,
      commands: head.commandsBefore + head.commands,
      microseconds: head.lastTime,
      length: position + head.bytes.length + body.length,
      hash: hashOfHead(head.bytes).toString('hex'),
    }
    ended = head.kind === blockKind.index
  }
  if (!proven)
    return {
      state: 'broken',
      fault: { block: 0, position: 0, length: source.size, what: 'it has no header' },
    }
  return ended ? { state: 'whole', proven } : { state: 'unfinished', proven, rest }
}
