/**
 * The body of a request as fields that decisions look at. It is read by the strictest reading of its format: where
 * servers differ in what they take, nothing is read at all.
 */
import type { Result } from '../../../session.ts'
import type { HttpRequest } from '../request.ts'
import { isJsonType, requestTypeOf } from './content-type.ts'
import { decodeFormText, formPath } from './form-text.ts'
import { type JsonValue, parseJson } from './json/parse.ts'
import { readMultipart } from './multipart.ts'

/** One value in a body; the elements of a list have the path of the list. */
export interface BodyField {
  readonly path: readonly string[]
  readonly value: string | number | boolean | null
}

const maximumFields = 10_000

/** @returns the fields in order; or why the body has no one meaning, in words. */
export function readBodyFields({ headers, body }: HttpRequest): Result<readonly BodyField[], string> {
  if (!body || body.length === 0) return { ok: true, value: [] }
  const type = requestTypeOf(headers)
  if (!type.ok) return type
  const { mediaType, parameters } = type.value
  if (isJsonType(mediaType)) return readJson(body)
  if (mediaType === 'application/x-www-form-urlencoded') return readForm(body)
  if (mediaType === 'multipart/form-data') return readMultipart(body, parameters.get('boundary') ?? '')
  return refused(
    mediaType === ''
      ? 'the body does not say what it is'
      : `a body of type ${mediaType} has no fields that are known here`,
  )
}

function refused(error: string): Result<never, string> {
  return { ok: false, error }
}

function readJson(body: Buffer): Result<readonly BodyField[], string> {
  const parsed = parseJson(body)
  if (!parsed.ok) return parsed
  const fields: BodyField[] = []
  collect(parsed.value, [], fields)
  return fields.length > maximumFields ? refused('the body has too many fields') : { ok: true, value: fields }
}

function collect(value: JsonValue, path: readonly string[], fields: BodyField[]): void {
  if (fields.length > maximumFields) return
  if (value === null || typeof value !== 'object') fields.push({ path, value })
  else if (value instanceof Map) for (const [name, inner] of value) collect(inner, [...path, name], fields)
  else for (const inner of value) collect(inner, path, fields)
}

function readForm(body: Buffer): Result<readonly BodyField[], string> {
  const text = body.toString('latin1')
  // some servers take a semicolon for an ampersand
  if (/[^\x21-\x7e]|;/.test(text)) return refused('the form is not encoded as forms are')
  const pairs = text.split('&')
  if (pairs.length > maximumFields) return refused('the body has too many fields')
  const fields: BodyField[] = []
  const names = new Set<string>()
  for (const pair of pairs) {
    const equals = pair.indexOf('=')
    const name = decodeFormText(equals < 0 ? pair : pair.slice(0, equals))
    const value = decodeFormText(equals < 0 ? '' : pair.slice(equals + 1))
    if (name === undefined || value === undefined) return refused('the form is not encoded as forms are')
    const path = formPath(name)
    const key = path.join('\0')
    if (names.has(key) && !name.endsWith('[]'))
      return refused('a field comes twice, of which servers take different ones')
    names.add(key)
    fields.push({ path, value })
  }
  return { ok: true, value: fields }
}
