/**
 * What masks hid of responses, kept beside them under a key of its own. It stands in blocks before the block of entries that it
 * is of. Those are not compressed, and padded, so that their lengths tell little of what is in them.
 */

/** Bytes that stand in place of one response of the next block of entries. Several of the same follow each other. */
interface Piece {
  /** Its number among the responses of that block, from 0 on. */
  readonly response: number
  readonly bytes: Buffer
}

/** How many bytes are used; the rest is padding. */
const usedLength = 4
const pieceHeadLength = 8
/** In bytes, with padding. */
const largest = 128 * 1024
const smallest = 4 * 1024
const longestPiece = 64 * 1024

/** Collects pieces for one block. */
export class UnmaskedPieces {
  #pieces: Piece[] = []
  #length = usedLength

  get isEmpty(): boolean {
    return this.#pieces.length === 0
  }

  hasRoomFor(bytes: number): boolean {
    return this.#length + pieceHeadLength + bytes <= largest
  }

  add(response: number, bytes: Buffer): void {
    this.#pieces.push({ response, bytes })
    this.#length += pieceHeadLength + bytes.length
  }

  /** @returns what the block holds, padded. Begins anew. */
  take(): Buffer {
    const block = Buffer.alloc(paddedLength(this.#length))
    block.writeUInt32BE(this.#length)
    let at = usedLength
    for (const { response, bytes } of this.#pieces) {
      block.writeUInt32BE(response, at)
      block.writeUInt32BE(bytes.length, at + 4)
      bytes.copy(block, at + pieceHeadLength)
      at += pieceHeadLength + bytes.length
    }
    this.#pieces = []
    this.#length = usedLength
    return block
  }
}

/** The bytes as pieces that fit into a block; of none there is one, which is empty. */
export function* piecesOf(bytes: Buffer): Generator<Buffer> {
  let at = 0
  do {
    yield Buffer.from(bytes.subarray(at, at + longestPiece))
    at += longestPiece
  } while (at < bytes.length)
}

/** Adds what a block holds to what is known of the responses in the next block of entries. @throws Error when it is not well formed. */
export function readPieces(block: Buffer, known: Map<number, Buffer>): void {
  const used = block.readUInt32BE()
  for (let at = usedLength; at < used; ) {
    const response = block.readUInt32BE(at)
    const start = at + pieceHeadLength
    at = start + block.readUInt32BE(at + 4)
    if (at > used) throw new Error('a piece is cut off')
    const before = known.get(response)
    const bytes = block.subarray(start, at)
    known.set(response, before ? Buffer.concat([before, bytes]) : bytes)
  }
}

/** One of a few: the smallest, and each twice the one before. */
function paddedLength(length: number): number {
  let padded = smallest
  while (padded < length) padded *= 2
  return padded
}
