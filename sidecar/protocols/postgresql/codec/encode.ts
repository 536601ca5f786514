/**
 * Messages that the gateway itself sends, to clients and to servers.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
import { fromClient, fromServer } from './types.ts'

/** One frame of parts: strings get their NUL, numbers are wrapped by {@link int16} and {@link int32}. */
function frame(type: number, ...parts: readonly (string | Buffer)[]): Buffer {
  const payload = Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)),
  )
  const header = Buffer.alloc(5)
  header.writeUInt8(type, 0)
  header.writeInt32BE(payload.length + 4, 1)
  return Buffer.concat([header, payload])
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2)
  buffer.writeInt16BE(value)
  return buffer
}

export interface ErrorMessage {
  readonly severity: 'ERROR' | 'FATAL'
  /** SQLSTATE. https://www.postgresql.org/docs/current/errcodes-appendix.html */
  readonly code: string
  readonly message: string
  readonly detail?: string | undefined
  readonly hint?: string | undefined
  /** Where in the statement, in characters from 1. */
  readonly position?: number | undefined
}

export function errorResponse({ severity, code, message, detail, hint, position }: ErrorMessage): Buffer {
  return encodeFields(fromServer.error, [
    ['S', severity],
    ['V', severity],
    ['C', code],
    ['M', message],
    ['D', detail],
    ['H', hint],
    ['P', position?.toString()],
  ])
}

export function noticeResponse(message: string): Buffer {
  return encodeFields(fromServer.notice, [
    ['S', 'NOTICE'],
    ['V', 'NOTICE'],
    ['C', '00000'],
    ['M', message],
  ])
}

/** An ErrorResponse or NoticeResponse of the given fields; undefined ones are left out. */
export function encodeFields(
  type: number,
  fields: Iterable<readonly [code: string, text: string | undefined]>,
): Buffer {
  const parts = [...fields].flatMap(([code, text]) =>
    text === undefined ? [] : [Buffer.from(`${code}${text.replaceAll('\0', '')}\0`)],
  )
  return frame(type, ...parts, Buffer.from([0]))
}

export const authenticationOk = frame(fromServer.authentication, int32(0))
export const cleartextPasswordRequest = frame(fromServer.authentication, int32(3))

export function backendKeyData(processId: number, secret: Buffer): Buffer {
  return frame(fromServer.backendKey, int32(processId), secret)
}

export function parameterStatus(name: string, value: string): Buffer {
  return frame(fromServer.parameterStatus, name, value)
}

export function readyForQuery(status: 'I' | 'T' | 'E'): Buffer {
  return frame(fromServer.ready, Buffer.from(status))
}

export function negotiateProtocolVersion(newestMinor: number, unknownOptions: readonly string[]): Buffer {
  return frame(
    fromServer.negotiateVersion,
    int32((3 << 16) | newestMinor),
    int32(unknownOptions.length),
    ...unknownOptions,
  )
}

export function startupMessage(minor: number, parameters: Iterable<readonly [string, string]>): Buffer {
  const text = [...parameters]
    .flat()
    .map((part) => `${part}\0`)
    .join('')
  const payload = Buffer.concat([int32((3 << 16) | minor), Buffer.from(`${text}\0`)])
  return Buffer.concat([int32(payload.length + 4), payload])
}

export const sslRequest = Buffer.concat([int32(8), int32(80877103)])

export function cancelRequest(processId: number, secret: Buffer): Buffer {
  return Buffer.concat([int32(12 + secret.length), int32(80877102), int32(processId), secret])
}

export function passwordMessage(password: string): Buffer {
  return frame(fromClient.password, password)
}

export function saslInitialResponse(mechanism: string, response: string): Buffer {
  const bytes = Buffer.from(response)
  return frame(fromClient.password, mechanism, int32(bytes.length), bytes)
}

export function saslResponse(response: string): Buffer {
  return frame(fromClient.password, Buffer.from(response))
}

export function query(text: string): Buffer {
  return frame(fromClient.query, text)
}

export function parse(name: string, text: string): Buffer {
  return frame(fromClient.parse, name, text, int16(0))
}

/** Binds without parameters, with every result in text. */
export function bind(portal: string, statement: string): Buffer {
  return frame(fromClient.bind, portal, statement, int16(0), int16(0), int16(0))
}

export function describe(kind: 'statement' | 'portal', name: string): Buffer {
  return frame(fromClient.describe, Buffer.from(kind === 'statement' ? 'S' : 'P'), name)
}

export function execute(portal: string): Buffer {
  return frame(fromClient.execute, portal, int32(0))
}

export function close(kind: 'statement' | 'portal', name: string): Buffer {
  return frame(fromClient.close, Buffer.from(kind === 'statement' ? 'S' : 'P'), name)
}

export function copyFail(reason: string): Buffer {
  return frame(fromClient.copyFail, reason)
}

export const flush = frame(fromClient.flush)
export const sync = frame(fromClient.sync)
export const terminate = frame(fromClient.terminate)
