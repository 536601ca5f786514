/** One side of a stream: messages on a connection that has left HTTP. */
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { BrokenFrames, type Framing } from './framing.ts'
import type { Message } from './web-socket.ts'

/** In milliseconds. */
const lingering = 1_000

export class Peer implements Disposable {
  readonly #socket: Duplex
  readonly #framing: Framing

  constructor(socket: Duplex, framing: Framing) {
    this.#socket = socket
    this.#framing = framing
    socket.on('error', () => {})
  }

  /** Ends when it goes away. @throws BrokenFrames */
  async *messages(): AsyncGenerator<Message> {
    try {
      for await (const chunk of this.#chunks()) yield* await this.#read(chunk)
    } catch (error) {
      // one that breaks off is gone as well
      if (error instanceof BrokenFrames) throw error
    }
  }

  /** Resolves when more can be taken. */
  async send(message: Message): Promise<void> {
    await this.write(this.#framing.write(message))
  }

  async write(bytes: Buffer): Promise<void> {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded || socket.write(bytes)) return
    const waiting = new AbortController()
    const { signal } = waiting
    await Promise.race([once(socket, 'drain', { signal }), once(socket, 'close', { signal })]).catch(() => {})
    waiting.abort()
  }

  /** What was sent still arrives. @param gone when the other side has closed it as well, which is not waited for for long. */
  async end(gone: Promise<void>): Promise<void> {
    this.#socket.end()
    // what is left unread would break off what was sent
    this.#socket.resume()
    await Promise.race([gone, delay(lingering, undefined, { ref: false })])
  }

  [Symbol.dispose](): void {
    this.#framing[Symbol.dispose]()
    this.#socket.destroy()
  }

  #chunks(): AsyncIterable<Buffer> {
    return this.#socket.iterator({ destroyOnReturn: false })
  }

  async #read(chunk: Buffer): Promise<readonly Message[]> {
    const read = await this.#framing.read(chunk)
    if (!read.ok) throw new BrokenFrames(read.error)
    const { messages, answer } = read.value
    if (answer) await this.write(answer)
    return messages
  }
}
