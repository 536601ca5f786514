import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** In front of replicas on this host, as a Service is: each connection goes to the next one that takes it. */
export class Service implements AsyncDisposable {
  /** Ports of those that are ready. */
  readonly endpoints = new Set<number>()
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #connections = 0

  static async open(): Promise<Service> {
    const service = new Service()
    await new Promise<void>((resolve) => service.#server.listen(0, '127.0.0.1', resolve))
    return service
  }

  private constructor() {
    this.#server = createServer((client) => {
      this.#keep(client)
      const ports = [...this.endpoints]
      const first = this.#connections++ % Math.max(1, ports.length)
      this.#forward(client, [...ports.slice(first), ...ports.slice(0, first)])
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
  }

  #forward(client: Socket, [port, ...others]: readonly number[]): void {
    if (port === undefined) {
      client.destroy()
      return
    }
    const replica = connect(port, '127.0.0.1')
    this.#keep(replica)
    const next = (): void => {
      if (!client.destroyed) this.#forward(client, others)
    }
    // it may leave before it is connected
    client.once('close', () => replica.destroy())
    replica.once('error', next).once('connect', () => {
      replica.off('error', next).once('close', () => client.destroy())
      client.pipe(replica).pipe(client)
    })
  }
}
