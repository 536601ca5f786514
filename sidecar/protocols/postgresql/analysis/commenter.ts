/**
 * What a client's tracing writes into a comment at the end of a statement.
 * https://open-telemetry.github.io/opentelemetry-sqlcommenter/specifications
 */
import { scanSync } from 'libpg-query'
import { tooDeep } from './guard.ts'
import './parse.ts'

/** Longer texts are not cut into tokens for this. In characters. */
const maximumText = 100_000
/** Of a comment. A `tracestate` has at most 512 characters, and the rest are names of the client's code. */
const maximumComment = 2_048

/** @returns the `traceparent` that the text's last comment claims; undefined where it has none, or several. */
export function claimedTraceParent(text: string): string | undefined {
  if (text.length > maximumText || !text.includes('traceparent=')) return undefined
  const comment = lastComment(text)
  if (comment === undefined || comment.length > maximumComment) return undefined
  const claims = readPairs(comment.slice(2, -2))?.filter(([key]) => key === 'traceparent') ?? []
  return claims.length === 1 ? claims[0]?.[1] : undefined
}

/** What looks like a comment may stand in a string: only the lexer can tell. */
function lastComment(text: string): string | undefined {
  const bytes = Buffer.from(text)
  if (bytes.includes(0) || tooDeep(bytes)) return undefined
  try {
    const last = scanSync(text).tokens.findLast((token) => token.text !== ';')
    return last?.text.startsWith('/*') ? last.text : undefined
  } catch {
    return undefined
  }
}

/** @returns the pairs of `key='value',…` with their escapes undone; undefined when it is not of that form. */
function readPairs(text: string): readonly (readonly [string, string])[] | undefined {
  const pairs: (readonly [string, string])[] = []
  let index = 0
  while (index < text.length) {
    const equals = text.indexOf("='", index)
    if (equals < 0) return text.slice(index).trim() === '' ? pairs : undefined
    const end = endOfValue(text, equals + 2)
    if (end === undefined) return undefined
    const key = decoded(text.slice(index, equals).trim())
    const value = decoded(text.slice(equals + 2, end))
    if (key === undefined || value === undefined) return undefined
    pairs.push([key, value])
    index = afterSeparator(text, end + 1)
    if (index === -1) return undefined
  }
  return pairs
}

/** Quotes within a value have a backslash before them. */
function endOfValue(text: string, start: number): number | undefined {
  for (let index = start; index < text.length; index++) {
    if (text[index] === '\\') index++
    else if (text[index] === "'") return index
  }
  return undefined
}

/** @returns where the next pair begins; -1 when something else than a comma stands between. */
function afterSeparator(text: string, start: number): number {
  const comma = text.indexOf(',', start)
  const end = comma < 0 ? text.length : comma
  if (text.slice(start, end).trim() !== '') return -1
  return comma < 0 ? end : comma + 1
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll(/\\(.)/g, '$1'))
  } catch {
    return undefined
  }
}
