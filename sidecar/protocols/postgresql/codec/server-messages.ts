/**
 * Messages from servers. Every decoder returns undefined for a message that is not exactly what it has to be.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
import { Cursor } from './cursor.ts'

export interface ResultColumn {
  readonly name: string
  /** 0 when the column is not simply one of a table. */
  readonly tableOid: number
  readonly columnNumber: number
  readonly typeOid: number
  readonly typeModifier: number
  /** 0 text, 1 binary. */
  readonly format: number
}

/** Fields of ErrorResponse and NoticeResponse by their one-letter code. */
export type ErrorFields = ReadonlyMap<string, string>

const headerLength = 5

export function decodeRowDescription(buffer: Buffer, start: number, end: number): ResultColumn[] | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const columns: ResultColumn[] = []
  for (let count = cursor.int16(); count > 0 && !cursor.failed; count--) {
    const name = cursor.string()
    const tableOid = cursor.int32() >>> 0
    const columnNumber = (cursor.int16() << 16) >> 16
    const typeOid = cursor.int32() >>> 0
    cursor.int16()
    const typeModifier = cursor.int32()
    columns.push({ name, tableOid, columnNumber, typeOid, typeModifier, format: cursor.int16() })
  }
  return cursor.finished ? columns : undefined
}

export function decodeErrorFields(buffer: Buffer, start: number, end: number): ErrorFields | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const fields = new Map<string, string>()
  for (let code = cursor.byte(); code !== 0; code = cursor.byte()) {
    fields.set(String.fromCharCode(code), cursor.string())
    if (cursor.failed) return undefined
  }
  return cursor.finished ? fields : undefined
}

/** `SELECT 5`, `INSERT 0 1`. */
export function decodeCommandTag(buffer: Buffer, start: number, end: number): string | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const tag = cursor.string()
  return cursor.finished ? tag : undefined
}

/** Rows that a command tag tells of; 0 for commands without a count. */
export function rowsOfTag(tag: string): number {
  const rows = Number(tag.slice(tag.lastIndexOf(' ') + 1))
  return Number.isSafeInteger(rows) ? rows : 0
}

export function decodeParameterStatus(
  buffer: Buffer,
  start: number,
  end: number,
): { name: string; value: string } | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const name = cursor.string()
  const value = cursor.string()
  return cursor.finished ? { name, value } : undefined
}

export function decodeBackendKey(
  buffer: Buffer,
  start: number,
  end: number,
): { processId: number; secret: Buffer } | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const processId = cursor.int32()
  const secret = Buffer.from(cursor.rest())
  return cursor.finished && secret.length >= 4 && secret.length <= 256 ? { processId, secret } : undefined
}

export interface CopyFormats {
  readonly format: number
  readonly columnFormats: readonly number[]
}

export function decodeCopyResponse(buffer: Buffer, start: number, end: number): CopyFormats | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const format = cursor.byte()
  const columnFormats: number[] = []
  for (let count = cursor.int16(); count > 0 && !cursor.failed; count--) columnFormats.push(cursor.int16())
  return cursor.finished ? { format, columnFormats } : undefined
}

/** Values of a DataRow as views; null is SQL NULL. */
export function decodeDataRow(buffer: Buffer, start: number, end: number): (Buffer | null)[] | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const values: (Buffer | null)[] = []
  for (let count = cursor.int16(); count > 0 && !cursor.failed; count--) {
    const length = cursor.int32()
    values.push(length === -1 ? null : cursor.bytes(length < 0 ? end : length))
  }
  return cursor.finished ? values : undefined
}
