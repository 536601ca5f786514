/** The handshake with the protected server: encryption, startup, the role's credential. */
import { connect as connectTcp, type Socket } from 'node:net'
import {
  opened,
  openTcp,
  startTls,
  TlsError,
  type Unreachable,
  unreachable,
} from '../../../outbound/connect.ts'
import type { Credential, Result, Target } from '../../../session.ts'
import { passwordMessage, sslRequest, startupMessage } from '../codec/encode.ts'
import { decodeBackendKey, decodeErrorFields, decodeParameterStatus } from '../codec/server-messages.ts'
import { fromServer } from '../codec/types.ts'
import { md5Response } from './md5.ts'
import { Scram } from './scram.ts'
import { HandshakeError, readExactly, readMessage } from './socket-reader.ts'

export interface ServerConnection {
  readonly socket: Socket
  readonly parameters: ReadonlyMap<string, string>
  readonly key?: { readonly processId: number; readonly secret: Buffer }
}

/** Why there is no connection. Never holds the credential. */
export interface ConnectFailure {
  /** SQLSTATE for the client. */
  readonly code: string
  readonly message: string
  readonly hint?: string
}

const connectTimeout = 15_000

/** Connects and authenticates as a role. */
export async function connectServer(
  target: Target,
  credential: Credential,
  parameters: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<Result<ServerConnection, ConnectFailure>> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(connectTimeout)])
  let socket: Socket | undefined
  try {
    socket = await openSocket(target, credential, deadline)
    socket.write(startupMessage(0, [['user', credential.username], ...parameters]))
    await authenticate(socket, credential, deadline)
    return { ok: true, value: await readyServer(socket, deadline) }
  } catch (error) {
    socket?.destroy()
    return { ok: false, error: failure(error, target) }
  }
}

/** Goes as far as a session's connection goes before it says who asks. @returns why not, if it can't be reached. */
export async function reachServer(target: Target, signal: AbortSignal): Promise<Unreachable | undefined> {
  try {
    const socket = await openSocket(target, undefined, signal)
    signal.addEventListener('abort', () => socket.destroy(), { once: true })
    socket.resume().end()
    return undefined
  } catch (error) {
    return unreachable(error)
  }
}

/** Sends one packet on a connection of its own and waits for the server to close it, as cancel requests are sent. */
export async function sendPacket(target: Target, packet: Buffer, signal: AbortSignal): Promise<void> {
  const socket = await openSocket(
    target,
    undefined,
    AbortSignal.any([signal, AbortSignal.timeout(connectTimeout)]),
  )
  await new Promise<void>((resolve) =>
    socket
      .on('close', resolve)
      .on('error', () => {})
      .resume()
      .end(packet),
  )
}

class ServerRefusal extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

async function openSocket(
  target: Target,
  credential: Credential | undefined,
  signal: AbortSignal,
): Promise<Socket> {
  const plain = target.host.startsWith('/')
    ? await opened(connectTcp({ path: `${target.host}/.s.PGSQL.${target.port}` }), 'connect', signal)
    : await openTcp(target, signal)
  const { host, tls } = target
  if (tls.mode === 'disable') return plain
  try {
    plain.write(sslRequest)
    const answer = await readExactly(plain, 1, signal)
    if (answer[0] !== 0x53) throw new TlsError('TlsNotOffered', 'the server does not offer TLS')
    if (plain.readableLength > 0)
      throw new HandshakeError('the server sent unencrypted data before TLS started')
    const terms = { alpn: ['postgresql'], clientCertificate: credential?.clientCertificate }
    return await startTls(plain, { host, tls }, terms, signal)
  } catch (error) {
    plain.destroy()
    throw error
  }
}

/** https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP */
async function authenticate(socket: Socket, credential: Credential, signal: AbortSignal): Promise<void> {
  let scram: Scram | undefined
  for (;;) {
    const message = await readMessage(socket, signal)
    const type = message[0]
    if (type === fromServer.error) throw refusal(message)
    if (type === fromServer.notice || type === fromServer.negotiateVersion) continue
    if (type !== fromServer.authentication || message.length < 9)
      throw new HandshakeError('the server does not speak the PostgreSQL protocol')
    const payload = message.subarray(9)
    switch (message.readInt32BE(5)) {
      case 0:
        // a server that took part in SCRAM must have proven that it knows the password too
        if (scram && !scram.verified)
          throw new HandshakeError('the server did not prove that it knows the password')
        return
      case 3:
        if (!('getPeerCertificate' in socket))
          throw new ServerRefusal(
            '08001',
            'the server asks for the password in clear text on an unencrypted connection',
          )
        socket.write(passwordMessage(password(credential)))
        break
      case 5:
        socket.write(passwordMessage(md5Response(credential.username, password(credential), payload)))
        break
      case 10:
        scram = Scram.start(socket, password(credential), payload)
        socket.write(scram.initialMessage)
        break
      case 11:
        if (!scram) throw new HandshakeError('unexpected authentication message')
        socket.write(await scram.respond(payload.toString('utf8')))
        break
      case 12:
        if (!scram?.verify(payload.toString('utf8')))
          throw new HandshakeError('the server did not prove that it knows the password')
        break
      default:
        throw new ServerRefusal('08001', 'the server asks for an authentication method that is not supported')
    }
  }
}

function password({ password: value }: Credential): string {
  if (value === undefined)
    throw new ServerRefusal('28000', 'the server asks for a password, but the role has none')
  return value
}

async function readyServer(socket: Socket, signal: AbortSignal): Promise<ServerConnection> {
  const parameters = new Map<string, string>()
  let key: ServerConnection['key']
  for (;;) {
    const message = await readMessage(socket, signal)
    switch (message[0]) {
      case fromServer.parameterStatus: {
        const status = decodeParameterStatus(message, 0, message.length)
        if (status) parameters.set(status.name, status.value)
        break
      }
      case fromServer.backendKey:
        key = decodeBackendKey(message, 0, message.length)
        break
      case fromServer.notice:
      case fromServer.negotiateVersion:
        break
      case fromServer.error:
        throw refusal(message)
      case fromServer.ready:
        return { socket, parameters, ...(key && { key }) }
      default:
        throw new HandshakeError('the server does not speak the PostgreSQL protocol')
    }
  }
}

function refusal(message: Buffer): ServerRefusal {
  const fields = decodeErrorFields(message, 0, message.length)
  return new ServerRefusal(
    fields?.get('C') ?? '08006',
    fields?.get('M') ?? 'the server refused the connection',
  )
}

function failure(error: unknown, target: Target): ConnectFailure {
  const where = `${target.host}:${target.port}`
  if (error instanceof ServerRefusal) {
    if (error.code.startsWith('28')) {
      const hint =
        "The role's credential in the ProtectedResource is not valid any more, or its Secret is not the right one."
      return {
        code: error.code,
        message: `the server at ${where} did not accept the role's credential`,
        hint,
      }
    }
    return {
      code: error.code,
      message: `the server at ${where} refused the connection: ${error.message}`,
    }
  }
  const { message, hint } = unreachable(error)
  return { code: '08001', message: `the server at ${where} can't be reached: ${message}`, hint }
}
