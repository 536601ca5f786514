/** A PostgreSQL client that sends what it is told and keeps every frame that comes back. */
import { connect, type Socket } from 'node:net'
import { startupMessage } from '@firebreak/sidecar/protocols/postgresql/codec/encode.ts'
import { FrameReader } from '@firebreak/sidecar/protocols/postgresql/codec/frame-reader.ts'
import {
  decodeErrorFields,
  type ErrorFields,
} from '@firebreak/sidecar/protocols/postgresql/codec/server-messages.ts'
import { serverRules } from '@firebreak/sidecar/protocols/postgresql/codec/types.ts'

export interface ReceivedFrame {
  /** The type letter. */
  readonly type: string
  /** With its type and length. */
  readonly bytes: Buffer
}

export class RawClient implements Disposable {
  readonly socket: Socket
  readonly #reader = new FrameReader(serverRules)
  readonly #frames: ReceivedFrame[] = []
  #wake: () => void = () => {}
  #closed = false

  /**
   * @param until the answer to wait for: ReadyForQuery.
   * @returns after that, or after the server has closed the connection.
   */
  static async open(
    address: { host: string; port: number },
    parameters: Readonly<Record<string, string>>,
    until = 'Z',
  ): Promise<{ client: RawClient; greeting: readonly ReceivedFrame[] }> {
    const client = new RawClient(connect(address))
    client.send(startupMessage(0, Object.entries(parameters)))
    return { client, greeting: await client.until(until) }
  }

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#reader.push(Buffer.from(chunk))
      while (this.#reader.next() === 'frame') {
        const { buffer, type, start, end } = this.#reader
        this.#frames.push({
          type: String.fromCharCode(type),
          bytes: Buffer.from(buffer.subarray(start, end)),
        })
      }
      this.#wake()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#closed = true
      this.#wake()
    })
  }

  get closed(): boolean {
    return this.#closed
  }

  send(...messages: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(messages))
  }

  /** All frames up to and with the first of a type, or to the end of the connection. */
  async until(type: string): Promise<readonly ReceivedFrame[]> {
    for (let index = 0; ; ) {
      while (index < this.#frames.length && this.#frames[index]?.type !== type) index++
      if (index < this.#frames.length) return this.#frames.splice(0, index + 1)
      if (this.#closed) return this.#frames.splice(0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

/** The first error among frames. */
export function errorIn(frames: readonly ReceivedFrame[]): ErrorFields | undefined {
  const frame = frames.find((candidate) => candidate.type === 'E')
  return frame && decodeErrorFields(frame.bytes, 0, frame.bytes.length)
}
