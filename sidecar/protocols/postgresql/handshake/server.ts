/** The handshake with the protected server: encryption, startup, the role's credential. */
import { connect as connectTcp, type Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls, type PeerCertificate } from 'node:tls'
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
    ? connectTcp({ path: `${target.host}/.s.PGSQL.${target.port}` })
    : connectTcp({ host: target.host, port: target.port, noDelay: true, keepAlive: true })
  plain.on('error', () => {})
  try {
    await opened(plain, 'connect', signal)
    if (target.tls.mode === 'disable') return plain
    return await encrypt(plain, target, credential, signal)
  } catch (error) {
    plain.destroy()
    throw error
  }
}

async function encrypt(
  plain: Socket,
  target: Target,
  credential: Credential | undefined,
  signal: AbortSignal,
): Promise<Socket> {
  const { tls } = target
  if (tls.mode === 'disable') return plain
  plain.write(sslRequest)
  const answer = await readExactly(plain, 1, signal)
  if (answer[0] !== 0x53) throw new ServerRefusal(noTls, 'the server does not offer TLS')
  if (plain.readableLength > 0)
    throw new HandshakeError('the server sent unencrypted data before TLS started')
  const serverName = tls.serverName ?? target.host
  const certificate = credential?.clientCertificate
  const secure = connectTls({
    socket: plain,
    ...(!isAddress(serverName) && { servername: serverName }),
    ...(tls.ca !== undefined && { ca: tls.ca }),
    ...(certificate && { cert: certificate.certificate, key: certificate.key }),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['postgresql'],
    rejectUnauthorized: tls.mode !== 'require',
    checkServerIdentity: (_host: string, peer: PeerCertificate) =>
      tls.mode === 'verify-full' ? checkServerIdentity(serverName, peer) : undefined,
  })
  secure.on('error', () => {})
  await opened(secure, 'secureConnect', signal)
  return secure
}

function isAddress(host: string): boolean {
  return /^[0-9.]+$/.test(host) || host.includes(':')
}

function opened(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const aborted = (): void => reject(signal.reason)
  const closed = (): void => reject(new HandshakeError('the server closed the connection'))
  socket.once(event, resolve).once('error', reject).once('close', closed)
  if (signal.aborted) aborted()
  signal.addEventListener('abort', aborted, { once: true })
  return promise.finally(() => {
    socket.off(event, resolve).off('error', reject).off('close', closed)
    signal.removeEventListener('abort', aborted)
  })
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

/** Of a connection that could not be made; the server itself never sends it. */
const noTls = '08001'

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
      ...(error.code === noTls && {
        hint: 'Switch TLS on at the server; spec.tls.mode disable of the ProtectedResource is for servers on this host.',
      }),
    }
  }
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  const reason =
    error instanceof Error
      ? error.name === 'TimeoutError'
        ? 'no answer in time'
        : error.message || String(code)
      : 'unknown'
  const certificate = code !== undefined && /CERT|SELF_SIGNED|ISSUER|ALTNAME/.test(code)
  return {
    code: '08001',
    message: `the server at ${where} can't be reached: ${reason}`,
    hint: certificate
      ? 'Check spec.tls of the ProtectedResource: ca, serverName and mode.'
      : 'Check spec.address of the ProtectedResource, and that the server runs.',
  }
}
