/** A port-forward over SPDY: what WebSocket would have carried, as it is. */
import type { Result } from '../../../session.ts'
import type { Framing, Received } from './framing.ts'
import type { Message } from './web-socket.ts'

export class SpdyTunnel implements Framing {
  readonly carriesPings = false

  async read(chunk: Buffer): Promise<Result<Received, string>> {
    return { ok: true, value: { messages: [{ kind: 'data', bytes: chunk }] } }
  }

  write(message: Message): Buffer {
    return message.kind === 'data' ? message.bytes : Buffer.alloc(0)
  }

  [Symbol.dispose](): void {}
}
