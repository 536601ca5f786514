/** Tells the kubelet whether the pod is contained, and nothing else to anybody. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** By path, why it is not ready; undefined is ready. */
export type Checks = Readonly<Record<string, () => string | undefined>>

export class Readiness implements AsyncDisposable {
  readonly #server: Server

  /** On all addresses. */
  static async open(port: number, checks: Checks): Promise<Readiness> {
    const readiness = new Readiness(checks)
    readiness.#server.listen(port)
    await once(readiness.#server, 'listening')
    return readiness
  }

  private constructor(checks: Checks) {
    this.#server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, (request, response) => {
      const check = Object.hasOwn(checks, request.url ?? '') ? checks[request.url ?? ''] : undefined
      const problem = check ? check() : 'there is nothing here'
      response.writeHead(problem === undefined ? 200 : check ? 503 : 404, { connection: 'close' })
      response.end(`${problem ?? 'ready'}\n`)
    })
    this.#server.maxConnections = 32
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }
}
