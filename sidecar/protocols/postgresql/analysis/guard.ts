/** Texts that are not even given to the parser: too long, too deep, or not to be read as they look. */
import { isUtf8 } from 'node:buffer'
import { isSafeEncoding, isUtf8Encoding } from './settings.ts'
import type { SessionContext } from './types.ts'

/** Longer texts are data more than intent, and parsing them would hold up everybody else. */
export const maximumTextLength = 1_000_000

/**
 * Words and operators that are analysed in about a quarter of a second, in which nobody else is served. Bulk data is mostly
 * constants, which take much less.
 */
export const maximumWords = 40_000

const maximumCommentDepth = 32
const maximumParentheses = 500

/** @returns why the text is opaque without being read, in words. */
export function refusedUnread(text: Buffer, context: SessionContext): string | undefined {
  if (text.length > maximumTextLength) return `the statement is longer than ${maximumTextLength} bytes`
  if (text.includes(0)) return 'the statement holds a NUL byte'
  if (
    isUtf8Encoding(context.clientEncoding)
      ? !isUtf8(text)
      : !isSafeEncoding(context.clientEncoding) || hasHighBytes(text)
  )
    return `the statement can't be read in client_encoding ${context.clientEncoding}`
  if (!context.standardConformingStrings && text.includes(0x5c))
    return 'backslashes have another meaning while standard_conforming_strings is off'
  if (text.length > maximumWords && hasTooManyWords(text))
    return `the statement has more than ${maximumWords} words and operators`
  return tooDeep(text)
}

/** What a comma costs: a constant mostly goes with it. */
const commaCost = 0.25

/** Counts what stands in quotes only where it is not certain where they end. */
function hasTooManyWords(text: Buffer): boolean {
  const plain = !['\\', '$', '--', '/*'].some((mark) => text.includes(mark))
  let words = 0
  let quote = 0
  let before: 'word' | 'operator' | 'other' = 'other'
  for (const byte of text) {
    if (quote !== 0) {
      if (byte === quote) quote = 0
      continue
    }
    if (plain && (byte === 0x27 || byte === 0x22)) quote = byte
    const kind = isWordByte(byte) ? 'word' : operatorBytes.has(byte) ? 'operator' : 'other'
    if (byte === 0x2c) words += commaCost
    else if (kind !== 'other' && kind !== before && !isDigit(byte)) words++
    before = kind
    if (words > maximumWords) return true
  }
  return false
}

const operatorBytes: ReadonlySet<number> = new Set(Buffer.from('+-*/<>=~!@#%^&|`?:.'))

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function isWordByte(byte: number): boolean {
  const letter = byte | 0x20
  return (letter >= 0x61 && letter <= 0x7a) || isDigit(byte) || byte === 0x5f || byte > 0x7f
}

function hasHighBytes(text: Buffer): boolean {
  for (const byte of text) if (byte > 0x7f) return true
  return false
}

/** Counts more than it must (quotes are not looked at), so it may refuse what the parser could read, never the reverse. */
export function tooDeep(text: Buffer): string | undefined {
  let comments = 0
  let parentheses = 0
  for (let index = 0; index < text.length; index++) {
    const byte = text[index]
    if (byte === 0x2f && text[index + 1] === 0x2a) comments++
    if (byte === 0x28 || byte === 0x5b) parentheses++
    if (byte === 0x29 || byte === 0x5d) parentheses--
    if (parentheses > maximumParentheses) return 'the statement is nested too deeply'
  }
  return comments > maximumCommentDepth && comments * text.length > 4_000_000
    ? 'the statement has too many comments'
    : undefined
}
