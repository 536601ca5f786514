/** The clients of one server, and what is still being done for them. */
import type { Server, Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export class Clients {
  readonly #sockets = new Set<Socket>()
  readonly #serving = new Set<Promise<void>>()

  add(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {})
  }

  /** @param work for one of them, to its end. */
  serve(work: Promise<void>): void {
    const serving = work.finally(() => this.#serving.delete(serving))
    this.#serving.add(serving)
  }

  /** Lets no more in; those that are there have been told, and get a moment to hear it. Their last audit lines are written. */
  async close(server: Server): Promise<void> {
    const closed = new Promise((resolve) => server.close(resolve))
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, 1_000)
    await closed
    clearTimeout(timer)
    // accounts are dropped; one that still waits for its server has nothing more to say
    await Promise.race([Promise.all(this.#serving), delay(5_000, undefined, { ref: false })])
  }
}
