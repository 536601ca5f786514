/** SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) with tls-server-end-point binding (RFC 5929). */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual, X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import saslprep from '@mongodb-js/saslprep'
import { saslInitialResponse, saslResponse } from '../codec/encode.ts'
import { HandshakeError } from './socket-reader.ts'

/** More than any server is set to; a rogue one could keep us computing. */
const maximumIterations = 1_000_000
const derive = promisify(pbkdf2)

export class Scram {
  readonly initialMessage: Buffer
  /** Whether the server has proven that it knows the password. */
  verified = false
  readonly #password: string
  readonly #clientFirstBare: string
  readonly #clientNonce: string
  /** The `c=` attribute: what the two sides think of channel binding. */
  readonly #binding: Buffer
  #serverSignature: Buffer | undefined

  /** @param mechanisms payload of AuthenticationSASL. @throws HandshakeError when there is none that we speak. */
  static start(socket: Socket, password: string, mechanisms: Buffer): Scram {
    const offered = mechanisms.toString('utf8').split('\0')
    const certificateHash = endPointHash(socket)
    if (offered.includes('SCRAM-SHA-256-PLUS') && certificateHash)
      return new Scram('SCRAM-SHA-256-PLUS', 'p=tls-server-end-point,,', certificateHash, password)
    if (!offered.includes('SCRAM-SHA-256'))
      throw new HandshakeError('the server offers no SASL mechanism that is supported')
    // `y`: we could bind, but the server did not offer it. A man in the middle who hid the offer is found out by this.
    return new Scram('SCRAM-SHA-256', certificateHash ? 'y,,' : 'n,,', Buffer.alloc(0), password)
  }

  private constructor(mechanism: string, header: string, bindingData: Buffer, password: string) {
    this.#password = prepared(password)
    this.#clientNonce = randomBytes(18).toString('base64')
    this.#clientFirstBare = `n=,r=${this.#clientNonce}`
    this.#binding = Buffer.concat([Buffer.from(header), bindingData])
    this.initialMessage = saslInitialResponse(mechanism, header + this.#clientFirstBare)
  }

  /** @param serverFirst payload of AuthenticationSASLContinue. */
  async respond(serverFirst: string): Promise<Buffer> {
    const attributes = parseAttributes(serverFirst)
    const nonce = attributes.get('r') ?? ''
    const salt = Buffer.from(attributes.get('s') ?? '', 'base64')
    const iterations = Number(attributes.get('i'))
    const sane =
      nonce.startsWith(this.#clientNonce) && nonce.length > this.#clientNonce.length && salt.length > 0
    if (!sane || !Number.isInteger(iterations) || iterations < 1 || iterations > maximumIterations)
      throw new HandshakeError("the server's SCRAM message is not valid")
    const salted = await derive(this.#password, salt, iterations, 32, 'sha256')
    const withoutProof = `c=${this.#binding.toString('base64')},r=${nonce}`
    const authMessage = `${this.#clientFirstBare},${serverFirst},${withoutProof}`
    const clientKey = hmac(salted, 'Client Key')
    const clientSignature = hmac(createHash('sha256').update(clientKey).digest(), authMessage)
    const proof = clientKey.map((byte, index) => byte ^ (clientSignature[index] ?? 0))
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authMessage)
    return saslResponse(`${withoutProof},p=${Buffer.from(proof).toString('base64')}`)
  }

  /** @param serverFinal payload of AuthenticationSASLFinal. */
  verify(serverFinal: string): boolean {
    const signature = Buffer.from(parseAttributes(serverFinal).get('v') ?? '', 'base64')
    const expected = this.#serverSignature
    this.verified =
      expected !== undefined && signature.length === expected.length && timingSafeEqual(signature, expected)
    return this.verified
  }
}

function hmac(key: Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

function parseAttributes(text: string): Map<string, string> {
  return new Map(text.split(',').map((attribute) => [attribute.slice(0, 1), attribute.slice(2)]))
}

/** SASLprep (RFC 4013); what it forbids is used as it is, as PostgreSQL does. */
function prepared(password: string): string {
  try {
    return saslprep(password)
  } catch {
    return password
  }
}

/** Hash of the server's certificate by its own signature's hash, SHA-256 for MD5 and SHA-1 (RFC 5929, 4.1). */
function endPointHash(socket: Socket): Buffer | undefined {
  const raw = 'getPeerCertificate' in socket ? (socket as TLSSocket).getPeerCertificate()?.raw : undefined
  if (!raw) return undefined
  const algorithm = new X509Certificate(raw).signatureAlgorithm?.toLowerCase() ?? ''
  const hash =
    /sha-?(224|256|384|512)/.exec(algorithm)?.[1] ?? (/md5|sha-?1/.test(algorithm) ? '256' : undefined)
  return hash === undefined ? undefined : createHash(`sha${hash}`).update(raw).digest()
}
