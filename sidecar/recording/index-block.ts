/** The last block: where to find what, by time and by command. */
import { headLength } from './blocks.ts'

export interface IndexEntry {
  /** Of a block, in bytes from the recording's beginning. */
  readonly position: number
  /** Of its first entry, in microseconds since the recording's start. */
  readonly time: number
  /** How many commands began before it. */
  readonly commandsBefore: number
}

const entryLength = 20
/** The block's length and these bytes stand at the very end, so that the index is found from there. */
const endMark = Buffer.from('FBRE', 'latin1')
export const trailerLength = 4 + endMark.length

/** Blocks are left out of the index rather than that it grows with the session. */
const maximumEntries = 4096

/** Collects at most so many blocks, evenly spread. */
export class SparseIndex {
  entries: IndexEntry[] = []
  #every = 1
  #seen = 0

  add(entry: IndexEntry): void {
    if (this.#seen++ % this.#every !== 0) return
    if (this.entries.length === maximumEntries) {
      this.entries = this.entries.filter((_, index) => index % 2 === 0)
      this.#every *= 2
      if ((this.#seen - 1) % this.#every !== 0) return
    }
    this.entries.push(entry)
  }
}

export function encodeIndex(entries: readonly IndexEntry[]): Buffer {
  const body = Buffer.alloc(entries.length * entryLength + trailerLength)
  entries.forEach(({ position, time, commandsBefore }, index) => {
    body.writeBigUInt64BE(BigInt(position), index * entryLength)
    body.writeBigUInt64BE(BigInt(time), index * entryLength + 8)
    body.writeUInt32BE(commandsBefore, index * entryLength + 16)
  })
  body.writeUInt32BE(headLength + body.length, body.length - trailerLength)
  endMark.copy(body, body.length - endMark.length)
  return body
}

/** @returns the entries, or undefined when this is no index. */
export function decodeIndex(body: Buffer): IndexEntry[] | undefined {
  if (indexLength(body) !== headLength + body.length) return undefined
  const entries: IndexEntry[] = []
  for (let at = 0; at + entryLength <= body.length - trailerLength; at += entryLength)
    entries.push({
      position: Number(body.readBigUInt64BE(at)),
      time: Number(body.readBigUInt64BE(at + 8)),
      commandsBefore: body.readUInt32BE(at + 16),
    })
  return entries
}

/** @param end of a recording. @returns the length of its index block with the head; undefined when it has none. */
export function indexLength(end: Buffer): number | undefined {
  if (end.length < trailerLength || !end.subarray(-endMark.length).equals(endMark)) return undefined
  return end.readUInt32BE(end.length - trailerLength)
}
