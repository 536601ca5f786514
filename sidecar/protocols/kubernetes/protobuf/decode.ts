/**
 * Objects of the API in protobuf, as clients in Go send them: read by the API's own description of its messages.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
 */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { createFileRegistry, type DescMessage, type FileRegistry, fromBinary } from '@bufbuild/protobuf'
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import type { Result } from '../../../session.ts'
import type { Document } from '../documents/document.ts'
import { parseJson, plainValue } from '../documents/json.ts'

const magic = Buffer.from('k8s\0')
const runtimePackage = 'k8s.io.apimachinery.pkg.runtime'

let known: FileRegistry | undefined

/** Read when the first object comes: most clients send JSON. */
function registry(): FileRegistry {
  known ??= createFileRegistry(
    fromBinary(
      FileDescriptorSetSchema,
      gunzipSync(readFileSync(new URL('kubernetes-1.34.binpb.gz', import.meta.url))),
    ),
  )
  return known
}

/** @returns the object; or why it isn't known all of what it says. */
export function decodeProtobuf(bytes: Buffer): Result<Document, string> {
  if (!bytes.subarray(0, magic.length).equals(magic)) return unknown('it does not begin as it has to')
  try {
    return decodeEnvelope(bytes.subarray(magic.length))
  } catch {
    return unknown('it is not valid protobuf')
  }
}

function decodeEnvelope(bytes: Buffer): Result<Document, string> {
  const envelope = decode(`${runtimePackage}.Unknown`, bytes)
  if (!envelope.ok) return envelope
  const type = envelope.value.get('typeMeta')
  const raw = envelope.value.get('raw')
  const apiVersion = type instanceof Map ? String(type.get('apiVersion') ?? '') : ''
  const kind = type instanceof Map ? String(type.get('kind') ?? '') : ''
  // of an object that is compressed or in another form inside, nobody knows what it is
  if (envelope.value.get('contentEncoding') || envelope.value.get('contentType'))
    return unknown('it has another form inside')
  if (!(raw instanceof Uint8Array)) return unknown('it is empty')
  const name = messageName(apiVersion, kind)
  if (name === undefined) return unknown(`the kind ${kind} of ${apiVersion} isn't known`)
  const object = decode(name, raw)
  if (!object.ok) return object
  const document = toDocument(object.value)
  if (!document.ok) return document
  return {
    ok: true,
    value: new Map([
      ['apiVersion', apiVersion],
      ['kind', kind],
      ...(document.value as Map<string, Document>),
    ]),
  }
}

/** The API server's groups have packages of their own names; those of others aren't known. */
const packages: Readonly<Record<string, string>> = {
  '': 'k8s.io.api.core',
  policy: 'k8s.io.api.policy',
  apps: 'k8s.io.api.apps',
  batch: 'k8s.io.api.batch',
  autoscaling: 'k8s.io.api.autoscaling',
  'apiextensions.k8s.io': 'k8s.io.apiextensions_apiserver.pkg.apis.apiextensions',
  'apiregistration.k8s.io': 'k8s.io.kube_aggregator.pkg.apis.apiregistration',
  'rbac.authorization.k8s.io': 'k8s.io.api.rbac',
  'flowcontrol.apiserver.k8s.io': 'k8s.io.api.flowcontrol',
  'internal.apiserver.k8s.io': 'k8s.io.api.apiserverinternal',
}

function messageName(apiVersion: string, kind: string): string | undefined {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion]
  if (group === undefined || version === undefined) return undefined
  const own = Object.hasOwn(packages, group) ? packages[group] : undefined
  const [domain = ''] = group.split('.')
  const names = [
    `${own ?? `k8s.io.api.${domain}`}.${version}.${kind}`,
    // options are of no group, or of each
    `k8s.io.apimachinery.pkg.apis.meta.v1.${kind}`,
  ]
  const isTheirs = own !== undefined || group.endsWith('.k8s.io') || kind.endsWith('Options')
  return isTheirs ? names.find((name) => registry().getMessage(name)) : undefined
}

/** Values as protobuf has them: bytes are bytes. */
type Raw = null | boolean | number | string | bigint | Uint8Array | readonly Raw[] | ReadonlyMap<string, Raw>
type RawObject = ReadonlyMap<string, Raw>

function decode(name: string, bytes: Uint8Array): Result<RawObject, string> {
  const description = registry().getMessage(name)
  if (!description) return unknown(`there is no ${name}`)
  const message = reflect(description, fromBinary(description, bytes))
  const problem = unknownIn(message)
  return problem === undefined ? { ok: true, value: toRaw(message) } : unknown(problem)
}

/** A newer API server than what is described here may know fields that are skipped here. */
function unknownIn(message: ReflectMessage): string | undefined {
  if ((message.message.$unknown?.length ?? 0) > 0) return `a field of ${message.desc.name} isn't known`
  for (const value of messagesIn(message)) {
    const problem = unknownIn(value)
    if (problem !== undefined) return problem
  }
  return undefined
}

