/** What passes once a client and its target have left HTTP on their connection. */
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Outcome } from '../../../session.ts'
import type { HeaderFields, HttpRequest } from '../request.ts'
import { type Ended, overLimit } from './ended.ts'
import type { Problem } from './problems.ts'
import type { CommandRun } from './run.ts'

export interface Tunnel {
  /** As the Upgrade header names it. */
  readonly protocol: 'websocket' | 'SPDY/3.1'
  readonly client: Duplex
  /** The client has said more than its request already. */
  readonly isEarly: boolean
  /** From now on what the client says is read. */
  begin(): void
}

/**
 * A client that asks to leave HTTP has nothing to say until it is answered (RFC 6455, section 4.1), and may have to wait for
 * people: meanwhile it is listened to, since of one with bytes that nobody reads it is never known that it has left. One that
 * speaks all the same is broken off.
 *
 * @param first what came with its request.
 */
export function tunnelOf(protocol: Tunnel['protocol'], client: Duplex, first: Buffer): Tunnel {
  const speaksEarly = (): void => void client.destroy()
  client.on('data', speaksEarly)
  const isEarly = first.length > 0
  return { protocol, client, isEarly, begin: () => void client.off('data', speaksEarly).pause() }
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
  /** What the client is to hear, which has not been answered yet. */
  readonly unanswered?: Problem
}

/** Passes bytes that nobody looks at. @returns when both sides are gone. Never rejects. */
export async function throughTunnel(opened: OpenedTunnel): Promise<StreamEnd> {
  const { tunnel, target, run, signal, end } = opened
  const { client } = tunnel
  tunnel.begin()
  const head = switching(opened)
  client.write(head)
  run.shows(head)
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
