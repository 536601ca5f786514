/** A change that is bound to one version of its object: where the object has another one by then, the API server refuses it. */
import { isDeepStrictEqual } from 'node:util'
import type { Result } from '../../session.ts'
import type { HttpRequest } from '../http/request.ts'
import { readBody } from './analysis/body.ts'
import { at, type Document, textAt } from './documents/document.ts'
import { type JsonNode, parseJson } from './documents/json.ts'
import { withEntry } from './documents/yaml-entry.ts'
import { Edits } from './masking/edits.ts'

const unbound = 'it can not be bound to the version of the object that it was tried on: send it as JSON'

/** @returns the change as it has to be sent; everything else of it stays as it came, to the byte. */
export function boundTo(version: string, request: HttpRequest): Result<HttpRequest, string> {
  const before = documentOf(request)
  const wanted = before && (Array.isArray(before) ? withTest(before, version) : withVersion(before, version))
  if (!wanted || !request.body) return { ok: false, error: unbound }
  if (wanted === before) return { ok: true, value: request }
  const body = edited(request.body, version)
  const bound = body && { ...request, body }
  return bound && isDeepStrictEqual(documentOf(bound), wanted)
    ? { ok: true, value: bound }
    : { ok: false, error: unbound }
}

function documentOf(request: HttpRequest): Document | undefined {
  const read = readBody(request)
  return read.ok && (read.value.kind === 'object' || read.value.kind === 'patch')
    ? read.value.value
    : undefined
}

/** The API server applies a JSON patch to the object that it replaces, so that what is tested first holds for that one. */
function withTest(operations: readonly Document[], version: string): Document {
  const test: Document = new Map([
    ['op', 'test'],
    ['path', '/metadata/resourceVersion'],
    ['value', version],
  ])
  return isDeepStrictEqual(operations[0], test) ? operations : [test, ...operations]
}

/** Any other version than the one that it was tried on is none to the API server: it would have refused it. */
function withVersion(document: Document, version: string): Document | undefined {
  if (!(document instanceof Map)) return undefined
  if (textAt(document, 'metadata', 'resourceVersion') === version) return document
  const metadata = at(document, 'metadata') ?? new Map<string, Document>()
  if (!(metadata instanceof Map)) return undefined
  return new Map([...document, ['metadata', new Map([...metadata, ['resourceVersion', version]])]])
}

function edited(body: Buffer, version: string): Buffer | undefined {
  const parsed = parseJson(body)
  if (parsed.ok) return inJson(parsed.value, body, version)
  return withEntry(body, ['metadata', 'resourceVersion'], version)
}

function inJson(root: JsonNode, body: Buffer, version: string): Buffer | undefined {
  const value = JSON.stringify(version)
  if (root.type === 'list')
    return insert(body, root, `{"op":"test","path":"/metadata/resourceVersion","value":${value}}`)
  if (root.type !== 'object') return undefined
  const metadata = root.members.get('metadata')
  if (!metadata) return insert(body, root, `"metadata":{"resourceVersion":${value}}`)
  if (metadata.type !== 'object') return undefined
  const given = metadata.members.get('resourceVersion')
  return given ? replace(body, given, value) : insert(body, metadata, `"resourceVersion":${value}`)
}

/** At the beginning of a list or an object. */
function insert(
  body: Buffer,
  node: Extract<JsonNode, { readonly type: 'list' | 'object' }>,
  text: string,
): Buffer {
  const isEmpty = node.type === 'list' ? node.items.length === 0 : node.members.size === 0
  const start = node.start + 1
  return replace(body, { start, end: start }, isEmpty ? text : `${text},`)
}

function replace(body: Buffer, span: { readonly start: number; readonly end: number }, text: string): Buffer {
  const edits = new Edits()
  edits.replace(span, Buffer.from(text))
  return edits.applyTo(body)
}
