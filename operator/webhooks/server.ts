/** The HTTPS server that the API server asks. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { KeyAndCertificate } from '../certificates/authority.ts'
import { Connections } from '../connections.ts'
import { type AdmissionRequest, type Review, refused, reviewResponse } from './admission.ts'

/** etcd takes objects of 1.5 MiB, and an update carries two of them. */
const maximumBody = 8 * 1024 * 1024
/** The API server gives a connection up after 90 s: who closes it first risks a question that is on its way. In milliseconds. */
const idleFor = 120_000

export interface WebhookEvents {
  readonly reviewed: (path: string, allowed: boolean, milliseconds: number) => void
  readonly failed: (path: string, error: Error) => void
}

export interface WebhookServerOptions {
  /** The pod's own address when absent. */
  readonly host?: string
  readonly port?: number
  /** A server that stops tells for that long, with its answers, that there is no more by their connections. In milliseconds. */
  readonly leaveFor?: number
  /** And so long it waits for the last answers, as the API server does. In milliseconds. */
  readonly answerWithin?: number
}

export class WebhookServer implements AsyncDisposable {
  readonly #server: Server
  readonly #reviews: ReadonlyMap<string, Review>
  readonly #events: WebhookEvents
  readonly #patience: Required<Pick<WebhookServerOptions, 'leaveFor' | 'answerWithin'>>
  readonly #connections: Connections
  readonly #answering = new Set<IncomingMessage>()
  #stopping = false

  /** @param reviews by path. */
  static async start(
    certificate: KeyAndCertificate,
    reviews: ReadonlyMap<string, Review>,
    events: WebhookEvents,
    options: WebhookServerOptions = {},
  ): Promise<WebhookServer> {
    const server = new WebhookServer(certificate, reviews, events, options)
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', reject).listen(options.port ?? 0, options.host, resolve)
    })
    return server
  }

  private constructor(
    { certificate, key }: KeyAndCertificate,
    reviews: ReadonlyMap<string, Review>,
    events: WebhookEvents,
    { leaveFor = 1_000, answerWithin = 10_000 }: WebhookServerOptions,
  ) {
    this.#patience = { leaveFor, answerWithin }
    this.#reviews = reviews
    this.#events = events
    this.#server = createServer(
      { cert: certificate, key, minVersion: 'TLSv1.2', requestTimeout: 10_000, keepAliveTimeout: idleFor },
      (request, response) => {
        this.#answering.add(request)
        response.once('close', () => this.#answering.delete(request))
        void this.#serve(request, response)
      },
    )
    this.#connections = new Connections(this.#server)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** New connections get the new certificate. */
  renew({ certificate, key }: KeyAndCertificate): void {
    this.#server.setSecureContext({ cert: certificate, key, minVersion: 'TLSv1.2' })
  }

  /** What is asked already is answered, and by no connection is anything asked again. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { leaveFor, answerWithin } = this.#patience
    this.#stopping = true
    const until = performance.now() + leaveFor
    while (this.#connections.size > 0 && performance.now() < until) await delay(20)
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#connections.destroy([...this.#answering].map(({ socket }) => socket))
    const late = setTimeout(() => this.#connections.destroy(), answerWithin)
    await closed
    clearTimeout(late)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').split('?')[0] ?? ''
    const review = this.#reviews.get(path)
    if (!review || request.method !== 'POST') {
      response.writeHead(404).end()
      return
    }
    try {
      const asked = admissionRequest(await readBody(request))
      if (!asked) {
        response.writeHead(400).end('expected an AdmissionReview of admission.k8s.io/v1')
        return
      }
      const startedAt = performance.now()
      const admission = await this.#review(path, review, asked)
      this.#events.reviewed(path, admission.allowed, performance.now() - startedAt)
      response
        .writeHead(200, {
          'content-type': 'application/json',
          ...(this.#stopping && { connection: 'close' }),
        })
        .end(JSON.stringify(reviewResponse(asked, admission)))
    } catch (error) {
      this.#events.failed(path, error instanceof Error ? error : new Error(String(error)))
      if (!response.headersSent) response.writeHead(413)
      response.end()
    }
  }

  /** What can't be decided is refused, by our own doing and not only by the API server's `failurePolicy`. */
  async #review(path: string, review: Review, asked: AdmissionRequest) {
    try {
      return await review(asked)
    } catch (error) {
      this.#events.failed(path, error instanceof Error ? error : new Error(String(error)))
      return refused("Firebreak can't tell whether this is safe; its operator's log says why")
    }
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request) {
    length += (chunk as Buffer).length
    if (length > maximumBody) throw new Error(`the request is longer than ${maximumBody} bytes`)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString()
}

function admissionRequest(body: string): AdmissionRequest | undefined {
  try {
    const review = JSON.parse(body) as { apiVersion?: string; kind?: string; request?: AdmissionRequest }
    const complete = review.apiVersion === 'admission.k8s.io/v1' && review.kind === 'AdmissionReview'
    return complete && typeof review.request?.uid === 'string' ? review.request : undefined
  } catch {
    return undefined
  }
}
