/** What was read masked and is sent again: it would take the place of what it hides. */
import { holdsBytes } from '../documents/bytes.ts'
import type { Document } from '../documents/document.ts'

/**
 * The names that lead to values that a mask may have left. A hash, or a value of a kept format, can't be told from others.
 *
 * @param kind of the object, as rules name it.
 * @param removes whether null in an element of a list takes a field away from it.
 */
export function* writtenBack(
  document: Document,
  kind: string,
  removes: boolean,
  names: readonly string[] = [],
  inList = false,
): Generator<readonly string[]> {
  if (document instanceof Map)
    for (const [name, value] of document) yield* writtenBack(value, kind, removes, [...names, name], inList)
  else if (Array.isArray(document))
    for (const value of document) yield* writtenBack(value, kind, removes, names, true)
  // outside of lists it is how fields are removed
  else if (document === null ? inList && !removes : isMasked(document, kind, names)) yield names
}

function isMasked(value: Document, kind: string, names: readonly string[]): boolean {
  if (typeof value !== 'string') return false
  return looksMasked(holdsBytes(kind, names) ? Buffer.from(value, 'base64').toString() : value)
}

/** A mask leaves asterisks, and at most as much of the value behind them. One alone mostly means anything. */
export function looksMasked(text: string): boolean {
  const shown = text.replace(/^\*+/, '')
  const hidden = text.length - shown.length
  return hidden > 1 && hidden >= [...shown].length
}
