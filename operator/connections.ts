/** What a server of TLS that ends has to close by itself. */
import type { Server, Socket } from 'node:net'

/**
 * All connections of a server, those that TLS has not begun on among them: Node's own lists know only of later ones, and
 * take one that was never used for a busy one. A server has ended only when all are gone.
 */
export class Connections {
  readonly #sockets = new Map<string, Socket>()

  /** @param server which has none yet. */
  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      const name = nameOf(socket)
      this.#sockets.set(name, socket)
      socket.once('close', () => this.#sockets.delete(name))
    })
  }

  get size(): number {
    return this.#sockets.size
  }

  /** @param except such as what TLS makes of them. */
  destroy(except: Iterable<Pick<Socket, 'remoteAddress' | 'remotePort'>> = []): void {
    const kept = new Set([...except].map(nameOf))
    for (const [name, socket] of this.#sockets) if (!kept.has(name)) socket.destroy()
  }
}

function nameOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`
}
