/** What passes once a client and its target have left HTTP on their connection: bytes that nobody looks at. */
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { LimitReached } from '../../../session.ts'
import type { HeaderFields } from '../request.ts'
import type { CommandRun } from './run.ts'

export interface Tunnel {
  /** As the Upgrade header names it. */
  readonly protocol: 'websocket'
  readonly client: Duplex
  /** What the client has sent after its request already. */
  readonly first: Buffer
}

/** @returns when both sides are gone. Never rejects. */
export async function throughTunnel(
  { protocol, client, first }: Tunnel,
  target: Duplex,
  status: number,
  headers: HeaderFields,
  run: CommandRun,
  onLimit: (limit: LimitReached) => void,
): Promise<void> {
  const lines = [['Connection', 'Upgrade'], ['Upgrade', protocol], ...headers].map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  const head = Buffer.from(`HTTP/1.1 ${status} Switching Protocols\r\n${lines.join('')}\r\n`, 'latin1')
  client.write(head)
  run.shows(head)
  if (first.length > 0) target.write(first)
  const close = (): void => {
    client.destroy()
    target.destroy()
  }
  client.on('error', close).on('close', close)
  target.on('error', close).on('close', close)
  const counted = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      run.bytes += chunk.length
      const limit = run.session.meter(0, chunk.length)
      if (limit) {
        onLimit(limit)
        return
      }
      run.shows(chunk)
      yield chunk
      await run.session.ready()
    }
  }
  await Promise.allSettled([pipeline(target, counted, client), pipeline(client, target)])
}