function* messagesIn(message: ReflectMessage): Generator<ReflectMessage> {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue
    if (field.fieldKind === 'message') yield message.get(field)
    else if (field.fieldKind === 'list' && field.listKind === 'message')
      for (const item of message.get(field)) yield item as ReflectMessage
    else if (field.fieldKind === 'map' && field.mapKind === 'message')
      for (const [, item] of message.get(field)) yield item as ReflectMessage
  }
}

/** These stand in JSON for a value of another shape. */
const scalars: Readonly<Record<string, (message: RawObject) => Raw>> = {
  'k8s.io.apimachinery.pkg.apis.meta.v1.Time': (message) => message.get('seconds') ?? 0,
  'k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime': (message) => message.get('seconds') ?? 0,
  'k8s.io.apimachinery.pkg.apis.meta.v1.Duration': (message) => message.get('duration') ?? 0,
  'k8s.io.apimachinery.pkg.api.resource.Quantity': (message) => message.get('string') ?? '',
  'k8s.io.apimachinery.pkg.util.intstr.IntOrString': (message) =>
    message.get('type') === 1n || message.get('type') === 1
      ? (message.get('strVal') ?? '')
      : (message.get('intVal') ?? 0),
}

/** In JSON the fields of these stand where they do themselves (`json:",inline"` in the types of Kubernetes). */
const inline = new Map([
  ['localObjectReference', 'LocalObjectReference'],
  ['volumeSource', 'VolumeSource'],
  ['persistentVolumeSource', 'PersistentVolumeSource'],
  ['ephemeralContainerCommon', 'EphemeralContainerCommon'],
  ['handler', 'ProbeHandler'],
  ['ingressRuleValue', 'IngressRuleValue'],
  ['deviceConfiguration', 'DeviceConfiguration'],
  ['ruleWithOperations', 'RuleWithOperations'],
  ['rule', 'Rule'],
])

function isInline(field: string, message: string): boolean {
  return inline.get(field) === message
}

function toRaw(message: ReflectMessage): RawObject {
  const object = new Map<string, Raw>()
  for (const field of message.fields) {
    if (!message.isSet(field)) continue
    if (field.fieldKind === 'message') {
      const inner = shapeOf(message.get(field))
      if (inner instanceof Map && isInline(field.name, field.message.name))
        for (const [name, value] of inner as RawObject) object.set(name, value)
      else object.set(field.name, inner)
    } else if (field.fieldKind === 'list')
      object.set(
        field.name,
        [...message.get(field)].map((item) => rawOf(item)),
      )
    else if (field.fieldKind === 'map')
      object.set(
        field.name,
        new Map([...message.get(field)].map(([name, item]) => [String(name), rawOf(item)])),
      )
    else object.set(field.name, message.get(field) as Raw)
  }
  return object
}

function rawOf(value: unknown): Raw {
  return isMessage(value) ? shapeOf(value) : (value as Raw)
}

function isMessage(value: unknown): value is ReflectMessage {
  return typeof value === 'object' && value !== null && 'desc' in value && 'message' in value
}

function shapeOf(message: ReflectMessage): Raw {
  const { typeName }: DescMessage = message.desc
  const raw = toRaw(message)
  return Object.hasOwn(scalars, typeName) ? (scalars[typeName]?.(raw) ?? null) : raw
}

/** As it would be in JSON; what is JSON inside, such as the data of a ControllerRevision, is read. */
function toDocument(value: Raw): Result<Document, string> {
  if (value instanceof Uint8Array) return { ok: true, value: Buffer.from(value).toString('base64') }
  if (typeof value === 'bigint') return { ok: true, value: Number(value) }
  if (value instanceof Map) {
    const raw = (value as RawObject).get('raw') ?? (value as RawObject).get('Raw')
    if (value.size === 1 && raw instanceof Uint8Array) return embedded(raw)
    const object = new Map<string, Document>()
    for (const [name, inner] of value as RawObject) {
      const document = toDocument(inner)
      if (!document.ok) return document
      object.set(name, document.value)
    }
    return { ok: true, value: object }
  }
  if (!Array.isArray(value)) return { ok: true, value: value as Document }
  const list: Document[] = []
  for (const inner of value as readonly Raw[]) {
    const document = toDocument(inner)
    if (!document.ok) return document
    list.push(document.value)
  }
  return { ok: true, value: list }
}

function embedded(raw: Uint8Array): Result<Document, string> {
  const parsed = parseJson(Buffer.from(raw))
  return parsed.ok
    ? { ok: true, value: plainValue(parsed.value) }
    : unknown(`what is embedded: ${parsed.error}`)
}

function unknown(error: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error }
}
