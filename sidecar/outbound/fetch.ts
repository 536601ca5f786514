/** HTTP requests that the sidecar makes itself: to identity providers and vaults. */
import { type IncomingMessage, request as requestPlain } from 'node:http'
import { request as requestSecure } from 'node:https'

export interface FetchBounds {
  /** Authorities (PEM) to verify the server with, instead of the system's. */
  readonly ca?: string | undefined
  /** For the whole exchange. */
  readonly milliseconds: number
  /** Of the answer's body. */
  readonly bytes: number
}

/** Of one request that delivers something. */
export const deliveryBounds = { milliseconds: 15_000, bytes: 64 * 1024 } as const

export interface FetchRequest {
  readonly method?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: unknown
  readonly signal?: AbortSignal | undefined
}

/** A `fetch` that ends in time, reads no more than it should and verifies with authorities of our choice. */
export type BoundedFetch = (url: string, request?: FetchRequest) => Promise<Response>

/**
 * Node's own `fetch` takes no authorities. Redirects are not followed: a secret would travel along. Plain HTTP is
 * for this host only.
 *
 * The promise rejects with an Error whose message holds neither headers nor bodies.
 */
export function boundedFetch({ ca, milliseconds, bytes }: FetchBounds): BoundedFetch {
  return (url, { method = 'GET', headers = {}, body, signal } = {}) => {
    const address = new URL(url)
    const secure = address.protocol === 'https:'
    if (!secure && !(address.protocol === 'http:' && isThisHost(address.hostname)))
      return Promise.reject(new Error(`${address.origin} is not reached by https`))
    const deadline = AbortSignal.timeout(milliseconds)
    const options = {
      method,
      headers: { ...headers, connection: 'close' },
      agent: false as const,
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      ...(ca !== undefined && { ca }),
    }
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    const receive = (message: IncomingMessage): void =>
      void answerOf(message, bytes).then(resolve, (error: NodeJS.ErrnoException) =>
        reject(reasonOf(error, deadline)),
      )
    const outgoing = secure
      ? requestSecure(address, options, receive)
      : requestPlain(address, options, receive)
    outgoing.on('error', (error: NodeJS.ErrnoException) => reject(reasonOf(error, deadline)))
    outgoing.end(bytesOf(body))
    return promise
  }
}

function bytesOf(body: unknown): string | Uint8Array | undefined {
  if (body === undefined || body === null) return undefined
  if (typeof body === 'string' || body instanceof Uint8Array) return body
  if (body instanceof URLSearchParams) return body.toString()
  throw new TypeError('a request body must be text, bytes or a form')
}

async function answerOf(message: IncomingMessage, maximumBytes: number): Promise<Response> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of message as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maximumBytes) {
      message.destroy()
      throw new Error(`the answer is longer than ${maximumBytes} bytes`)
    }
    chunks.push(chunk)
  }
  const headers = new Headers()
  for (const [name, value] of Object.entries(message.headers))
    for (const item of [value ?? []].flat()) headers.append(name, item)
  return new Response(length === 0 ? null : Buffer.concat(chunks), {
    status: message.statusCode ?? 500,
    headers,
  })
}

function reasonOf(error: NodeJS.ErrnoException, deadline: AbortSignal): Error {
  if (deadline.aborted) return new Error('no answer in time')
  return new Error(error.message || (error.code ?? 'the connection failed'))
}

/** As the API's pattern for URLs: plain HTTP is fine on this host. */
function isThisHost(name: string): boolean {
  return name === 'localhost' || name === '127.0.0.1' || name === '[::1]'
}

/** An address as people may see it, without what may be a secret: user, password, query. */
export function shownAddress(url: string): string {
  const { protocol, host, pathname } = new URL(url)
  return `${protocol}//${host}${pathname}`
}
