/**
 * Messages from clients. Every decoder returns undefined for a message that is not exactly what it has to be.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
import { Cursor } from './cursor.ts'

export interface Parse {
  readonly name: string
  /** The statement's bytes, without the NUL. */
  readonly text: Buffer
  readonly parameterTypes: readonly number[]
}

export interface Bind {
  readonly portal: string
  readonly statement: string
  readonly parameterFormats: readonly number[]
  /** Views into the message; null is SQL NULL. */
  readonly parameters: readonly (Buffer | null)[]
  readonly resultFormats: readonly number[]
}

/** Of Describe and Close. */
export interface Target {
  readonly kind: 'statement' | 'portal'
  readonly name: string
}

export interface Execute {
  readonly portal: string
  /** 0 = no limit. */
  readonly maximumRows: number
}

const headerLength = 5

/** The text of a Query, without the NUL; undefined when there is a NUL inside. */
export function decodeQuery(buffer: Buffer, start: number, end: number): Buffer | undefined {
  const terminator = buffer.indexOf(0, start + headerLength)
  return terminator === end - 1 ? buffer.subarray(start + headerLength, terminator) : undefined
}

export function decodeParse(buffer: Buffer, start: number, end: number): Parse | undefined {
  const nameStart = start + headerLength
  const nameEnd = buffer.indexOf(0, nameStart)
  const textEnd = nameEnd < 0 || nameEnd >= end ? -1 : buffer.indexOf(0, nameEnd + 1)
  if (textEnd < 0 || textEnd >= end) return undefined
  const cursor = new Cursor(buffer, textEnd + 1, end)
  const parameterTypes = list(cursor, () => cursor.int32())
  if (!cursor.finished) return undefined
  return {
    name: buffer.toString('utf8', nameStart, nameEnd),
    text: buffer.subarray(nameEnd + 1, textEnd),
    parameterTypes,
  }
}

export function decodeBind(buffer: Buffer, start: number, end: number): Bind | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const portal = cursor.string()
  const statement = cursor.string()
  const parameterFormats = list(cursor, () => cursor.int16())
  const parameters = list(cursor, () => {
    const length = cursor.int32()
    return length === -1 ? null : cursor.bytes(length < 0 ? end : length)
  })
  const resultFormats = list(cursor, () => cursor.int16())
  const formats = [parameterFormats, resultFormats]
  if (!cursor.finished || formats.some((codes) => codes.some((format) => format > 1))) return undefined
  if (parameterFormats.length > 1 && parameterFormats.length !== parameters.length) return undefined
  return { portal, statement, parameterFormats, parameters, resultFormats }
}

export function decodeTarget(buffer: Buffer, start: number, end: number): Target | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const kind = cursor.byte()
  const name = cursor.string()
  if (!cursor.finished) return undefined
  if (kind === 0x53) return { kind: 'statement', name }
  return kind === 0x50 ? { kind: 'portal', name } : undefined
}

export function decodeExecute(buffer: Buffer, start: number, end: number): Execute | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const portal = cursor.string()
  const maximumRows = cursor.int32()
  return cursor.finished ? { portal, maximumRows } : undefined
}

/** The token of a PasswordMessage. */
export function decodePassword(buffer: Buffer, start: number, end: number): string | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const password = cursor.string()
  return cursor.finished ? password : undefined
}

function list<Item>(cursor: Cursor, read: () => Item): Item[] {
  const items: Item[] = []
  for (let count = cursor.int16(); count > 0 && !cursor.failed; count--) items.push(read())
  return items
}

/** What can stand at the start of a connection, before frames have types. */
export type Opening =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gss' }
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  | { readonly kind: 'startup'; readonly minor: number; readonly parameters: ReadonlyMap<string, string> }

/** The server's own limit (`MAX_STARTUP_PACKET_LENGTH`). */
export const maximumOpeningLength = 10_000

const sslRequest = 80877103
const gssRequest = 80877104
const cancelRequest = 80877102

/** @param packet the whole packet with its length. @returns undefined when it is none of these. */
export function decodeOpening(packet: Buffer): Opening | undefined {
  const cursor = new Cursor(packet, 4, packet.length)
  const code = cursor.int32()
  if (code === sslRequest) return cursor.finished ? { kind: 'ssl' } : undefined
  if (code === gssRequest) return cursor.finished ? { kind: 'gss' } : undefined
  if (code === cancelRequest) {
    const processId = cursor.int32()
    const secret = cursor.rest()
    return !cursor.failed && secret.length >= 4 && secret.length <= 256
      ? { kind: 'cancel', processId, secret }
      : undefined
  }
  if (code >>> 16 !== 3) return undefined
  const parameters = new Map<string, string>()
  for (;;) {
    const name = cursor.string()
    if (cursor.failed) return undefined
    if (name === '') break
    // the last of a repeated name wins, as in the server
    parameters.set(name, cursor.string())
  }
  return cursor.finished ? { kind: 'startup', minor: code & 0xffff, parameters } : undefined
}
