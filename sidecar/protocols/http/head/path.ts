/** The path of a request in one form, and what else servers are known to take it for. */
import type { Result } from '../../../session.ts'
import type { CanonicalPath } from '../request.ts'

/** https://www.rfc-editor.org/rfc/rfc3986#section-2.3 */
const unreserved = /^[A-Za-z0-9._~-]$/
/** What stands in a segment as it is, besides the unreserved: https://www.rfc-editor.org/rfc/rfc3986#section-3.3 */
const plainInSegment = /^[!$&'()*+,;=:@]$/
/** How often a server and what is behind it may decode one after the other. Deeper is nothing but a disguise. */
const maximumDecodings = 3
const maximumSegments = 256

/**
 * @param raw as it stands in the request, without its query.
 * @returns why it has no one meaning, in words.
 */
export function canonicalPath(raw: string): Result<CanonicalPath, string> {
  if (!raw.startsWith('/')) return refused('the path of a request begins with a slash')
  const rawSegments = raw.slice(1).split('/')
  if (rawSegments.length > maximumSegments) return refused('the path has too many segments')
  const segments: string[] = []
  let text = ''
  for (const rawSegment of rawSegments) {
    const canonical = canonicalSegment(rawSegment)
    if (!canonical.ok) return canonical
    segments.push(canonical.value.decoded)
    text += `/${canonical.value.encoded}`
  }
  const readings = otherReadings(segments)
  return readings.ok ? { ok: true, value: { text, segments, otherReadings: readings.value } } : readings
}

/** Decoded, and encoded again in the one way. */
function canonicalSegment(
  raw: string,
): Result<{ readonly encoded: string; readonly decoded: string }, string> {
  let encoded = ''
  let isEncoded = false
  for (let at = 0; at < raw.length; at++) {
    const character = raw[at] ?? ''
    if (character === '%') {
      const hex = raw.slice(at + 1, at + 3)
      if (!/^[0-9A-Fa-f]{2}$/.test(hex)) return refused('the path has a percent sign that encodes nothing')
      const meant = String.fromCharCode(Number.parseInt(hex, 16))
      if (unreserved.test(meant)) encoded += meant
      else {
        isEncoded = true
        encoded += `%${hex.toUpperCase()}`
      }
      at += 2
    } else if (unreserved.test(character) || plainInSegment.test(character)) encoded += character
    else if (/^["<>^`{|}[\]]$/.test(character)) {
      isEncoded = true
      encoded += `%${character.charCodeAt(0).toString(16).toUpperCase()}`
    } else return refused('the path has a character that may not stand in one as it is')
  }
  if (!isEncoded) return { ok: true, value: { encoded, decoded: encoded } }
  const decoded = decodeStrictly(encoded)
  if (decoded === undefined) return refused('the path is not valid UTF-8')
  if (hasControl(decoded)) return refused('the path has an encoded control character')
  return { ok: true, value: { encoded, decoded } }
}

/** Overlong forms and lone surrogates are no UTF-8. */
function decodeStrictly(encoded: string): string | undefined {
  try {
    return decodeURIComponent(encoded)
  } catch {
    return undefined
  }
}

function hasControl(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return /[\u0000-\u001f\u007f]/.test(text)
}

/** One way in which a server may be lenient: what a path becomes by it. */
type Leniency = (segments: readonly string[]) => readonly string[]

/** Each is applied to what those before it made, or not: what is taken apart first is looked at in pieces later. */
const leniencies: readonly Leniency[] = [
  withoutAuthority,
  withoutHost,
  // letters in other shapes, some of which are slashes
  (segments) => segments.map((segment) => segment.normalize('NFKC')),
  (segments) => segments.flatMap((segment) => segment.split(/[/\\]/)),
  // parameters of a segment, as in servlets: /admin;a=b
  (segments) => segments.map(withoutParameters),
  (segments) => segments.map((segment) => segment.replace(/[. ]+$/, '')),
  withoutEmpty,
  (segments) => segments.map((segment) => segment.toLowerCase()),
]

/** What begins with two slashes is a host and its path to a parser of URLs that is given a reference. */
function withoutAuthority(segments: readonly string[]): readonly string[] {
  if (segments[0] !== '' || segments.length < 2) return segments
  return segments.length === 2 ? [''] : segments.slice(2)
}

/** To those of browsers and Node however many slashes come before the host. https://url.spec.whatwg.org/#special-authority-ignore-slashes-state */
function withoutHost(segments: readonly string[]): readonly string[] {
  const host = segments.findIndex((segment) => segment !== '')
  if (segments[0] !== '' || host < 0) return segments
  return host === segments.length - 1 ? [''] : segments.slice(host + 1)
}

function withoutParameters(segment: string): string {
  const semicolon = segment.indexOf(';')
  return semicolon < 0 ? segment : segment.slice(0, semicolon)
}

function withoutEmpty(segments: readonly string[]): readonly string[] {
  const kept = segments.filter((segment) => segment !== '')
  return kept.length === 0 ? [''] : kept
}

/** Segments as servers compare them that care for no letters' forms, nor for slashes in a row and at the end. */
export function looseSegments(segments: readonly string[]): readonly string[] {
  return segments.filter((segment) => segment !== '').map(looseText)
}

export function looseText(text: string): string {
  return text.normalize('NFKC').toLowerCase()
}

function otherReadings(segments: readonly string[]): Result<readonly (readonly string[])[], string> {
  // most paths are read in one way alone
  if (segments.every((segment) => /^[a-z0-9_~-]+$/.test(segment))) return { ok: true, value: [] }
  const readings = new Map<string, readonly string[]>([[keyOf(segments), segments]])
  let decoded = segments
  for (let times = 0; ; times++) {
    if (decoded.some(leadsElsewhere)) return refused('the path has a dot segment, or one in disguise')
    readings.set(keyOf(decoded), decoded)
    const next = decoded.map(decodeLeniently)
    if (next.every((segment, index) => segment === decoded[index])) break
    if (times === maximumDecodings) return refused('the path is encoded several times over')
    if (next.some(hasControl)) return refused('the path has an encoded control character')
    decoded = next
  }
  for (const lenient of leniencies)
    for (const reading of [...readings.values()]) {
      const other = lenient(reading)
      readings.set(keyOf(other), other)
    }
  readings.delete(keyOf(segments))
  return { ok: true, value: [...readings.values()] }
}

/** Whether some server would go up, or stay, at a segment. */
function leadsElsewhere(segment: string): boolean {
  return segment
    .normalize('NFKC')
    .split(/[/\\]/)
    .some((part) => /^\.{1,2} *$/.test(withoutParameters(part)))
}

/** What can't be decoded once more stands for itself. */
function decodeLeniently(segment: string): string {
  return segment.includes('%') ? (decodeStrictly(segment) ?? segment) : segment
}

function keyOf(segments: readonly string[]): string {
  return segments.join('\0')
}

function refused(error: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error }
}
