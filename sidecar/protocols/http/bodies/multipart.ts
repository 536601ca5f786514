/**
 * The metadata of `multipart/form-data` (RFC 7578): of each part its name, of a file its name and type, of a short text its value.
 * Only what is written as every client writes it is read: servers' parsers differ in most of the rest.
 */
import { isUtf8 } from 'node:buffer'
import type { Result } from '../../../session.ts'
import type { BodyField } from './request-fields.ts'

const maximumParts = 1_000
const maximumHeaderBytes = 4 * 1024
const maximumTextBytes = 64 * 1024
/** https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1, without spaces and quotes. */
const boundaryForm = /^[0-9A-Za-z'()+_,./:=?-]{1,70}$/
const disposition = /^form-data; name="([^"\\]*)"(?:; filename="([^"\\]*)")?$/i

export function readMultipart(body: Buffer, boundary: string): Result<readonly BodyField[], string> {
  if (!boundaryForm.test(boundary)) return refused('the parts of the body have no proper boundary')
  const parts = partsOf(body, boundary)
  if (!parts) return refused('the parts of the body don’t begin and end as they should')
  if (parts.length > maximumParts) return refused('the body has too many parts')
  const fields: BodyField[] = []
  const names = new Set<string>()
  for (const part of parts) {
    const read = readPart(part)
    if (!read.ok) return read
    const { name, fields: own } = read.value
    if (names.has(name)) return refused('a part comes twice, of which servers take different ones')
    names.add(name)
    fields.push(...own)
  }
  return { ok: true, value: fields }
}

function refused(error: string): Result<never, string> {
  return { ok: false, error }
}

/** @returns undefined where anything stands before, between or behind the parts. */
function partsOf(body: Buffer, boundary: string): Buffer[] | undefined {
  const first = Buffer.from(`--${boundary}\r\n`)
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  if (!body.subarray(0, first.length).equals(first)) return undefined
  const parts: Buffer[] = []
  let start = first.length
  for (;;) {
    const end = body.indexOf(delimiter, start)
    if (end < 0) return undefined
    parts.push(body.subarray(start, end))
    const after = end + delimiter.length
    const next = body.toString('latin1', after, after + 2)
    if (next === '\r\n') start = after + 2
    else {
      const rest = body.toString('latin1', after)
      return rest === '--' || rest === '--\r\n' ? parts : undefined
    }
  }
}

function readPart(
  part: Buffer,
): Result<{ readonly name: string; readonly fields: readonly BodyField[] }, string> {
  const end = part.indexOf('\r\n\r\n')
  if (end < 0 || end > maximumHeaderBytes || !isUtf8(part.subarray(0, end)))
    return refused('a part of the body has no head')
  const headers = new Map<string, string>()
  for (const line of part.toString('utf8', 0, end).split('\r\n')) {
    const colon = line.indexOf(': ')
    const name = line.slice(0, Math.max(colon, 0)).toLowerCase()
    if (!/^[a-z-]+$/.test(name) || headers.has(name) || /[\r\n\0]/.test(line))
      return refused('a part of the body has a head that not all read alike')
    headers.set(name, line.slice(colon + 2))
  }
  const match = disposition.exec(headers.get('content-disposition') ?? '')
  if (!match) return refused('a part of the body has a name that not all read alike')
  if (headers.has('content-transfer-encoding')) return refused('a part of the body is encoded once more')
  const [, name = '', filename] = match
  const path = [name]
  if (filename !== undefined)
    return {
      ok: true,
      value: {
        name,
        fields: [
          { path: [...path, 'filename'], value: filename },
          { path: [...path, 'type'], value: headers.get('content-type') ?? 'text/plain' },
        ],
      },
    }
  const value = part.subarray(end + 4)
  if (value.length > maximumTextBytes || !isUtf8(value))
    return refused('a part of the body is no text, or too long')
  return { ok: true, value: { name, fields: [{ path, value: value.toString() }] } }
}
