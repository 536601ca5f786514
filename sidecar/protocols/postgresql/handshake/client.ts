/** The handshake with a client: encryption, startup, cancel requests, the token. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { isLoopback } from '../../../listen/loopback.ts'
import type { Gateway } from '../../../session.ts'
import { decodeOpening, decodePassword, maximumOpeningLength } from '../codec/client-messages.ts'
import { cleartextPasswordRequest, errorResponse, negotiateProtocolVersion } from '../codec/encode.ts'
import { HandshakeError, readExactly, readMessage } from './socket-reader.ts'

export interface StartedClient {
  readonly kind: 'started'
  /** Encrypted if the client asked for it. */
  readonly socket: Socket
  /** Minor version that is spoken from here on: 0 or 2. */
  readonly minor: 0 | 2
  readonly parameters: ReadonlyMap<string, string>
  readonly token?: string
}

export type AcceptedClient =
  | StartedClient
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  /** The client was answered and is gone. */
  | { readonly kind: 'closed' }

const newestMinor = 2
/** Room for a signed token. */
const maximumTokenLength = 32 * 1024

export async function acceptClient(
  socket: Socket,
  gateway: Gateway,
  signal: AbortSignal,
): Promise<AcceptedClient> {
  let current = socket
  for (let encryptionAsked = 0; encryptionAsked < 3; encryptionAsked++) {
    const opening = await readOpening(current, signal)
    if (opening === 'noise') {
      current.end()
      return { kind: 'closed' }
    }
    if (opening === undefined) {
      refuse(current, '08P01', 'this is not a startup message of PostgreSQL protocol 3')
      return { kind: 'closed' }
    }
    if (opening.kind === 'cancel') return opening
    if (opening.kind === 'ssl') {
      current = await answerSslRequest(current, gateway, signal)
      continue
    }
    if (opening.kind === 'gss') {
      current.write('N')
      continue
    }
    const minor = negotiate(current, opening.minor, opening.parameters)
    const asks = gateway.asksForToken(opening.parameters.get('user'))
    const token = asks ? await askForToken(current, signal) : undefined
    if (asks && token === undefined) return { kind: 'closed' }
    return {
      kind: 'started',
      socket: current,
      minor,
      parameters: opening.parameters,
      ...(token !== undefined && { token }),
    }
  }
  refuse(current, '08P01', 'encryption was asked for too often')
  return { kind: 'closed' }
}

/** @returns `noise` when the length can't be one: whoever sent it is not ready for an answer, and the server gives none. */
async function readOpening(
  socket: Socket,
  signal: AbortSignal,
): Promise<ReturnType<typeof decodeOpening> | 'noise'> {
  const head = await readExactly(socket, 4, signal)
  const length = head.readInt32BE(0)
  if (length < 8 || length > maximumOpeningLength) return 'noise'
  return decodeOpening(Buffer.concat([head, await readExactly(socket, length - 4, signal)]))
}

async function answerSslRequest(socket: Socket, gateway: Gateway, signal: AbortSignal): Promise<Socket> {
  if (!gateway.clientTls || socket instanceof TLSSocket) {
    socket.write('N')
    return socket
  }
  // bytes sent before the encryption starts could be taken for encrypted ones (CVE-2021-23222)
  if (socket.readableLength > 0) throw new HandshakeError('unencrypted data after the request for encryption')
  socket.write('S')
  const { certificate, key } = gateway.clientTls
  const secure = new TLSSocket(socket, { isServer: true, cert: certificate, key, minVersion: 'TLSv1.2' })
  await new Promise<void>((resolve, reject) => {
    secure.once('secure', resolve).once('error', reject)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  return secure
}

/** Answers versions and options that are newer than ours. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP */
function negotiate(socket: Socket, minor: number, parameters: ReadonlyMap<string, string>): 0 | 2 {
  const unknownOptions = [...parameters.keys()].filter((name) => name.startsWith('_pq_.'))
  const spoken = minor >= newestMinor ? newestMinor : 0
  if (minor !== spoken || unknownOptions.length > 0)
    socket.write(negotiateProtocolVersion(spoken, unknownOptions))
  return spoken
}

async function askForToken(socket: Socket, signal: AbortSignal): Promise<string | undefined> {
  if (!(socket instanceof TLSSocket) && !isLoopback(socket.remoteAddress)) {
    refuse(socket, '28000', 'a token is accepted only over an encrypted connection or from this host')
    return undefined
  }
  socket.write(cleartextPasswordRequest)
  const message = await readMessage(socket, signal, maximumTokenLength)
  const token = message[0] === 0x70 ? decodePassword(message, 0, message.length) : undefined
  if (token === undefined) refuse(socket, '08P01', 'expected a password message with the token')
  return token
}

function refuse(socket: Socket, code: string, message: string): void {
  socket.end(errorResponse({ severity: 'FATAL', code, message }))
}
