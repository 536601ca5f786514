/** WebSocket without its handshake: bytes ↔ messages. https://www.rfc-editor.org/rfc/rfc6455 */
import { Receiver, Sender } from 'ws'
import type { Result } from '../../../session.ts'

export type Message =
  | { readonly kind: 'data' | 'ping' | 'pong'; readonly bytes: Buffer }
  | { readonly kind: 'close'; readonly code: number; readonly reason: Buffer }

/** Whose frames are read or written: a client masks its own, a server doesn't. */
export type Side = 'client' | 'server'

/** More than any client or API server sends in one. */
export const maximumMessage = 1024 * 1024
const maximumParts = 16 * 1024

/** Takes one side's bytes, cut anywhere. Text is taken as the bytes that it is made of. */
export class MessageReader implements Disposable {
  readonly #receiver: Receiver
  #read: Message[] = []
  #problem: string | undefined

  constructor(from: Side) {
    this.#receiver = new Receiver({
      isServer: from === 'client',
      maxPayload: maximumMessage,
      maxFragments: maximumParts,
      maxBufferedChunks: maximumParts,
    })
    this.#receiver
      .on('message', (bytes: Buffer) => this.#read.push({ kind: 'data', bytes }))
      .on('ping', (bytes: Buffer) => this.#read.push({ kind: 'ping', bytes }))
      .on('pong', (bytes: Buffer) => this.#read.push({ kind: 'pong', bytes }))
      .on('conclude', (code: number, reason: Buffer) => this.#read.push({ kind: 'close', code, reason }))
      .on('error', (error: Error) => {
        this.#problem ??= error.message
      })
  }

  /** @returns the messages that are whole now; or why these bytes are none. What comes after the end is nothing. */
  async push(chunk: Buffer): Promise<Result<readonly Message[], string>> {
    if (this.#problem === undefined && !this.#receiver.writableEnded)
      await new Promise<void>((resolve) => {
        this.#receiver.write(chunk, (error) => {
          if (error) this.#problem ??= error.message
          resolve()
        })
      })
    if (this.#problem !== undefined) return { ok: false, error: this.#problem }
    const read = this.#read
    this.#read = []
    return { ok: true, value: read }
  }

  [Symbol.dispose](): void {
    this.#receiver.destroy()
  }
}

const opcodes = { data: 2, close: 8, ping: 9, pong: 10 } as const

/** One frame. @param from the side that sends it. */
export function frameOf(message: Message, from: Side): Buffer {
  const bytes = message.kind === 'close' ? closing(message.code, message.reason) : message.bytes
  const opcode = opcodes[message.kind]
  const mask = from === 'client'
  return Buffer.concat(Sender.frame(bytes, { fin: true, opcode, mask, readOnly: true, rsv1: false }))
}

/** No status code is one that is never sent: https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1 */
const noStatus = 1005
const maximumReason = 123

function closing(code: number, reason: Buffer): Buffer {
  if (code === noStatus) return Buffer.alloc(0)
  const head = Buffer.alloc(2)
  head.writeUInt16BE(code)
  return Buffer.concat([head, reason.subarray(0, maximumReason)])
}
