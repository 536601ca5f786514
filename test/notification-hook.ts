/** A webhook that keeps what it is told, and counts what is not signed with its secret. */
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Notified {
  readonly event: string
  readonly by?: string
  readonly request?: { readonly metadata: { readonly name: string } }
  readonly signal?: Readonly<Record<string, unknown>>
}

export class NotificationHook implements AsyncDisposable {
  readonly secret = 'known to both sides'
  readonly notified: Notified[] = []
  unsigned = 0
  readonly #server: Server

  static async start(): Promise<NotificationHook> {
    const hook = new NotificationHook()
    hook.#server.listen(0, '127.0.0.1')
    await once(hook.#server, 'listening')
    return hook
  }

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk) => chunks.push(chunk))
      request.on('end', () => {
        const body = Buffer.concat(chunks).toString()
        const signed = `${request.headers['firebreak-timestamp']}.${body}`
        const signature = createHmac('sha256', this.secret).update(signed).digest('hex')
        if (request.headers['firebreak-signature'] !== `sha256=${signature}`) this.unsigned++
        this.notified.push(JSON.parse(body) as Notified)
        response.end()
      })
    })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
