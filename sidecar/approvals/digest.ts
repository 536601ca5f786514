/** What an approval is bound to. */
import { createHash, type Hash } from 'node:crypto'
import type { HeldCommand } from '../session.ts'

/**
 * SHA-256 over the exact bytes of a command, in hexadecimal. Everything is preceded by its length, so that nothing can be
 * moved from one part into another and still give the same digest.
 */
export function commandDigest({
  statement,
  parameters,
  context,
}: Pick<HeldCommand, 'statement' | 'parameters' | 'context'>): string {
  const hash = createHash('sha256')
  add(hash, statement)
  addCount(hash, parameters.length)
  for (const { encoding, value } of parameters) {
    add(hash, encoding)
    addCount(hash, value === null ? 0 : 1)
    if (value !== null) add(hash, value)
  }
  addCount(hash, context.length)
  for (const item of context) add(hash, item)
  return hash.digest('hex')
}

function add(hash: Hash, part: Uint8Array | string): void {
  const bytes = typeof part === 'string' ? Buffer.from(part) : part
  addCount(hash, bytes.length)
  hash.update(bytes)
}

function addCount(hash: Hash, count: number): void {
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE(BigInt(count))
  hash.update(length)
}
