/** An HTTP service that takes lines, and does what it is told instead. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A status code; `stall` never answers; `cut` takes the lines and closes the connection without an answer. */
export type Answer = number | 'stall' | 'cut'

export class LogServer implements AsyncDisposable {
  readonly requests: { readonly headers: IncomingHttpHeaders; readonly body: string }[] = []
  /** All lines that it took, in the order in which they came. */
  readonly lines: string[] = []
  /** What it does next, and then until it is told otherwise. */
  readonly answers: Answer[] = []
  answer: Answer = 200
  /** Of a 2xx. */
  answerBody = ''
  readonly #server: Server

  static async start(): Promise<LogServer> {
    const server = new LogServer()
    server.#server.listen(0, '127.0.0.1')
    await once(server.#server, 'listening')
    return server
  }

  private constructor() {
    this.#server = createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      const answer = this.answers.shift() ?? this.answer
      if (answer === 'stall') return
      this.requests.push({ headers: request.headers, body })
      if (answer === 'cut' || answer < 300) this.lines.push(...body.split('\n').slice(0, -1))
      if (answer === 'cut') request.socket.destroy()
      else response.writeHead(answer, { 'content-type': 'application/json' }).end(this.answerBody)
    })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/logs`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
