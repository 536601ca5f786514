/**
 * The local HTTP API: on loopback and on a Unix socket, for the agents beside the sidecar.
 *
 * Browsers are on this host too, and a page of anybody's may send requests to it: what a browser sends is refused
 * by its Origin, its Sec-Fetch-Site, and where a name was rebound to loopback, by its Host.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isIP, type Socket } from 'node:net'
import { requestCheck } from '@firebreak/crds'
import type { Proof, Rejection } from '../identity/proof.ts'
import type { Address } from '../listen/listener.ts'
import { isLoopback } from '../listen/loopback.ts'
import { peerUser } from '../listen/peer-user.ts'
import type { Result } from '../session.ts'
import { type ApiAnswer, failure, type Route } from './route.ts'
import { prepareSocket, secureSocket } from './unix-socket.ts'

export interface ApiOptions {
  readonly routes: readonly Route[]
  /** Who presents a token, or none. The rejection has been audited, by that reference. */
  readonly prove: (
    token: string | undefined,
    remote: string,
    user: () => number | undefined,
  ) => Promise<Result<Proof, Rejection & { readonly reference: string }>>
  /** Why nothing can be answered now. */
  readonly unavailable: () => string | undefined
}

const maximumBody = 64 * 1024
const maximumConnections = 64
const requestTimeout = 10_000

const statusOf: Readonly<Record<Rejection['code'], number>> = {
  unauthenticated: 401,
  forbidden: 403,
  unavailable: 503,
  expired: 401,
}

export class ApiServer {
  readonly #options: ApiOptions
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()
  readonly #checks = new Map<Route, (value: unknown) => readonly string[]>()

  constructor(options: ApiOptions) {
    this.#options = options
    for (const route of options.routes) if (route.schema) this.#checks.set(route, requestCheck(route.schema))
  }

