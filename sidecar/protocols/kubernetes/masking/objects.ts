/** How objects of the API look with masked fields: the same shape, and nothing else changed. */
import { isUtf8 } from 'node:buffer'
import { applyMask, type FieldMask, maskDetected } from '@firebreak/policy'
import {
  inspectScalar,
  maskScalar,
  maskString,
  nothing,
  quoted,
  redacted,
} from '../../http/bodies/json/values.ts'
import type { MaskedLabels } from '../../http/bodies/text-mask.ts'
import type { BodyTerms } from '../../http/request.ts'
import type { ObjectPath } from '../analysis/touches.ts'
import { holdsBytes } from '../documents/bytes.ts'
import { type JsonNode, parseJson } from '../documents/json.ts'
import { Edits } from './edits.ts'
import { FieldMasks } from './field-masks.ts'

/** In it kubectl keeps the whole object as it was applied. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration'
const emptyList = Buffer.from('[]')

export class ObjectMask {
  readonly fields: FieldMasks
  readonly #terms: BodyTerms
  readonly #labels: MaskedLabels
  readonly #kind: string

  /** @param kind of the objects, as rules name it. */
  constructor(kind: string, terms: BodyTerms, labels: MaskedLabels) {
    this.fields = new FieldMasks(terms.maskOf, kind)
    this.#terms = terms
    this.#labels = labels
    this.#kind = kind
  }

  /** @param requested where the object is, as far as the request says. */
  mask(object: JsonNode, requested: ObjectPath, edits: Edits): void {
    const path = pathOf(object, requested)
    const own = new Edits()
    this.#value(object, path, [], own)
    if (own.isEmpty) return
    edits.add(own)
    // it has the values of some lists, and nobody but the API server needs it
    const managed = member(object, 'metadata', 'managedFields')
    if (managed?.type === 'list' && managed.items.length > 0) edits.replace(managed, emptyList)
  }

  /** What stands beside the objects of a list. */
  maskBeside(list: JsonNode, requested: ObjectPath, edits: Edits): void {
    if (list.type !== 'object') return
    for (const [name, value] of list.members)
      if (name !== 'items') this.#value(value, requested, [name], edits)
  }

  /** Replaces what is no text by what is nothing. */
  blank(node: JsonNode, label: string, edits: Edits): void {
    this.#replace(node, nothing, label, edits)
  }

  /** Replaces text that may have come from a field, where any is masked. */
  redact(node: JsonNode | undefined, label: string, edits: Edits): void {
    if (node?.type === 'string') this.#replace(node, redacted, label, edits)
  }

  detected(node: JsonNode, label: string, edits: Edits): void {
    if (node.type === 'string') {
      const shown = maskDetected(node.value, this.#terms.detectors)
      if (shown !== node.value) this.#replace(node, quoted(shown), label, edits)
    } else if (node.type === 'scalar') {
      const shown = inspectScalar(this.#terms, node.text)
      if (shown) this.#replace(node, shown, label, edits)
    }
  }

  #value(node: JsonNode, path: ObjectPath, field: readonly string[], edits: Edits): void {
    switch (node.type) {
      case 'object':
        for (const [name, value] of node.members) {
          // written anew where anything of the object is masked
          if (field.length === 1 && field[0] === 'metadata' && name === 'managedFields') continue
          this.#value(value, path, [...field, name], edits)
        }
        return
      case 'list':
        for (const item of node.items) this.#value(item, path, field, edits)
        return
      case 'string':
        this.#string(node, path, field, edits)
        return
      case 'scalar':
        this.#scalar(node, path, field, edits)
    }
  }

  #string(
    node: JsonNode & { readonly type: 'string' },
    path: ObjectPath,
    field: readonly string[],
    edits: Edits,
  ): void {
    const label = labelOf(this.#kind, field)
    if (field[1] === 'annotations' && field[2] === lastApplied) {
      this.#lastApplied(node, path, label, edits)
      return
    }
    const mask = this.fields.maskOf(path, field)
    if (holdsBytes(this.#kind, field)) {
      const shown = this.#encoded(node.value, mask)
      if (shown !== undefined) this.#replace(node, shown, label, edits)
    } else if (mask) this.#replace(node, maskString(mask, node.value, this.#terms.maskKey), label, edits)
    else this.detected(node, label, edits)
  }

  #scalar(
    node: JsonNode & { readonly type: 'scalar' },
    path: ObjectPath,
    field: readonly string[],
    edits: Edits,
  ): void {
    const label = labelOf(this.#kind, field)
    const mask = this.fields.maskOf(path, field)
    const shown = mask && maskScalar(mask, node.text, this.#terms.maskKey)
    if (shown) this.#replace(node, shown, label, edits)
    else if (!mask) this.detected(node, label, edits)
  }

  /** @returns what stands for encoded bytes, encoded as they are; undefined where they stay. */
  #encoded(value: string, mask: FieldMask | undefined): Buffer | undefined {
    const bytes = Buffer.from(value, 'base64')
    const text = isUtf8(bytes) ? bytes.toString('utf8') : undefined
    if (!mask) {
      const shown = text === undefined ? undefined : maskDetected(text, this.#terms.detectors)
      return shown === undefined || shown === text ? undefined : encoded(shown)
    }
    const strategy = text === undefined ? ({ kind: 'redact' } as const) : mask.strategy
    const masked = applyMask(strategy, text ?? '', this.#terms.maskKey)
    return masked === undefined ? nothing : encoded(masked)
  }

  /** What is masked in the object is masked in what was applied; what can't be read there goes. */
  #lastApplied(
    node: JsonNode & { readonly type: 'string' },
    path: ObjectPath,
    label: string,
    edits: Edits,
  ): void {
    const mask = this.fields.maskOf(path, ['metadata', 'annotations', lastApplied])
    const bytes = Buffer.from(node.value)
    const applied = mask ? undefined : parseJson(bytes)
    if (!applied?.ok) {
      if (mask || this.fields.mayMask(path, [])) this.redact(node, label, edits)
      else this.detected(node, label, edits)
      return
    }
    const own = new Edits()
    this.#applied(applied.value, path, own)
    if (!own.isEmpty) this.#replace(node, quoted(own.applyTo(bytes).toString('utf8')), label, edits)
  }

  #applied(object: JsonNode, path: ObjectPath, edits: Edits): void {
    this.#value(object, path, [], edits)
    // a Secret is applied with its text as text
    const plain = this.#kind === 'secrets' ? member(object, 'stringData') : undefined
    if (plain?.type !== 'object') return
    for (const [name, value] of plain.members) {
      const mask = this.fields.maskOf(path, ['data', name])
      if (!mask || value.type !== 'string' || this.fields.maskOf(path, ['stringData', name])) continue
      this.#replace(value, maskString(mask, value.value, this.#terms.maskKey), 'stringData', edits)
    }
  }

  #replace(node: JsonNode, bytes: Buffer, label: string, edits: Edits): void {
    this.#labels.add(label)
    edits.replace(node, bytes)
  }
}

/** Where an object is, by itself; a list of all namespaces doesn't say. */
export function pathOf(object: JsonNode, [namespace, kind, name]: ObjectPath): ObjectPath {
  return [
    textOf(member(object, 'metadata', 'namespace')) ?? namespace,
    kind,
    textOf(member(object, 'metadata', 'name')) ?? name,
  ]
}

export function member(node: JsonNode | undefined, ...names: readonly string[]): JsonNode | undefined {
  let current = node
  for (const name of names) current = current?.type === 'object' ? current.members.get(name) : undefined
  return current
}

export function textOf(node: JsonNode | undefined): string | undefined {
  return node?.type === 'string' && node.value !== '' ? node.value : undefined
}

export function labelOf(kind: string, field: readonly string[]): string {
  return [kind, ...field].join('.')
}

function encoded(text: string): Buffer {
  return quoted(Buffer.from(text).toString('base64'))
}
