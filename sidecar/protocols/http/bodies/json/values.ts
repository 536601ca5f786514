/** What stands for a masked value in JSON: a string for a string, a number for a number. */
import { applyMask, type FieldMask, keyedHash, maskDetected } from '@firebreak/policy'
import type { BodyTerms } from '../../request.ts'
import { longStringBeginning } from './reader.ts'

export const nothing = Buffer.from('null')
export const emptyObject = Buffer.from('{}')
export const redacted = Buffer.from('"********"')
const zero = Buffer.from('0')
const no = Buffer.from('false')
const quote = 0x22
const backslash = 0x5c
const asterisk = 0x2a
/** Longer ones are rare. */
const keptScratch = Buffer.alloc(1024)

export function maskString({ strategy }: FieldMask, value: string, key: Uint8Array): Buffer {
  const masked = applyMask(strategy, value, key)
  return masked === undefined ? nothing : quoted(masked)
}

/**
 * The same as {@link maskString} for the token of a text where a byte is a character, which nearly all are.
 *
 * @returns bytes that hold until it is called again; undefined for another text.
 */
export function keepLastOfPlain(
  bytes: Buffer,
  start: number,
  end: number,
  count: number,
): Buffer | undefined {
  const length = end - start
  if (length > keptScratch.length) return undefined
  for (let at = start + 1; at < end - 1; at++) {
    const byte = bytes[at] ?? 0
    if (byte > 0x7e || byte === backslash) return undefined
  }
  const characters = length - 2
  const hidden = characters - Math.min(count, characters >> 1)
  keptScratch[0] = quote
  for (let index = 1; index <= hidden; index++) keptScratch[index] = asterisk
  for (let index = hidden + 1; index < length; index++) keptScratch[index] = bytes[start + index] ?? 0
  return keptScratch.subarray(0, length)
}

export function quoted(text: string): Buffer {
  return Buffer.from(JSON.stringify(text))
}

/** @returns undefined for null, of which there is nothing to hide. */
export function maskScalar({ strategy }: FieldMask, text: string, key: Uint8Array): Buffer | undefined {
  if (text === 'null') return undefined
  if (strategy.kind === 'null') return nothing
  if (text === 'true' || text === 'false') return no
  return strategy.kind === 'hash' ? Buffer.from(hashNumber(text, key)) : zero
}

/** Equal numbers stay equal, so that they can be joined. Within what every reader of JSON keeps exactly. */
function hashNumber(text: string, key: Uint8Array): string {
  const isInteger = !/[.eE]/.test(text)
  return String(keyedHash(isInteger ? text : String(Number(text)), key).readUIntBE(0, 6))
}

/** The shortest thing that a detector finds in a number: digits of a card. */
const shortestDetectedNumber = 12

/** @returns what stands for a number in which something is found; undefined for any other. */
export function inspectScalar({ detectors }: BodyTerms, text: string): Buffer | undefined {
  if (text.length < shortestDetectedNumber) return undefined
  const value = Number(text)
  const digits = Number.isInteger(value) && /[.eE]/.test(text) ? String(value) : text
  return maskDetected(digits, detectors) === digits ? undefined : zero
}

/** Whether text begins as what could be JSON itself. */
export function mayBeJson(text: string): boolean {
  const first = text.trimStart()[0]
  return first === '{' || first === '[' || first === '"'
}

/** Whether text begins as JSON with fields does, whatever becomes of it then. */
export function isJsonBroken(text: string): boolean {
  return /^[\s[]*\{\s*"/.test(text)
}

/** Whether a string token may be JSON itself, by its first bytes alone: it begins with a bracket, or in disguise. */
export function beginsLikeJson(bytes: Buffer, start: number): boolean {
  for (let at = start + 1; at < start + longStringBeginning; at++) {
    const byte = bytes[at]
    if (byte === 0x7b || byte === 0x5b || byte === 0x5c) return true
    if (byte !== 0x20) return false
  }
  return true
}
