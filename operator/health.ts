/** Plain HTTP for the kubelet and for Prometheus. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Page {
  readonly status: number
  readonly contentType?: string
  readonly body: string
}

export class PageServer implements AsyncDisposable {
  readonly #server: Server
  readonly #pages: Readonly<Record<string, () => Promise<Page>>>

  /** @param pages by path. */
  static async start(
    port: number,
    pages: Readonly<Record<string, () => Promise<Page>>>,
  ): Promise<PageServer> {
    const server = new PageServer(pages)
    server.#server.listen(port)
    await once(server.#server, 'listening')
    return server
  }

  private constructor(pages: Readonly<Record<string, () => Promise<Page>>>) {
    this.#pages = pages
    this.#server = createServer({ requestTimeout: 10_000 }, (request, response) => {
      this.#answer(request, response).catch(() => response.destroy())
    })
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

  async #answer({ url = '' }: IncomingMessage, response: ServerResponse): Promise<void> {
    const page = Object.hasOwn(this.#pages, url) ? this.#pages[url] : undefined
    const { status, contentType = 'text/plain', body } = (await page?.()) ?? { status: 404, body: '' }
    response.writeHead(status, { 'content-type': contentType }).end(body)
  }
}
