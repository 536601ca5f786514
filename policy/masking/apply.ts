/** How masked text looks. Pure: the same value, strategy and key always give the same answer. */
import { createHmac } from 'node:crypto'
import type { MaskStrategy } from '../decision.ts'
import { keepFormat } from './format.ts'

/** A fixed length: even the length of a value tells something. */
const redacted = '********'

/** Of a value this long or shorter nothing is kept by a partial mask: what stays would be most of it. */
const shortestPartial = 2

/**
 * Masks one text value.
 *
 * @param key secret of the installation; without it a hash or a kept format could be reversed by trying values.
 * @returns undefined for SQL NULL and its like in other protocols.
 */
export function applyMask(strategy: MaskStrategy, value: string, key: Uint8Array): string | undefined {
  switch (strategy.kind) {
    case 'redact':
      return redacted
    case 'null':
      return undefined
    case 'partial':
      return keepLast(value, strategy.keepLast)
    case 'hash':
      return keyedHash(value, key).toString('hex').slice(0, 32)
    case 'format':
      return keepFormat(strategy.format, value, keyedHash(value, key)) ?? redacted
  }
}

function keepLast(value: string, count: number): string {
  const characters = [...value]
  const kept = Math.min(count, Math.floor(characters.length / shortestPartial))
  const hidden = characters.length - kept
  return '*'.repeat(hidden) + characters.slice(hidden).join('')
}

/** HMAC-SHA-256 (RFC 2104). */
export function keyedHash(value: string, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(value).digest()
}
