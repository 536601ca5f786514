/** What passes once a client and its target have left HTTP on their connection. */
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Outcome } from '../../../session.ts'
import type { HeaderFields, HttpRequest } from '../request.ts'
import { type Ended, overLimit } from './ended.ts'
import type { CommandRun } from './run.ts'

export interface Tunnel {
  /** As the Upgrade header names it. */
  readonly protocol: 'websocket' | 'SPDY/3.1'
  readonly client: Duplex
  /** What the client has sent after its request already. */
  readonly first: Buffer
}

/** A target that has agreed to leave HTTP as well. */
export interface OpenedTunnel {
  readonly tunnel: Tunnel
  readonly request: HttpRequest
  readonly target: Duplex
  readonly status: number
  /** Of the answer, as far as they pass. */
  readonly headers: HeaderFields
  readonly run: CommandRun
  /** Aborted when nothing more may pass; the reason is an {@link Ended}. */
  readonly signal: AbortSignal
  readonly end: (why: Ended) => void
}

/** The answer's head, which leaves HTTP. */
export function switching({ tunnel, status, headers }: OpenedTunnel): Buffer {
  const lines = [['Connection', 'Upgrade'], ['Upgrade', tunnel.protocol], ...headers].map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  return Buffer.from(`HTTP/1.1 ${status} Switching Protocols\r\n${lines.join('')}\r\n`, 'latin1')
}

export interface StreamEnd {
  /** The target has said that it is over. */
  readonly isWhole: boolean
  /** What the target said to have failed. */
  readonly error: Outcome['error']
}

/** Passes bytes that nobody looks at. @returns when both sides are gone. Never rejects. */
export async function throughTunnel(opened: OpenedTunnel): Promise<StreamEnd> {
  const { tunnel, target, run, signal, end } = opened
  const { client, first } = tunnel
  const head = switching(opened)
  client.write(head)
  run.shows(head)
  if (first.length > 0) target.write(first)
  const close = (): void => {
    client.destroy()
    target.destroy()
  }
  client.on('error', close).on('close', close)
  target.on('error', close).on('close', close)
  signal.addEventListener('abort', close)
  const counted = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      run.bytes += chunk.length
      const limit = run.session.meter(0, chunk.length)
      if (limit) {
        end(overLimit(run, limit))
        return
      }
      run.shows(chunk)
      yield chunk
      await run.session.ready()
    }
  }
  await Promise.allSettled([pipeline(target, counted, client), pipeline(client, target)])
  return { isWhole: false, error: undefined }
}
