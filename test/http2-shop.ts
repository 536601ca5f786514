/** A real server of HTTP/2 that remembers what reached it, over TLS or without, and a gateway in front of it. */
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type SecureServerOptions,
  type ServerHttp2Session,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { StandaloneOptions } from '@firebreak/sidecar'
import { selfSigned } from './certificates.ts'
import { type HttpPolicy, httpManifests, type Reached } from './http-shop.ts'
import { Guard } from './shop.ts'

export interface ReachedByHttp2 extends Reached {
  readonly version: string
}

export type Http2Answer = (request: Http2ServerRequest, response: Http2ServerResponse, body: Buffer) => void

export interface Http2ShopOptions {
  /** Without it the server has to be known to speak HTTP/2. */
  readonly tls?: boolean
  readonly server?: SecureServerOptions
}

export class Http2Shop implements AsyncDisposable {
  readonly reached: ReachedByHttp2[] = []
  readonly sessions = new Set<ServerHttp2Session>()
  /** Answers instead, where set; `early` before the body is there. */
  answer: Http2Answer | undefined
  early: ((request: Http2ServerRequest, response: Http2ServerResponse) => void) | undefined
  readonly server: Http2Server
  readonly #certificate: string | undefined

  static async start({ tls = true, server = {} }: Http2ShopOptions = {}): Promise<Http2Shop> {
    const shop = new Http2Shop(tls, server)
    await new Promise<void>((resolve) => shop.server.listen(0, '127.0.0.1', () => resolve()))
    return shop
  }

  private constructor(tls: boolean, options: SecureServerOptions) {
    const { certificate, key } = selfSigned('shop.test')
    this.#certificate = tls ? certificate : undefined
    this.server = tls ? createSecureServer({ cert: certificate, key, ...options }) : createServer(options)
    this.server.on('session', (session) => {
      this.sessions.add(session)
      session.on('error', () => {}).on('close', () => this.sessions.delete(session))
    })
    this.server.on('request', (request, response) => this.#hear(request, response))
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** What a resource says of it. */
  tls(): string {
    process.env.HTTP2_SHOP_CA = this.#certificate ?? ''
    return this.#certificate ? '{ca: {env: {name: HTTP2_SHOP_CA}}, serverName: shop.test}' : '{mode: disable}'
  }

  async guard(
    options: HttpPolicy = {},
    more: Partial<Omit<StandaloneOptions, 'listen'>> = {},
  ): Promise<Guard> {
    const manifests = httpManifests({ tls: this.tls(), ...options, address: this.address })
    return await Guard.start({ 'firebreak.yaml': manifests }, 'the-secret', more)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions) session.destroy()
    await new Promise((resolve) => this.server.close(resolve))
  }

  #hear(request: Http2ServerRequest, response: Http2ServerResponse): void {
    request.on('error', () => {})
    response.on('error', () => {})
    if (this.early) {
      this.early(request, response)
      return
    }
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      const { method, url, rawHeaders, httpVersion: version } = request
      this.reached.push({ method, url, headers: rawHeaders, body: body.toString('latin1'), version })
      if (this.answer) this.answer(request, response, body)
      else
        response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify({ method, url, body: body.length }))
    })
  }
}
