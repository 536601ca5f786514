/** What the package has beside what its types tell: its framing, without the handshake, which is the exchange's. */
import type { Writable } from 'node:stream'

declare module 'ws' {
  interface ReceiverOptions {
    readonly isServer: boolean
    readonly maxPayload: number
    readonly maxFragments: number
    readonly maxBufferedChunks: number
  }

  /** Tells `message` (data, whether binary), `ping` and `pong` (data), and `conclude` (code, reason). */
  class Receiver extends Writable {
    constructor(options: ReceiverOptions)
  }

  interface FrameOptions {
    readonly fin: boolean
    readonly opcode: number
    readonly mask: boolean
    /** The data may not be changed. */
    readonly readOnly: boolean
    readonly rsv1: boolean
  }

  const Sender: { frame(data: Buffer, options: FrameOptions): Buffer[] }
}
