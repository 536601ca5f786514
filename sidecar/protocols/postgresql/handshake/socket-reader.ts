/** Reads of exact lengths during a handshake, when a socket is not flowing yet. */
import type { Socket } from 'node:net'
import { serverRules } from '../codec/types.ts'

export class HandshakeError extends Error {
  override readonly name = 'HandshakeError'
}

/** @throws HandshakeError when the other side closes first; the signal's reason when it is aborted. */
export async function readExactly(socket: Socket, length: number, signal: AbortSignal): Promise<Buffer> {
  for (;;) {
    signal.throwIfAborted()
    const bytes: Buffer | null = socket.readableLength >= length ? socket.read(length) : null
    if (bytes?.length === length) return bytes
    if (socket.destroyed || socket.readableEnded) throw new HandshakeError('the connection was closed')
    // reading nothing asks the stream to fetch more than it has buffered
    socket.read(0)
    await readable(socket, signal)
  }
}

/** Resolves when there may be something to read. @throws HandshakeError when the other side is gone. */
export function readable(socket: Socket, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const closed = (): void => reject(new HandshakeError('the connection was closed'))
  const failed = (error: Error): void => reject(new HandshakeError(error.message))
  const aborted = (): void => reject(signal.reason)
  socket.once('readable', resolve).once('end', closed).once('close', closed).once('error', failed)
  signal.addEventListener('abort', aborted, { once: true })
  return promise.finally(() => {
    socket.off('readable', resolve).off('end', closed).off('close', closed).off('error', failed)
    signal.removeEventListener('abort', aborted)
  })
}

/** One whole typed message. @throws HandshakeError when it is too long or not one at all. */
export async function readMessage(
  socket: Socket,
  signal: AbortSignal,
  maximumLength?: number,
): Promise<Buffer> {
  const header = await readExactly(socket, 5, signal)
  const length = header.readInt32BE(1)
  const maximum = maximumLength ?? serverRules.maximumLength(header.readUInt8(0)) ?? 0
  if (length < 4 || length > Math.min(maximum, 1 << 20))
    throw new HandshakeError('the other side does not speak the PostgreSQL protocol')
  return Buffer.concat([header, await readExactly(socket, length - 4, signal)])
}
