/** What a body is, by what is said of it. */
import { MIMEType } from 'node:util'
import type { Result } from '../../../session.ts'
import { listOf } from '../head/head.ts'
import type { ContentCoding, HeaderFields } from '../request.ts'

export interface ContentType {
  /** In lower case, without parameters; empty where nothing is said. */
  readonly mediaType: string
  readonly parameters: ReadonlyMap<string, string>
}

const utf8 = new Set(['utf-8', 'utf8', 'us-ascii'])

/** @returns why clients and servers may read it in several ways. */
export function contentTypeOf(headers: HeaderFields): Result<ContentType, string> {
  const values = headers.filter(([name]) => name === 'content-type').map(([, value]) => value)
  const [value] = values
  if (values.length > 1) return { ok: false, error: 'the body has more than one Content-Type' }
  if (value === undefined || value.trim() === '')
    return { ok: true, value: { mediaType: '', parameters: new Map() } }
  const type = parseType(value)
  if (!type) return { ok: false, error: 'the Content-Type is none' }
  // of two, some take the first and others the last
  if ((value.match(/charset/gi)?.length ?? 0) > 1)
    return { ok: false, error: 'the Content-Type has more than one charset' }
  const charset = type.params.get('charset')?.toLowerCase() ?? 'utf-8'
  if (!utf8.has(charset)) return { ok: false, error: 'a body that is not in UTF-8 can’t be looked into' }
  return { ok: true, value: { mediaType: type.essence, parameters: new Map(type.params) } }
}

/** The type of a request's body that is to be read. @returns why it can't be. */
export function requestTypeOf(headers: HeaderFields): Result<ContentType, string> {
  const codings = codingsOf(headers)
  if (!codings.ok) return codings
  return codings.value.length === 0
    ? contentTypeOf(headers)
    : { ok: false, error: 'a compressed body of a request can’t be looked into' }
}

function parseType(value: string): MIMEType | undefined {
  try {
    return new MIMEType(value)
  } catch {
    return undefined
  }
}

export function isJsonType(mediaType: string): boolean {
  return mediaType === 'application/json' || mediaType === 'text/json' || mediaType.endsWith('+json')
}

const codings: Readonly<Record<string, ContentCoding>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
  br: 'br',
  zstd: 'zstd',
}

/** More than one is hardly ever meant, and more than two never. */
const maximumCodings = 2

/** @returns what was done to a body, in this order; or what isn't known of it. */
export function codingsOf(headers: HeaderFields): Result<readonly ContentCoding[], string> {
  const named = listOf(headers, 'content-encoding')
    .map((name) => name.toLowerCase())
    .filter((name) => name !== '' && name !== 'identity')
  if (named.length > maximumCodings) return { ok: false, error: 'the body is compressed too many times over' }
  const known = named.flatMap((name) => (Object.hasOwn(codings, name) ? [codings[name] ?? []] : [])).flat()
  return known.length === named.length
    ? { ok: true, value: known }
    : { ok: false, error: 'the body is compressed in a way that is not known here' }
}
