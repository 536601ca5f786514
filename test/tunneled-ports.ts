/** WebSocket with protocols whose names no package of clients or servers takes, such as `SPDY/3.1+portforward.k8s.io`. */
import { createHash } from 'node:crypto'
import { type IncomingMessage, request } from 'node:http'
import type { Duplex } from 'node:stream'
import {
  frameOf,
  type Message,
  MessageReader,
} from '@firebreak/sidecar/protocols/kubernetes/streams/web-socket.ts'

/** What has to be asked to be pinged. */
export const pingMe = 'ping me'

/** Answers the handshake, and says what it hears; whom it pings, once that has answered. */
export async function sayWhatIsHeard({ headers }: IncomingMessage, socket: Duplex): Promise<void> {
  const accept = createHash('sha1')
    .update(`${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'Connection: Upgrade',
    'Upgrade: websocket',
    `Sec-WebSocket-Accept: ${accept}`,
    `Sec-WebSocket-Protocol: ${headers['sec-websocket-protocol']}`,
  ]
  socket.on('error', () => {}).write(`${lines.join('\r\n')}\r\n\r\n`)
  using reader = new MessageReader('client')
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    const read = await reader.push(chunk)
    if (read.ok) for (const message of read.value) socket.write(frameOf(answerTo(message), 'server'))
  }
  socket.end()
}

function answerTo(message: Message): Message {
  if (message.kind === 'pong') return { kind: 'data', bytes: message.bytes }
  return message.kind === 'data' && message.bytes.includes(pingMe)
    ? { kind: 'ping', bytes: message.bytes }
    : message
}

/** A client's side. */
export class Tunnel {
  readonly #socket: Duplex
  readonly #reader = new MessageReader('server')
  readonly #read: Message[] = []

  static async open(url: string, protocol: string): Promise<Tunnel> {
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      'sec-websocket-protocol': protocol,
    }
    const socket = await new Promise<Duplex>((resolve, reject) => {
      const asking = request(url, { headers })
      asking.on('upgrade', (_response, opened) => resolve(opened)).on('error', reject)
      asking.on('response', ({ statusCode }) => reject(new Error(`answered ${statusCode}`)))
      asking.end()
    })
    return new Tunnel(socket.on('error', () => {}))
  }

  private constructor(socket: Duplex) {
    this.#socket = socket
  }

  send(bytes: Buffer): void {
    this.#socket.write(frameOf({ kind: 'data', bytes }, 'client'))
  }

  /** The next message; undefined when there is none any more. */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const message = this.#read.shift()
      if (message) return message
      const chunk = (await this.#socket.iterator({ destroyOnReturn: false }).next()) as IteratorResult<Buffer>
      if (chunk.done) return undefined
      const read = await this.#reader.push(chunk.value)
      if (read.ok) this.#read.push(...read.value)
    }
  }

  close(): void {
    this.#socket.destroy()
  }
}
