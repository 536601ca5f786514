/** What a request sends: an object, a patch, options; or something that isn't looked into. */
import { isUtf8 } from 'node:buffer'
import type { Result } from '../../../session.ts'
import type { HttpRequest } from '../../http/request.ts'
import type { Document } from '../documents/document.ts'
import { parseJson, plainValue } from '../documents/json.ts'
import { parseYaml } from '../documents/yaml.ts'
import { decodeProtobuf } from '../protobuf/decode.ts'
import { malformed, type Refused, unsupported } from './refusal.ts'

export type PatchKind = 'json' | 'merge' | 'strategic' | 'apply'

export type Body =
  | { readonly kind: 'none' }
  | { readonly kind: 'object'; readonly value: Document }
  | { readonly kind: 'patch'; readonly patch: PatchKind; readonly value: Document }
  /** In words: `protobuf`. */
  | {
      readonly kind: 'opaque'
      readonly form: string
      readonly why?: string
      readonly patch?: PatchKind
    }

const patchKinds = new Map<string, PatchKind>([
  ['application/json-patch+json', 'json'],
  ['application/merge-patch+json', 'merge'],
  ['application/strategic-merge-patch+json', 'strategic'],
  ['application/apply-patch+yaml', 'apply'],
])

/** More than the API server takes of one. */
export const maximumBody = 3 * 1024 * 1024

export function readBody({ method, headers, body }: HttpRequest): Result<Body, Refused> {
  const header = (name: string): string | undefined => headers.find(([candidate]) => candidate === name)?.[1]
  if (!body || body.length === 0) return { ok: true, value: { kind: 'none' } }
  if ((header('content-encoding') ?? 'identity').trim().toLowerCase() !== 'identity')
    return unsupported('the API takes no compressed bodies')
  // without one it is JSON to the API server
  const type = mediaType(header('content-type'))
  if (method === 'PATCH') return readPatch(type, body)
  switch (type) {
    case '':
    case 'application/json':
      return readText(body, fromJson, (value) => ({ kind: 'object', value }))
    case 'application/yaml':
      return readText(body, fromYaml, (value) => ({ kind: 'object', value }))
    case 'application/vnd.kubernetes.protobuf':
      return fromProtobuf(body)
    case 'application/cbor':
      return { ok: true, value: { kind: 'opaque', form: 'CBOR' } }
    default:
      return unsupported('the API takes application/json and application/yaml')
  }
}

/** What isn't known of it may be anything: a newer API server has more. */
function fromProtobuf(body: Buffer): Result<Body, Refused> {
  const decoded = decodeProtobuf(body)
  if (decoded.ok) return { ok: true, value: { kind: 'object', value: decoded.value } }
  return { ok: true, value: { kind: 'opaque', form: 'protobuf', why: decoded.error } }
}

function readPatch(type: string, body: Buffer): Result<Body, Refused> {
  if (type === 'application/apply-patch+cbor')
    return { ok: true, value: { kind: 'opaque', form: 'CBOR', patch: 'apply' } }
  const patch = patchKinds.get(type)
  if (patch === undefined) return unsupported(`the kinds of patches are ${[...patchKinds.keys()].join(', ')}`)
  // clients send JSON also where YAML is meant: it is YAML
  const parse = patch === 'apply' ? fromJsonOrYaml : fromJson
  return readText(body, parse, (value) => ({ kind: 'patch', patch, value }))
}

function readText(
  bytes: Buffer,
  parse: (bytes: Buffer) => Result<Document, string>,
  toBody: (value: Document) => Body,
): Result<Body, Refused> {
  const parsed = parse(bytes)
  return parsed.ok ? { ok: true, value: toBody(parsed.value) } : malformed(`the body: ${parsed.error}`)
}

function fromJson(bytes: Buffer): Result<Document, string> {
  const parsed = parseJson(bytes)
  return parsed.ok ? { ok: true, value: plainValue(parsed.value) } : parsed
}

function fromYaml(bytes: Buffer): Result<Document, string> {
  return isUtf8(bytes) ? parseYaml(bytes.toString('utf8')) : { ok: false, error: 'it is not valid UTF-8' }
}

function fromJsonOrYaml(bytes: Buffer): Result<Document, string> {
  return /^\s*\{/.test(bytes.toString('latin1', 0, 64)) ? fromJson(bytes) : fromYaml(bytes)
}

/** Parameters of a media type change nothing here: the charset is UTF-8 whatever they say. */
function mediaType(contentType = ''): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase()
}
