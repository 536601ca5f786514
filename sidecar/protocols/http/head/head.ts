/**
 * The head of a request, held against what servers are known to read in two ways. Node's parser has refused the worst
 * already (folded lines, bare line feeds, two lengths, a length beside a chunked body); what it lets pass is refused here.
 */
import type { Result } from '../../../session.ts'
import type { HeaderFields, RequestHead } from '../request.ts'
import { isWithheld } from './forwarded.ts'
import { canonicalPath } from './path.ts'
import { parseQuery } from './query.ts'

/** A request as the parser gives it. */
export interface ParsedHead {
  readonly method: string
  /** The target, `/path?query` or another form. */
  readonly url: string
  readonly httpVersion: string
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[]
}

/** How it ended up here, in words; with the status to say it with. */
export interface MalformedRequest {
  readonly status: 400 | 405 | 414 | 431
  readonly message: string
  /** Where those can be read: whose request it is may be said then. */
  readonly headers?: HeaderFields
}

/** Servers differ in which of several they take. */
const single = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'content-encoding',
  'content-range',
  'authorization',
  'proxy-authorization',
  'firebreak-role',
  'mcp-session-id',
  'expect',
  'range',
  'upgrade',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
])

/** By these a server or what is in front of it is told another path than that of the request. */
const otherPaths = new Set([
  'x-original-url',
  'x-rewrite-url',
  'x-original-uri',
  'x-forwarded-uri',
  'x-override-url',
])

const maximumTarget = 8 * 1024
/** Parsers of HTTP/2 take more. */
const maximumHead = 32 * 1024

export function readHead(parsed: ParsedHead): Result<RequestHead, MalformedRequest> {
  const { httpVersion, rawHeaders } = parsed
  const known =
    httpVersion === '1.1' ||
    httpVersion === '1.0' ||
    (httpVersion === '2.0' && pseudoHeader(rawHeaders, ':path') !== undefined)
  if (!known) return malformed(`HTTP ${httpVersion} is not spoken here`)
  if (rawHeaders.reduce((size, part) => size + part.length, 0) > maximumHead)
    return { ok: false, error: { status: 431, message: 'the head is too large' } }
  const headers = readHeaders(rawHeaders)
  if (!headers.ok) return headers
  const problem = headerProblem(headers.value, httpVersion) ?? pseudoHeaderProblem(headers.value, rawHeaders)
  if (problem !== undefined) return malformed(problem)
  const line = readLine(parsed)
  return line.ok
    ? { ok: true, value: { ...line.value, headers: headers.value } }
    : { ok: false, error: { ...line.error, headers: headers.value } }
}

/** What HTTP/2 has instead of a line. No request of another version can have it. */
function pseudoHeader(rawHeaders: readonly string[], name: string): string | undefined {
  const at = rawHeaders.findIndex((candidate, index) => index % 2 === 0 && candidate === name)
  return at < 0 ? undefined : rawHeaders[at + 1]
}

/** The request line, or what HTTP/2 has instead. */
function readLine({ method, url }: ParsedHead): Result<Omit<RequestHead, 'headers'>, MalformedRequest> {
  if (method === 'TRACE' || method === 'CONNECT')
    return { ok: false, error: { status: 405, message: `${method} does not pass` } }
  if (url.length > maximumTarget)
    return { ok: false, error: { status: 414, message: 'the target is too long' } }
  if (!url.startsWith('/')) return malformed('the target has to be a path: this is no proxy for other hosts')
  const mark = url.indexOf('?')
  const path = canonicalPath(mark < 0 ? url : url.slice(0, mark))
  if (!path.ok) return malformed(path.error)
  const query = mark < 0 ? '' : url.slice(mark + 1)
  const parameters = parseQuery(query)
  if (!parameters.ok) return malformed(parameters.error)
  return { ok: true, value: { method, path: path.value, query, parameters: parameters.value } }
}

function readHeaders(raw: readonly string[]): Result<HeaderFields, MalformedRequest> {
  const headers: [string, string][] = []
  const seen = new Set<string>()
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] ?? '').toLowerCase()
    // HTTP/2 writes these before the others, and its parser has read them
    if (name.startsWith(':')) continue
    const meant = name.replaceAll('_', '-')
    if (otherPaths.has(meant)) return malformed(`the header ${meant} names another path`)
    // to many servers an underscore is a hyphen
    if (meant !== name && (single.has(meant) || isWithheld(meant)))
      return malformed(`a header ${meant} is written with hyphens`)
    if (single.has(name) && seen.has(name)) return malformed(`there may be one header ${name}`)
    seen.add(name)
    headers.push([name, raw[at + 1] ?? ''])
  }
  return { ok: true, value: headers }
}

function headerProblem(headers: HeaderFields, httpVersion: string): string | undefined {
  const encoding = headerOf(headers, 'transfer-encoding')
  if (encoding !== undefined) {
    if (httpVersion !== '1.1') return `Transfer-Encoding has no place in HTTP/${httpVersion}`
    if (encoding.toLowerCase() !== 'chunked') return 'the only Transfer-Encoding is chunked'
    if (headerOf(headers, 'content-length') !== undefined) return 'the body has two lengths'
  }
  const length = headerOf(headers, 'content-length')
  if (length !== undefined && !/^[0-9]{1,15}$/.test(length)) return 'the Content-Length is no number'
  const host = headerOf(headers, 'host')
  if (host === undefined) return httpVersion === '1.1' ? 'there is no Host' : undefined
  return isHost(host) ? undefined : 'the Host is no host'
}

function isHost(text: string): boolean {
  return /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$/.test(text)
}

/** Neither goes on, but what is in front of the gateway, or was, may have gone by them. */
function pseudoHeaderProblem(headers: HeaderFields, rawHeaders: readonly string[]): string | undefined {
  const scheme = pseudoHeader(rawHeaders, ':scheme')
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') return 'the scheme is not that of HTTP'
  const authority = pseudoHeader(rawHeaders, ':authority')
  if (authority === undefined) return undefined
  if (!isHost(authority)) return 'the authority is no host'
  const host = headerOf(headers, 'host')
  return host === undefined || host.toLowerCase() === authority.toLowerCase()
    ? undefined
    : 'the authority and the Host are two hosts'
}

/** The value of a header that there can be one of. */
export function headerOf(headers: HeaderFields, name: string): string | undefined {
  return headers.find(([candidate]) => candidate === name)?.[1]
}

/** What a header lists, however often it comes. https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1 */
export function listOf(headers: HeaderFields, name: string): readonly string[] {
  return headers
    .filter(([candidate]) => candidate === name)
    .flatMap(([, value]) => value.split(',').map((element) => element.trim()))
}

function malformed(message: string): { readonly ok: false; readonly error: MalformedRequest } {
  return { ok: false, error: { status: 400, message } }
}