  /** @returns the address in use. @throws Error when the address is not of this host alone, and the system's. */
  async listen({ host, port }: Address): Promise<Address> {
    // a name could be anybody's
    if (host !== 'localhost' && !(isIP(host) !== 0 && isLoopback(host)))
      throw new Error(`the local API listens on loopback only, as 127.0.0.1, not on ${host}`)
    const server = this.#server()
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(port, host, () => resolve())
    })
    this.#servers.push(server)
    const address = server.address()
    return { host, port: typeof address === 'object' && address !== null ? address.port : port }
  }

  /** On a Unix socket that its user's group may connect to. @throws Error when somebody else listens there. */
  async listenOn(path: string): Promise<void> {
    await prepareSocket(path)
    const server = this.#server()
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(path, () => resolve())
    })
    secureSocket(path)
    this.#servers.push(server)
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(
      this.#servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))),
    )
  }

  #server(): Server {
    const server = createServer(
      {
        requestTimeout,
        headersTimeout: requestTimeout,
        connectionsCheckingInterval: 1_000,
        maxHeaderSize: 32_768,
      },
      (request, response) => void this.#serve(request, response),
    )
    server.maxConnections = maximumConnections
    server.maxRequestsPerSocket = 100
    server.keepAliveTimeout = 5_000
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    return server
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: ApiAnswer
    try {
      answer = await this.#answer(request)
    } catch {
      // what failed may hold a secret; it is a bug, or a client that went away
      answer = failure(500, 'the request failed')
    }
    if (response.destroyed) return
    const text = answer.body === undefined ? '' : `${JSON.stringify(answer.body)}\n`
    // a body that was not read to its end can't be told from the next request
    if (!request.complete) response.setHeader('connection', 'close')
    if (answer.status === 401) response.setHeader('www-authenticate', 'Bearer')
    response.writeHead(answer.status, {
      ...(text !== '' && { 'content-type': 'application/json' }),
      'content-length': Buffer.byteLength(text),
      // tokens are in answers
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    })
    response.end(text)
  }

  async #answer(request: IncomingMessage): Promise<ApiAnswer> {
    const { method = '', url = '', headers, socket } = request
    if (comesFromBrowser(request) || !isOwnHost(request))
      return failure(403, 'the request comes from a browser, or names another host')
    const found = this.#find(method, url)
    if (!('route' in found)) return found
    const unavailable = this.#options.unavailable()
    if (unavailable !== undefined) return failure(503, unavailable)
    const token = bearerOf(headers.authorization)
    if (token === undefined) return failure(401, 'the Authorization header must be a Bearer token')
    const remote = socket.remoteAddress ?? 'unix'
    const user = (): number | undefined => peerUser(socket)
    const caller = await this.#options.prove(token === '' ? undefined : token, remote, user)
    if (!caller.ok) {
      const { code, message, hint, reference } = caller.error
      return failure(statusOf[code], message, { reference, ...(hint !== undefined && { hint }) })
    }
    const { route, name } = found
    const body = await this.#body(request, route)
    if (!body.ok) return body.error
    return await route.handle({ caller: caller.value, body: body.value, name, remote, user })
  }

  #find(method: string, url: string): { readonly route: Route; readonly name: string } | ApiAnswer {
    const matching = this.#options.routes.flatMap((route) => {
      const name = nameIn(route.path, url)
      return name === undefined ? [] : [{ route, name }]
    })
    const found = matching.find(({ route }) => route.method === method)
    if (found) return found
    if (matching.length === 0) return failure(404, `there is nothing at ${url.slice(0, 200)}`)
    return failure(405, `it takes ${matching.map(({ route }) => route.method).join(' and ')}`)
  }

  async #body(request: IncomingMessage, route: Route): Promise<Result<unknown, ApiAnswer>> {
    const text = await readBody(request)
    if (text === undefined) return refused(413, `the body is longer than ${maximumBody} bytes`)
    const check = this.#checks.get(route)
    if (!check) return text === '' ? { ok: true, value: undefined } : refused(400, 'it takes no body')
    // a form of a page can't be sent as JSON
    const [type = ''] = (request.headers['content-type'] ?? '').split(';')
    if (type.trim().toLowerCase() !== 'application/json')
      return refused(415, 'the body must be JSON (Content-Type: application/json)')
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return refused(400, 'the body is not valid JSON')
    }
    const problems = check(value)
    return problems.length === 0 ? { ok: true, value } : refused(400, problems.join('; '))
  }
}

function refused(status: number, message: string): Result<never, ApiAnswer> {
  return { ok: false, error: failure(status, message) }
}

/** @returns undefined when it is too long, or not UTF-8. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  // the answer still has to go out on this connection
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maximumBody) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function comesFromBrowser({ headers }: IncomingMessage): boolean {
  return (
    headers.origin !== undefined ||
    headers.referer !== undefined ||
    Object.keys(headers).some((name) => name.startsWith('sec-fetch-'))
  )
}

/** Of two Host headers none can be relied on. */
function isOwnHost({ headersDistinct, socket: { localPort } }: IncomingMessage): boolean {
  const [host = '', ...others] = headersDistinct.host ?? []
  if (others.length > 0) return false
  const names = ['localhost', '127.0.0.1', '[::1]']
  // a Unix socket has no port
  return names.some((name) => host === (localPort === undefined ? name : `${name}:${localPort}`))
}

/** @returns the token; empty when none is presented, and undefined when it is presented otherwise. */
function bearerOf(header: string | undefined): string | undefined {
  if (header === undefined) return ''
  return /^Bearer +([^\s]+)$/i.exec(header)?.[1]
}

/** @returns what stands for the `*` of a path, or an empty text where it has none; undefined when it is another path. */
function nameIn(path: string, url: string): string | undefined {
  if (!path.endsWith('/*')) return url === path ? '' : undefined
  const prefix = path.slice(0, -1)
  const name = url.slice(prefix.length)
  return url.startsWith(prefix) && /^[A-Za-z0-9._-]+$/.test(name) ? name : undefined
}
