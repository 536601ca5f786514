/** How messages stand in the bytes of one side's connection. */
import type { Result } from '../../../session.ts'
import { frameOf, type Message, MessageReader, type Side } from './web-socket.ts'

/** A side sent what can't be read. */
export class BrokenFrames extends Error {
  override readonly name = 'BrokenFrames'
}

export interface Received {
  readonly messages: readonly Message[]
  /** What goes back at once, without being asked for. */
  readonly answer?: Buffer
}

export interface Framing extends Disposable {
  /** Whether the side says and hears that it is there. */
  readonly carriesPings: boolean
  /** Resolves when the side takes messages, and rejects with {@link BrokenFrames}; absent where it does from the beginning. */
  readonly ready?: Promise<void>
  /** Takes the side's bytes, cut anywhere. @returns what is whole now; or why these bytes are none of its kind. */
  read(chunk: Buffer): Promise<Result<Received, string>>
  /** @returns a message as the side reads it; nothing where it has no word for it. */
  write(message: Message): Buffer
}

export class WebSocketFraming implements Framing {
  readonly carriesPings = true
  readonly #reader: MessageReader
  readonly #toSide: Side

  constructor(side: Side) {
    this.#reader = new MessageReader(side)
    this.#toSide = side === 'client' ? 'server' : 'client'
  }

  async read(chunk: Buffer): Promise<Result<Received, string>> {
    const read = await this.#reader.push(chunk)
    return read.ok ? { ok: true, value: { messages: read.value } } : read
  }

  write(message: Message): Buffer {
    return frameOf(message, this.#toSide)
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]()
  }
}
