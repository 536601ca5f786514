/** The HTTPS server that the API server asks. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { KeyAndCertificate } from '../certificates/authority.ts'
import { type AdmissionRequest, type Review, refused, reviewResponse } from './admission.ts'

/** etcd takes objects of 1.5 MiB, and an update carries two of them. */
const maximumBody = 8 * 1024 * 1024

export interface WebhookEvents {
  readonly reviewed: (path: string, allowed: boolean, milliseconds: number) => void
  readonly failed: (path: string, error: Error) => void
}

export class WebhookServer implements AsyncDisposable {
  readonly #server: Server
  readonly #reviews: ReadonlyMap<string, Review>
  readonly #events: WebhookEvents

  /** @param reviews by path. @param host the pod's own address when absent. */
  static async start(
    certificate: KeyAndCertificate,
    reviews: ReadonlyMap<string, Review>,
    events: WebhookEvents,
    { host, port = 0 }: { host?: string; port?: number } = {},
  ): Promise<WebhookServer> {
    const server = new WebhookServer(certificate, reviews, events)
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', reject).listen(port, host, resolve)
    })
    return server
  }

  private constructor(
    { certificate, key }: KeyAndCertificate,
    reviews: ReadonlyMap<string, Review>,
    events: WebhookEvents,
  ) {
    this.#reviews = reviews
    this.#events = events
    this.#server = createServer(
      { cert: certificate, key, minVersion: 'TLSv1.2', requestTimeout: 10_000 },
      (request, response) => void this.#serve(request, response),
    )
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** New connections get the new certificate. */
  renew({ certificate, key }: KeyAndCertificate): void {
    this.#server.setSecureContext({ cert: certificate, key, minVersion: 'TLSv1.2' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeIdleConnections()
    await closed
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
        .writeHead(200, { 'content-type': 'application/json' })
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
