/** A real HTTP server that remembers what reached it, and a gateway in front of it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { StandaloneOptions } from '@firebreak/sidecar'
import { Guard } from './shop.ts'

/** A request as the server has parsed it. */
export interface Reached {
  readonly method: string
  readonly url: string
  /** Names and values in turn. */
  readonly headers: readonly string[]
  readonly body: string
}

export type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void

export class HttpShop implements AsyncDisposable {
  readonly reached: Reached[] = []
  /** Answers instead, where set. */
  answer: Answer | undefined
  readonly server: Server

  static async start(answer?: Answer): Promise<HttpShop> {
    const shop = new HttpShop()
    shop.answer = answer
    await new Promise<void>((resolve) => shop.server.listen(0, '127.0.0.1', () => resolve()))
    return shop
  }

  private constructor() {
    // a server that takes what it gets: what is refused has to be refused in front of it
    this.server = createServer(
      { insecureHTTPParser: true, requireHostHeader: false },
      (request, response) => {
        const chunks: Buffer[] = []
        request
          .on('data', (chunk: Buffer) => chunks.push(chunk))
          .on('end', () => {
            const body = Buffer.concat(chunks)
            const { method = '', url = '', rawHeaders } = request
            this.reached.push({ method, url, headers: rawHeaders, body: body.toString('latin1') })
            if (this.answer) this.answer(request, response, body)
            else
              response
                .writeHead(200, { 'content-type': 'application/json' })
                .end(JSON.stringify({ method, url, body: body.length }))
          })
      },
    )
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  async guard(
    options: HttpPolicy = {},
    more: Partial<Omit<StandaloneOptions, 'listen'>> = {},
  ): Promise<Guard> {
    const address = options.address ?? this.address
    return await Guard.start({ 'firebreak.yaml': httpManifests({ ...options, address }) }, 'the-secret', more)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}

export interface HttpPolicy {
  readonly address?: string
  readonly rules?: string
  readonly more?: string
  readonly authentication?: string
  /** What else `spec.http` says. */
  readonly http?: string
  readonly tls?: string
  readonly roles?: string
  readonly identity?: string
  readonly access?: string
  readonly classification?: string
}

const everything = '    - {name: anything, match: {actions: ["http:*"]}, effect: allow}\n'

/** One resource `shop`, one identity `tester`, one policy `guard`; everything is allowed unless rules say otherwise. */
export function httpManifests({
  address,
  rules = everything,
  more = '',
  authentication = '{as: bearer}',
  http = '',
  tls = '{mode: disable}',
  roles = '[{name: agent, credential: {env: {password: SHOP_PASSWORD}}}]',
  identity = 'loopback: {}',
  access = '[agent]',
  classification,
}: HttpPolicy): string {
  return `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop}
spec:
  type: http
  address: ${address}
  http: {authentication: ${authentication}${http}}
  tls: ${tls}
  roles: ${roles}
${classification === undefined ? '' : `  classification: ${classification}\n`}---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: tester}
spec:
  authentication: {${identity}}
  access: [{resource: shop, roles: ${access}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: guard}
spec:
  rules:
${rules}${more}`
}
