/** Connections to protected systems: TCP, then TLS as the ProtectedResource says; and why one can't be had. */
import { connect as connectTcp, type Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls'
import type { Target, TargetTls } from '../session.ts'

export interface Unreachable {
  readonly reason: UnreachableReason
  /** For a person; it doesn't name the target. */
  readonly message: string
  /** What to do about it. */
  readonly hint: string
}

/** For machines. */
export type UnreachableReason =
  | 'NotResolved'
  | 'Refused'
  | 'Timeout'
  /** Something between here and there says no, or the other side hangs up. */
  | 'NotConnected'
  | TlsReason

type TlsReason = 'TlsNotOffered' | 'TlsFailed' | 'CertificateInvalid' | 'NameMismatch'

/** There is a server, and no TLS with it that is as it has to be. */
export class TlsError extends Error {
  override readonly name = 'TlsError'
  readonly reason: TlsReason

  constructor(reason: TlsReason, message: string) {
    super(message)
    this.reason = reason
  }
}

/** @throws what {@link unreachable} says in words. */
export async function openTcp({ host, port }: Target, signal: AbortSignal): Promise<Socket> {
  const socket = connectTcp({ host, port, noDelay: true, keepAlive: true })
  return await opened(socket, 'connect', signal)
}

export interface SecuredTarget {
  readonly host: string
  readonly tls: Exclude<TargetTls, { mode: 'disable' }>
}

export interface TlsTerms {
  /** Those that may be spoken. https://www.iana.org/assignments/tls-extensiontype-values/tls-extensiontype-values.xhtml#alpn-protocol-ids */
  readonly alpn: readonly string[]
  readonly clientCertificate?: { readonly certificate: string; readonly key: string } | undefined
}

/** Goes on encrypted, on a connection that is ready for it. @throws what {@link unreachable} says in words. */
export async function startTls(
  plain: Socket,
  { host, tls }: SecuredTarget,
  { alpn, clientCertificate }: TlsTerms,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const serverName = tls.serverName ?? host
  const secure = connectTls({
    socket: plain,
    ...(!isAddress(serverName) && { servername: serverName }),
    ...(tls.ca !== undefined && { ca: tls.ca }),
    ...(clientCertificate && { cert: clientCertificate.certificate, key: clientCertificate.key }),
    minVersion: 'TLSv1.2',
    ALPNProtocols: [...alpn],
    rejectUnauthorized: tls.mode !== 'require',
    checkServerIdentity: (_host: string, peer: PeerCertificate) =>
      tls.mode === 'verify-full' ? checkServerIdentity(serverName, peer) : undefined,
  })
  try {
    return await opened(secure, 'secureConnect', signal)
  } catch (error) {
    secure.destroy()
    signal.throwIfAborted()
    // what Node adds is advice for whoever starts Node
    const [message] = (error as Error).message.split('; if the root CA')
    throw new TlsError(tlsReason(secure), message ?? '')
  }
}

function tlsReason({ authorizationError }: TLSSocket): TlsReason {
  if (!authorizationError) return 'TlsFailed'
  // the type says Error; it is the error's code
  return String(authorizationError) === 'ERR_TLS_CERT_ALTNAME_INVALID' ? 'NameMismatch' : 'CertificateInvalid'
}

/** @returns the socket, once the event has come. The socket may fail later without anybody listening. */
export function opened<T extends Socket>(
  socket: T,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const done = (): void => resolve(socket)
  const aborted = (): void => {
    socket.destroy()
    reject(signal.reason)
  }
  const closed = (): void => reject(new Error('the server closed the connection'))
  socket.on('error', () => {})
  socket.once(event, done).once('error', reject).once('close', closed)
  if (signal.aborted) aborted()
  signal.addEventListener('abort', aborted, { once: true })
  return promise.finally(() => {
    socket.off(event, done).off('error', reject).off('close', closed)
    signal.removeEventListener('abort', aborted)
  })
}

function isAddress(host: string): boolean {
  return /^[0-9.]+$/.test(host) || host.includes(':')
}

const checkTls = 'Check spec.tls of the ProtectedResource: ca, serverName and mode.'
const checkAddress = 'Check spec.address of the ProtectedResource, and that the server runs.'
const offerTls =
  'Switch TLS on at the server; spec.tls.mode disable of the ProtectedResource is for servers on this host.'

export function unreachable(error: unknown): Unreachable {
  if (error instanceof TlsError) {
    const { reason, message } = error
    return { reason, message, hint: reason === 'TlsNotOffered' ? offerTls : checkTls }
  }
  const { name, code = '', message = '' } = error as NodeJS.ErrnoException
  if (name === 'TimeoutError') return { reason: 'Timeout', message: 'no answer in time', hint: checkAddress }
  return { reason: reasons[code] ?? 'NotConnected', message: message || code, hint: checkAddress }
}

const reasons: Readonly<Record<string, UnreachableReason>> = {
  ENOTFOUND: 'NotResolved',
  EAI_AGAIN: 'NotResolved',
  ECONNREFUSED: 'Refused',
  ETIMEDOUT: 'Timeout',
}
