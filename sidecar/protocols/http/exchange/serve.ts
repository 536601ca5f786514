/** A client connection from its first byte to its last: plain or encrypted, HTTP/1.1 or HTTP/2. */
import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http'
import {
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import { isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createSecureContext, createServer as createTlsServer, type SecureContext, TLSSocket } from 'node:tls'
import { isLoopback } from '../../../listen/loopback.ts'
import type { Gateway, Protocol, Target } from '../../../session.ts'
import type { Meaning } from '../analysis/meaning.ts'
import type { OpenBodyMask } from '../request.ts'
import type { ApiKind, Connection } from './client.ts'
import { exchange, type Incoming } from './exchange.ts'
import { endIdle } from './http2-idle.ts'
import { ConnectionSessions } from './sessions.ts'
import { type Tunnel, tunnelOf } from './tunnel.ts'

/** How a kind of API is understood, apart from the exchange. */
export interface Understood {
  readonly meaningOf: (target: Target) => Meaning
  readonly openBodyMask: OpenBodyMask
  readonly kind: ApiKind
}

/** For the first bytes, and for a head once it has begun. In milliseconds. */
const headWithin = 15_000
const minVersion = 'TLSv1.2'
/** For a request with its body. */
const requestWithin = 300_000
/** How long a client may keep a connection without a request. */
const keptOpen = 60_000
const maximumHead = 32 * 1024
const maximumHeaders = 200
/** Of one connection, at once. */
const maximumStreams = 100

/** By socket of HTTP/1.1, and by session of HTTP/2. */
const connections = new WeakMap<object, Connection>()

export function httpProtocol({ meaningOf, openBodyMask, kind }: Understood): Protocol {
  return {
    async serve(socket, gateway) {
      socket.on('error', () => {})
      socket.setNoDelay(true)
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
      const remoteAddress = socket.remoteAddress ?? 'unix'
      const sessions = new ConnectionSessions(gateway, remoteAddress)
      try {
        const opened = await open(socket, gateway)
        if (!opened) socket.destroy()
        else
          parse(opened, {
            gateway,
            meaningOf,
            sessions,
            confidential: opened.socket instanceof TLSSocket || isLoopback(remoteAddress),
            openBodyMask,
            kind,
          })
        await closed
      } finally {
        sessions[Symbol.dispose]()
      }
    },
  }
}

interface Opened {
  readonly socket: Socket
  readonly version: 'HTTP/1.1' | 'HTTP/2'
}

/** @returns undefined where the client says nothing that is understood, or nothing at all. */
async function open(socket: Socket, gateway: Gateway): Promise<Opened | undefined> {
  const first = await peek(socket)
  if (first === undefined) return undefined
  // a handshake of TLS begins with this byte, and no request does
  if (first[0] !== 0x16) return { socket, version: prefaceOfHttp2(first) ? 'HTTP/2' : 'HTTP/1.1' }
  const { clientTls } = gateway
  if (!clientTls) return undefined
  const secure = await encrypt(socket, clientTls)
  return secure && { socket: secure, version: secure.alpnProtocol === 'h2' ? 'HTTP/2' : 'HTTP/1.1' }
}

/** A server of its own for each connection, since the certificate is the gateway's. It listens nowhere. */
async function encrypt(
  socket: Socket,
  { certificate, key, byName }: NonNullable<Gateway['clientTls']>,
): Promise<TLSSocket | undefined> {
  return await new Promise((resolve) => {
    const server = createTlsServer({
      cert: certificate,
      key,
      minVersion,
      SNICallback: (host, done) => done(null, byName && isIP(host) === 0 ? contextOf(byName) : undefined),
      ALPNProtocols: ['h2', 'http/1.1'],
      handshakeTimeout: headWithin,
    })
    server.on('secureConnection', resolve).on('tlsClientError', () => resolve(undefined))
    socket.once('close', () => resolve(undefined))
    server.emit('connection', socket)
  })
}

/** By what is shown, which is the same object for all connections until it is made anew. */
const contexts = new WeakMap<object, SecureContext>()

function contextOf(shown: { readonly certificate: string; readonly key: string }): SecureContext {
  const known = contexts.get(shown)
  if (known) return known
  const context = createSecureContext({ cert: shown.certificate, key: shown.key, minVersion })
  contexts.set(shown, context)
  return context
}

/** The first bytes, which stay to be read. */
async function peek(socket: Socket): Promise<Buffer | undefined> {
  return await new Promise((resolve) => {
    const timer = setTimeout(() => done(undefined), headWithin)
    const done = (first: Buffer | undefined): void => {
      clearTimeout(timer)
      socket.off('readable', read).off('close', gone)
      resolve(first)
    }
    const gone = (): void => done(undefined)
    const read = (): void => {
      const bytes = socket.read() as Buffer | null
      if (bytes === null) return
      socket.unshift(bytes)
      done(bytes)
    }
    socket.on('readable', read).once('close', gone)
  })
}

/** https://www.rfc-editor.org/rfc/rfc9113#section-3.4: no request of HTTP/1.1 begins like it. */
function prefaceOfHttp2(first: Buffer): boolean {
  return first.subarray(0, 3).toString('latin1') === 'PRI'
}

/** Parse for all connections; they listen nowhere themselves. */
let servers: { readonly http1: Server; readonly http2: Http2Server } | undefined

function parse({ socket, version }: Opened, connection: Connection): void {
  servers ??= { http1: openHttp1(), http2: openHttp2() }
  const { http1, http2 } = servers
  if (version === 'HTTP/1.1') {
    connections.set(socket, connection)
    http1.emit('connection', socket)
    return
  }
  // the session is made while the event is told
  http2.once('session', (session) => connections.set(session, connection))
  http2.emit('connection', socket)
}

/** What can't be answered ends, and says nothing. */
async function answerBy(connection: Connection | undefined, incoming: Incoming): Promise<void> {
  try {
    if (connection) await exchange(incoming, connection)
    else incoming.response.destroy()
  } catch {
    // a client that went away in the middle
    incoming.response.destroy()
  }
}

/** What has come to a server has both. */
class Parsed extends IncomingMessage {
  override method = ''
  override url = ''
}

function openHttp1(): Server {
  const server = createServer<typeof Parsed>({
    IncomingMessage: Parsed,
    maxHeaderSize: maximumHead,
    headersTimeout: headWithin,
    requestTimeout: requestWithin,
    keepAliveTimeout: keptOpen,
    connectionsCheckingInterval: 5_000,
    // said in our own words
    requireHostHeader: false,
    // others are answered as if they had not asked, which the standard allows
    shouldUpgradeCallback: (request) => protocolAskedFor(request) !== undefined,
  })
  server.maxHeadersCount = maximumHeaders
  const handle = (expectsContinue: boolean) => (request: Parsed, response: ServerResponse) => {
    void answerBy(connections.get(request.socket), { request, response, expectsContinue, streams: false })
  }
  server.on('request', handle(false)).on('checkContinue', handle(true))
  // an expectation that nobody knows
  server.on('checkExpectation', handle(false))
  server.on('upgrade', (request: Parsed, client: Duplex, first: Buffer) => {
    client.on('error', () => {})
    const response = lastResponseTo(request)
    const protocol = protocolAskedFor(request)
    if (!response || !protocol) {
      client.destroy()
      return
    }
    response.on('finish', () => client.end())
    const tunnel = tunnelOf(protocol, client, first)
    void answerBy(connections.get(request.socket), {
      request,
      response,
      expectsContinue: false,
      streams: false,
      tunnel,
    })
  })
  server.on('connect', (_request, socket) => {
    socket.on('error', () => {})
    socket.end('HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
  })
  // what the watch over slow clients waits for
  server.emit('listening')
  return server
}

/** @returns undefined where an earlier request on the connection still waits for its own. */
function lastResponseTo(request: IncomingMessage): ServerResponse | undefined {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  try {
    response.assignSocket(request.socket)
    return response
  } catch {
    return undefined
  }
}

function openHttp2(): Http2Server {
  const server = createHttp2Server({
    maxSessionMemory: 10,
    // what a target says twice is for the client to judge
    strictSingleValueFields: false,
    settings: {
      maxConcurrentStreams: maximumStreams,
      maxHeaderListSize: maximumHead,
      enableConnectProtocol: false,
    },
    // resets in a row are an attack (CVE-2023-44487)
    streamResetBurst: 200,
    streamResetRate: 20,
  })
  endIdle(server, keptOpen * 10)
  const handle =
    (expectsContinue: boolean) => (request: Http2ServerRequest, response: Http2ServerResponse) => {
      const { session, endAfterHeaders } = request.stream
      const connection = session && connections.get(session)
      void answerBy(connection, { request, response, expectsContinue, streams: !endAfterHeaders })
    }
  server.on('request', handle(false)).on('checkContinue', handle(true))
  server.on('sessionError', () => {})
  return server
}

/** @returns undefined where that is none that is spoken, or what follows would be a body to others. */
function protocolAskedFor({ method, headers, socket }: IncomingMessage): Tunnel['protocol'] | undefined {
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0)
    return undefined
  switch (headers.upgrade?.toLowerCase()) {
    // https://www.rfc-editor.org/rfc/rfc6455#section-4.1
    case 'websocket':
      return method === 'GET' ? 'websocket' : undefined
    case 'spdy/3.1':
      return connections.get(socket)?.kind.streams && (method === 'POST' || method === 'GET')
        ? 'SPDY/3.1'
        : undefined
    default:
      return undefined
  }
}
