/** Plain HTTP for the kubelet and for Prometheus. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Address } from './listener.ts'

export interface Page {
  readonly status: number
  readonly contentType?: string
  readonly body: string
}

/** By path. */
export type Pages = Readonly<Record<string, () => Page | Promise<Page>>>

/** Whoever reads it, it takes little: the agent in a pod can as well. */
const maximumConnections = 32

export class PageServer implements AsyncDisposable {
  readonly #server: Server
  readonly #pages: Pages

  /** @param host undefined is all addresses. @throws the system's error. */
  static async open(
    { host, port }: Pick<Address, 'port'> & Partial<Address>,
    pages: Pages,
  ): Promise<PageServer> {
    const server = new PageServer(pages)
    server.#server.listen(port, host)
    await once(server.#server, 'listening')
    return server
  }

  private constructor(pages: Pages) {
    this.#pages = pages
    this.#server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, (request, response) => {
      this.#answer(request, response).catch(() => response.destroy())
    })
    this.#server.maxConnections = maximumConnections
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
    const { status, contentType = 'text/plain', body } = (await page?.()) ?? notFound
    response.writeHead(status, { 'content-type': contentType, connection: 'close' }).end(body)
  }
}

const notFound: Page = { status: 404, body: 'there is nothing here\n' }
