/** A client's request and the way back to it, alike for HTTP/1.1 and HTTP/2. */
import type { OutgoingHttpHeaders } from 'node:http'
import type { Readable, Writable } from 'node:stream'
import type { Command, ResourceType } from '@firebreak/policy'
import type { Gateway, Target } from '../../../session.ts'
import type { Meaning } from '../analysis/meaning.ts'
import type { ParsedHead } from '../head/head.ts'
import type { HeaderFields, HttpRequest, OpenBodyMask } from '../request.ts'
import type { Problem, Say } from './problems.ts'
import type { Question } from './question.ts'
import type { ConnectionSessions } from './sessions.ts'
import type { Streams } from './streams.ts'

export interface ClientRequest extends Readable, ParsedHead {
  /** The client broke off. */
  readonly aborted: boolean
}

export interface ClientResponse extends Writable {
  readonly headersSent: boolean
  /** HTTP/2 says here alone that the client is gone. */
  readonly stream?: {
    readonly destroyed: boolean
    respond(
      headers: OutgoingHttpHeaders,
      options: { readonly endStream: true; readonly sendDate: false },
    ): void
  }
  sendDate: boolean
  writeHead(status: number, headers: OutgoingHttpHeaders): unknown
  writeContinue(): void
  /** HTTP/2 sends them at once. */
  flushHeaders?(): void
  addTrailers(trailers: OutgoingHttpHeaders): void
}

/** Whether there is nobody to answer any more. */
export function isGone({ destroyed, stream }: ClientResponse): boolean {
  return destroyed || stream?.destroyed === true
}

/** Ends an answer in the middle, so that no client takes what it has for all of it: without a reason HTTP/2 says nothing of it. */
export function breakOff(response: ClientResponse): void {
  response.destroy(new Error('broken off'))
}

/** An answer that is nothing but its head, and says so in HTTP/2. */
export function answerWithHead(response: ClientResponse, status: number, headers: OutgoingHttpHeaders): void {
  if (response.stream?.respond) {
    response.stream.respond({ ':status': status, ...headers }, { endStream: true, sendDate: false })
    return
  }
  response.writeHead(status, headers)
  response.end()
}

/** What all requests of one connection share. */
export interface Connection {
  readonly gateway: Gateway
  readonly meaningOf: (target: Target) => Meaning
  readonly sessions: ConnectionSessions
  /** Whether a token may be sent on it: nobody in between can read it. */
  readonly confidential: boolean
  /** Where the {@link Meaning} has none of its own. */
  readonly openBodyMask: OpenBodyMask
  readonly kind: ApiKind
}

export interface RefusedRequest {
  readonly status: number
  readonly message: string
}

/** What is said and asked otherwise for one kind of API than for another. */
export interface ApiKind {
  readonly type: ResourceType
  readonly say: Say
  /** Of an answer that has begun: by what its end says why there is no more of it. Absent where it is broken off. */
  readonly sayAtEnd?: (problem: Problem) => OutgoingHttpHeaders
  /** What stands before the names of a document's fields, as rules write them: `$`. */
  readonly root: readonly string[]
  /** @returns what a client hears whose request has no one meaning, whatever policy says. */
  readonly refusal?: (request: HttpRequest) => RefusedRequest | undefined
  /** Of a request to whose answer something may have to be masked: headers by which it comes in a form that can be. */
  readonly inspectable?: (request: HttpRequest) => HeaderFields
  /**
   * @returns what a request can be taken for that does less than its command, where that may not run; what is
   * less passes then.
   */
  readonly lesser?: (request: HttpRequest) => Command | undefined
  /** @returns what has to be asked of the target before the request can be decided; undefined where nothing has to. */
  readonly question?: (request: HttpRequest) => Question | undefined
  /** Looks into what clients leave HTTP for; where it is absent nobody does. */
  readonly streams?: Streams
}

export function hasBody({
  headers,
  stream,
}: {
  readonly headers: HeaderFields
  readonly stream: boolean
}): boolean {
  return (
    headers.some(
      ([name, value]) => name === 'transfer-encoding' || (name === 'content-length' && Number(value) > 0),
    ) || stream
  )
}

/** Answers in the gateway's own name. @returns the bytes as a recording shows them. */
export function answer(response: ClientResponse, problem: Problem, say: Say): Buffer {
  const said = say(problem)
  const { contentType, body, status = problem.status } = said
  const headers = { 'content-type': contentType, ...(said.headers ?? headersFor(problem, body)) }
  if (body.length === 0) answerWithHead(response, status, headers)
  else {
    response.writeHead(status, headers)
    response.end(body)
  }
  return Buffer.concat([
    shownHead(
      status,
      Object.entries(headers).map(([name, value]) => [name, String(value)]),
    ),
    body,
  ])
}

function headersFor({ status, kind }: Problem, { length }: Buffer): Record<string, string> {
  return {
    'content-length': String(length),
    'cache-control': 'no-store',
    ...(status === 401 && { 'www-authenticate': 'Bearer realm="firebreak"' }),
    ...(kind === 'limit' && { 'retry-after': '60' }),
  }
}

/** A response's head as recordings show it. */
export function shownHead(status: number, headers: HeaderFields): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\n`)
  return Buffer.from(`HTTP ${status}\n${lines.join('')}\n`, 'latin1')
}

/** Headers as Node takes them: of those that come several times, a list. */
export function forNode(headers: HeaderFields): OutgoingHttpHeaders {
  const grouped: Record<string, string | string[]> = {}
  for (const [name, value] of headers) {
    const before = grouped[name]
    grouped[name] = before === undefined ? value : [before, value].flat()
  }
  return grouped
}

/** @returns undefined where it is longer. @throws what the client did: it went away. */
export async function readBody(request: ClientRequest, limit: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of chunksOf(request)) {
    length += chunk.length
    if (length > limit) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}

/**
 * The body as it comes. What nobody takes of it is thrown away: its client has still to hear why, and others on its connection
 * wait.
 *
 * @throws where the client broke off, which in HTTP/2 may look like an end.
 */
export async function* chunksOf(request: ClientRequest): AsyncGenerator<Buffer> {
  try {
    yield* request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
  } finally {
    request.resume()
  }
  if (request.aborted) throw new Error('the client broke off')
}
