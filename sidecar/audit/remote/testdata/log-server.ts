/** An HTTP service that takes lines, and does what it is told instead. */
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

/** A status code; `stall` never answers; `cut` takes the lines and closes the connection without an answer. */
export type Answer = number | 'stall' | 'cut'

export interface LogServerPlace {
  readonly host: string
  readonly tls?: { readonly certificate: string; readonly key: string }
}

export class LogServer implements AsyncDisposable {
  readonly requests: { readonly headers: IncomingHttpHeaders; readonly body: string }[] = []
  /** All lines that it took, in the order in which they came. */
  readonly lines: string[] = []
  /** What it does next, and then until it is told otherwise. */
  readonly answers: Answer[] = []
  answer: Answer = 200
  /** In bytes; what is longer is answered with 413. */
  largest = Number.POSITIVE_INFINITY
  /** Of a 2xx. */
  answerBody = ''
  readonly #server: Server
  readonly #base: string

  /** @param place an address of this machine, and with a certificate (PEM) HTTPS. Absent: HTTP on loopback. */
  static async start(place: LogServerPlace = { host: '127.0.0.1' }): Promise<LogServer> {
    const server = new LogServer(place)
    server.#server.listen(0, place.host)
    await once(server.#server, 'listening')
    return server
  }

  private constructor({ host, tls }: LogServerPlace) {
    this.#base = `${tls ? 'https' : 'http'}://${host}`
    const answer: RequestListener = async (request, response) => {
      const body = await bodyOf(request).catch(() => undefined)
      // its sender was killed
      if (body === undefined) return
      const tooLarge = Buffer.byteLength(body) > this.largest
      const next = tooLarge ? 413 : (this.answers.shift() ?? this.answer)
      if (next === 'stall') return
      this.requests.push({ headers: request.headers, body })
      if (next === 'cut' || next < 300) this.lines.push(...body.split('\n').slice(0, -1))
      if (next === 'cut') request.socket.destroy()
      else response.writeHead(next, { 'content-type': 'application/json' }).end(this.answerBody)
    }
    this.#server = tls
      ? createTlsServer({ cert: tls.certificate, key: tls.key }, answer)
      : createServer(answer)
  }

  get url(): string {
    return `${this.#base}:${(this.#server.address() as AddressInfo).port}/logs`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** Rejects where it breaks off. */
async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = await Array.fromAsync(request)
  return Buffer.concat(chunks).toString()
}
