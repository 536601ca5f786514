/** Requests signed for AWS, and services like it: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html */
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import type { Credential, HttpAuthentication, Target } from '../../../session.ts'
import { headerOf } from '../head/head.ts'
import { parseQuery } from '../head/query.ts'
import type { HeaderFields, RequestHead } from '../request.ts'
import type { RefusedRequest } from './client.ts'
import type { Addressed, Prepared } from './injection.ts'

export type AwsAuthentication = Extract<HttpAuthentication, { as: 'aws' }>

/** A longer body isn't kept to be signed. */
export const maximumSignedBody = 1024 * 1024

/** By the query, in all forms that AWS has had, a request is signed already. In lower case. */
const presigned = new Set(['x-amz-signature', 'x-amz-credential', 'x-amz-algorithm', 'awsaccesskeyid'])
/** What a signature consists of; the agent's is not the role's. */
const ofSignatures = new Set([
  'authorization',
  'date',
  'x-amz-date',
  'x-amz-content-sha256',
  'x-amz-security-token',
])

/** @returns why a request can't be signed in the role's name, whatever policy says. */
export function refusalToSign(
  { http }: Target,
  { headers, parameters }: RequestHead,
): RefusedRequest | undefined {
  if (http?.authentication.as !== 'aws') return undefined
  if (parameters.some(({ name }) => presigned.has(name.trim().toLowerCase())))
    return { status: 400, message: 'the query has a signature, and the gateway signs by itself' }
  const names = headers.map(([name]) => name).filter(isSigned)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) return { status: 400, message: `there may be one header ${twice}` }
  const inPieces =
    headerOf(headers, 'x-amz-content-sha256')?.startsWith('STREAMING-') ||
    headerOf(headers, 'content-encoding')?.toLowerCase().includes('aws-chunked')
  return inPieces
    ? {
        status: 400,
        message:
          'the body is signed in pieces (aws-chunked), and the gateway signs by itself: let the client send it as it is, as with requestChecksumCalculation WHEN_REQUIRED',
      }
    : undefined
}

/** Whether all of the body has to be there before the request can go; otherwise the service takes it without its digest. */
export function hasWholeBodySigned({ http, tls }: Target, { headers }: RequestHead): boolean {
  if (http?.authentication.as !== 'aws') return false
  const isTakenUnsigned = http.authentication.service === 's3' && tls.mode !== 'disable'
  return !(isTakenUnsigned && Number(headerOf(headers, 'content-length') ?? 0) > maximumSignedBody)
}

/** @returns it as it has to go out: what is not signed as it stands would be another request. */
export async function signed(
  { request, host, streams, headers, ...line }: Prepared,
  { service, region }: AwsAuthentication,
  { username, password = '' }: Credential,
): Promise<Addressed> {
  // S3 encodes what it has decoded, so it goes out as it is signed; others take the path as it stands
  const path = service === 's3' ? `/${request.path.segments.map(encoded).join('/')}` : line.path
  const parameters = parseQuery(line.query)
  const pairs = parameters.ok ? parameters.value : []
  const others = headers.filter(([name]) => !ofSignatures.has(name.replaceAll('_', '-')))
  const signer = new SignatureV4({
    service,
    region,
    credentials: { accessKeyId: username, secretAccessKey: password },
    sha256: Sha256,
    uriEscapePath: service !== 's3',
  })
  const { headers: own } = await signer.sign({
    method: request.method,
    protocol: 'https:',
    hostname: host,
    path,
    query: grouped(pairs),
    headers: {
      host,
      ...Object.fromEntries(others.filter(([name]) => isSigned(name))),
      ...(streams && { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }),
    },
    body: request.body,
  })
  const made = [...ofSignatures].flatMap((name): HeaderFields => {
    const value = own[name]
    return value === undefined ? [] : [[name, value]]
  })
  return {
    path,
    query: pairs.map(({ name, value }) => `${encoded(name)}=${encoded(value)}`).join('&'),
    headers: [...others, ...made],
  }
}

/** Other headers may be changed on their way without harm. */
function isSigned(name: string): boolean {
  return name === 'content-type' || name === 'content-md5' || name.startsWith('x-amz-')
}

function grouped(
  pairs: readonly { readonly name: string; readonly value: string }[],
): Record<string, string[]> {
  const values = Object.create(null) as Record<string, string[]>
  for (const { name, value } of pairs) values[name] = [...(values[name] ?? []), value]
  return values
}

/** Everything but what is unreserved in URIs: https://www.rfc-editor.org/rfc/rfc3986#section-2.3 */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/** As the signer wants it. */
class Sha256 {
  readonly #make: () => Hash | Hmac
  #hash: Hash | Hmac

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#make = () => (secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret)))
    this.#hash = this.#make()
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data))
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }

  reset(): void {
    this.#hash = this.#make()
  }
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Buffer {
  if (typeof data === 'string') return Buffer.from(data)
  return ArrayBuffer.isView(data)
    ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    : Buffer.from(data)
}
