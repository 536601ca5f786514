/** Connections to targets: its own for each role, so that nobody's requests go out on another role's connection. */
import type { ClientHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { isDeepStrictEqual } from 'node:util'
import type { Subject } from '@firebreak/policy'
import { type Dispatcher, Pool } from 'undici'
import { openTcp, startTls, type Unreachable, unreachable } from '../../../outbound/connect.ts'
import type { Credential, Target } from '../../../session.ts'
import type { HeaderFields } from '../request.ts'
import { Http2Connections } from './http2-connections.ts'
import { startSession } from './http2-session.ts'

const connectTimeout = 15_000
/** To one target at once for one role, in HTTP/1.1; more requests wait. */
const maximumConnections = 128
const maximumResponseHead = 64 * 1024

/** As ALPN names them. https://www.iana.org/assignments/tls-extensiontype-values/tls-extensiontype-values.xhtml#alpn-protocol-ids */
export type HttpVersion = 'h2' | 'http/1.1'

/** A request as it goes out. */
export interface Outgoing {
  readonly method: string
  readonly path: string
  /** With its Host. */
  readonly headers: HeaderFields
  readonly body: Buffer | AsyncIterable<Buffer> | undefined
  /** What a server leaves unread of the body would be its next request. */
  readonly closes: boolean
  readonly upgrade?: string
  /** The one that it can be said in; absent where either will do. */
  readonly version?: HttpVersion
}

/** A connection could not be had: nothing of the request has gone out. */
export class NotConnected extends Error {
  override readonly name = 'NotConnected'
  readonly why: Unreachable

  constructor(why: Unreachable) {
    super(why.message)
    this.why = why
  }
}

const upstreams = new Map<string, Upstream>()

/** @returns the role's connections to its target. Where either has changed, the old ones end with their last request. */
export function upstreamOf(
  { resource, role }: Pick<Subject, 'resource' | 'role'>,
  target: Target,
  { clientCertificate }: Credential,
): Upstream {
  const name = JSON.stringify([resource, role])
  const known = upstreams.get(name)
  if (known?.isFor(target, clientCertificate)) return known
  known?.close()
  const upstream = new Upstream(target, clientCertificate)
  upstreams.set(name, upstream)
  return upstream
}

/** Where requests go out, and answers come from. */
export type Way = Pick<Upstream, 'origin' | 'authority' | 'dispatch'>

export class Upstream {
  /** `https://api.example.com:8443`, as a Location that leads back begins. */
  readonly origin: string
  /** What stands in Host. */
  readonly authority: string
  readonly #target: Target
  readonly #clientCertificate: Credential['clientCertificate']
  readonly #http1: Pool
  readonly #http2: Http2Connections
  /** What the target has agreed to. Without TLS nobody asks it. */
  #agreed: HttpVersion | undefined
  #agreeing: Promise<HttpVersion> | undefined
  /** By which the target agreed to HTTP/1.1, and nothing has been sent on. */
  #unused: Socket | undefined

  constructor(target: Target, clientCertificate: Credential['clientCertificate']) {
    const { host, port, tls } = target
    const scheme = tls.mode === 'disable' ? 'http' : 'https'
    const shownHost = host.includes(':') ? `[${host}]` : host
    const usual = port === (tls.mode === 'disable' ? 80 : 443)
    this.origin = `${scheme}://${shownHost}${usual ? '' : `:${port}`}`
    this.authority = this.origin.slice(scheme.length + 3)
    this.#target = target
    this.#clientCertificate = clientCertificate
    this.#agreed = tls.mode === 'disable' ? 'http/1.1' : undefined
    this.#http1 = new Pool(this.origin, {
      connections: maximumConnections,
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: maximumResponseHead,
      // how long a command may take is for the policy to say
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: (_options, callback) => {
        this.#connectHttp1().then(
          (socket) => callback(null, socket),
          (error: Error) => callback(error, null),
        )
      },
    })
    this.#http2 = new Http2Connections(scheme, () => this.#connectHttp2())
  }

  /** Whether its connections are those that would be opened now. */
  isFor(target: Target, clientCertificate: Credential['clientCertificate']): boolean {
    const own = this.#target
    return (
      (target === own ||
        (target.host === own.host && target.port === own.port && isDeepStrictEqual(target.tls, own.tls))) &&
      isDeepStrictEqual(clientCertificate, this.#clientCertificate)
    )
  }

  /** @throws NotConnected, before the handler has heard anything. */
  async dispatch(outgoing: Outgoing, handler: Dispatcher.DispatchHandler): Promise<void> {
    const version = outgoing.version ?? this.#agreed ?? (await this.#agree())
    if (version === 'h2') this.#http2.dispatch(outgoing, handler)
    else this.#http1.dispatch(forUndici(outgoing), handler)
  }

  /** With their last request. */
  close(): void {
    this.#unused?.destroy()
    this.#http2.close()
    void this.#http1.close()
  }

  /** Asks the target once for all that wait to know. */
  async #agree(): Promise<HttpVersion> {
    this.#agreeing ??= this.#negotiate().finally(() => {
      this.#agreeing = undefined
    })
    return await this.#agreeing
  }

  async #negotiate(): Promise<HttpVersion> {
    const socket = await this.#connect(['h2', 'http/1.1'])
    const version = spokenOn(socket)
    if (version === 'h2') this.#http2.add(await startSession(socket, this.origin).catch(notConnected))
    else this.#unused = socket
    this.#agreed = version
    return version
  }

  async #connectHttp1(): Promise<Socket> {
    const unused = this.#unused
    this.#unused = undefined
    return unused && !unused.destroyed && unused.writable ? unused : await this.#connect(['http/1.1'])
  }

  async #connectHttp2(): Promise<ClientHttp2Session> {
    const socket = await this.#connect(['h2'])
    // without TLS there is nobody to ask: it is known of the target
    if (socket instanceof TLSSocket && spokenOn(socket) !== 'h2') {
      // it is another server now
      this.#agreed = undefined
      socket.destroy()
      return notConnected(new Error('the server does not agree to HTTP/2'))
    }
    return await startSession(socket, this.origin).catch(notConnected)
  }

  async #connect(alpn: readonly HttpVersion[]): Promise<Socket> {
    const { host, tls } = this.#target
    const signal = AbortSignal.timeout(connectTimeout)
    try {
      const socket = await openTcp(this.#target, signal)
      if (tls.mode === 'disable') return socket
      const terms = { alpn, clientCertificate: this.#clientCertificate }
      return await startTls(socket, { host, tls }, terms, signal)
    } catch (error) {
      // it may be another server now
      if (tls.mode !== 'disable') this.#agreed = undefined
      return notConnected(error)
    }
  }
}

function notConnected(error: unknown): never {
  throw new NotConnected(unreachable(error))
}

function spokenOn(socket: Socket): HttpVersion {
  return socket instanceof TLSSocket && socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1'
}

function forUndici({ method, path, headers, body, closes, upgrade }: Outgoing): Dispatcher.DispatchOptions {
  return {
    method,
    path,
    headers: headers.flat(),
    // undici takes whatever gives chunks
    body: (body ?? null) as Buffer | null,
    reset: closes,
    ...(upgrade !== undefined && { upgrade }),
  }
}

/** As undici has them: names and values in turn, in bytes; and as HTTP/2 has them, with what it has instead of a status line. */
export function readRaw(raw: Dispatcher.DispatchController['rawHeaders']): HeaderFields {
  if (!Array.isArray(raw)) return []
  const headers: [string, string][] = []
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = asText(raw[at]).toLowerCase()
    if (!name.startsWith(':')) headers.push([name, asText(raw[at + 1])])
  }
  return headers
}

function asText(value: Buffer | string | undefined): string {
  return typeof value === 'string' ? value : (value?.toString('latin1') ?? '')
}
