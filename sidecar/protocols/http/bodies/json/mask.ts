/** Masks JSON while it passes: what carries no mask goes out byte for byte, numbers, order and spaces and all. */
import { type FieldMask, maskDetected } from '@firebreak/policy'
import type { Result } from '../../../../session.ts'
import { Output } from '../../../output.ts'
import type { BodyTerms } from '../../request.ts'
import { type MaskedLabels, maximumValueBytes, type TextMask } from '../text-mask.ts'
import { fieldsUnder, type JsonField, type JsonFields, readString } from './fields.ts'
import { JsonReader, type JsonSink } from './reader.ts'
import {
  beginsLikeJson,
  emptyObject,
  inspectScalar,
  isJsonBroken,
  keepLastOfPlain,
  maskScalar,
  maskString,
  mayBeJson,
  nothing,
  quoted,
  redacted,
} from './values.ts'

/** How often JSON may stand in a string of JSON. Deeper is nothing but a disguise. */
const maximumNesting = 4
/** A detector finds nothing in less, with its quotes. */
const shortestInspected = 7

export class JsonMask implements TextMask {
  readonly #reader: JsonReader
  readonly #masking: Masking

  /** @param sequence whether there may be one document after the other, as in NDJSON. */
  constructor(terms: BodyTerms, labels: MaskedLabels, sequence: boolean) {
    const fields = fieldsUnder(terms)
    this.#masking = new Masking(terms, labels, fields, fields.root, 0)
    this.#reader = new JsonReader(this.#masking, { sequence, maximumStringBytes: maximumValueBytes })
  }

  push(chunk: Buffer): Result<Buffer, string> {
    this.#masking.begin(chunk)
    const problem = this.#reader.read(chunk)
    if (problem !== undefined) return { ok: false, error: problem }
    return { ok: true, value: this.#masking.take(this.#reader.heldFrom) }
  }

  end(): Result<Buffer, string> {
    this.#masking.begin(none)
    const problem = this.#reader.end()
    if (problem !== undefined) return { ok: false, error: problem }
    return { ok: true, value: this.#masking.take(0) }
  }
}

const none = Buffer.alloc(0)

class Masking implements JsonSink {
  readonly #terms: BodyTerms
  readonly #labels: MaskedLabels
  readonly #fields: JsonFields
  readonly #nesting: number
  readonly #output = new Output()
  #chunk: Buffer = none
  /** So much of the chunk has gone out or been replaced. */
  #done = 0
  /** The fields of the objects and lists that are open. */
  readonly #open: JsonField[] = []
  readonly #root: JsonField
  /** What the next value is. */
  #field: JsonField
  /** How many objects and lists were open around an object that is replaced whole; undefined outside of one. */
  #droppedAt: number | undefined
  #dropsString = false

  constructor(terms: BodyTerms, labels: MaskedLabels, fields: JsonFields, root: JsonField, nesting: number) {
    this.#terms = terms
    this.#labels = labels
    this.#fields = fields
    this.#root = root
    this.#field = root
    this.#nesting = nesting
  }

  begin(chunk: Buffer): void {
    this.#chunk = chunk
    this.#done = 0
    // a masked value is seldom much longer than the plain one
    this.#output.expect(chunk.length + (chunk.length >> 3))
  }

  /** @param end so much of the chunk belongs to what has been seen as a whole. */
  take(end: number): Buffer {
    if (this.#droppedAt === undefined && !this.#dropsString) this.#output.copy(this.#chunk, this.#done, end)
    return this.#output.take()
  }

  open(isObject: boolean, at: number): void {
    const field = this.#field
    this.#open.push(field)
    if (!isObject || !field.mask || this.#droppedAt !== undefined) return
    this.#droppedAt = this.#open.length - 1
    this.#labels.add(field.label)
    this.#output.copy(this.#chunk, this.#done, at)
    this.#output.write(field.mask.strategy.kind === 'null' ? nothing : emptyObject)
  }

  close(_isObject: boolean, at: number): void {
    this.#open.pop()
    // of a list, this is what the next element is; in an object, its key says
    this.#field = this.#open.at(-1) ?? this.#root
    if (this.#droppedAt !== this.#open.length) return
    this.#droppedAt = undefined
    this.#done = at + 1
  }

  key(bytes: Buffer, start: number, end: number, after: number): void {
    if (this.#droppedAt !== undefined) return
    const parent = this.#open.at(-1) ?? this.#root
    this.#field = this.#fields.child(parent, bytes, start, end)
    if (this.#field.nameMask) this.#labels.add(this.#field.label)
    this.#pass(bytes, start, end, after, this.#field.nameMask)
  }

  string(bytes: Buffer, start: number, end: number, after: number): void {
    if (this.#droppedAt !== undefined) return
    this.#pass(bytes, start, end, after, this.#maskedString(bytes, start, end))
  }

  scalar(bytes: Buffer, start: number, end: number, after: number): void {
    if (this.#droppedAt !== undefined) return
    const { mask, label } = this.#field
    const masked =
      mask || this.#terms.detectors.length > 0
        ? this.#maskedScalar(bytes.toString('latin1', start, end))
        : undefined
    if (masked) this.#labels.add(label)
    this.#pass(bytes, start, end, after, masked)
  }

  longString(bytes: Buffer, start: number, end: number, after: number): void {
    if (this.#droppedAt !== undefined) return
    const { mask, label } = this.#field
    const { detectors, masksFields } = this.#terms
    if (!mask && detectors.length === 0 && !(masksFields && beginsLikeJson(bytes, start))) {
      if (bytes !== this.#chunk) this.#pass(bytes, start, end, after, undefined)
      return
    }
    this.#labels.add(label)
    this.#dropsString = true
    this.#output.copy(this.#chunk, this.#done, bytes === this.#chunk ? start : 0)
    this.#output.write(mask?.strategy.kind === 'null' ? nothing : redacted)
  }

  longStringEnd(after: number): void {
    if (!this.#dropsString) return
    this.#dropsString = false
    this.#done = after
  }

  #maskedScalar(text: string): Buffer | undefined {
    const { mask } = this.#field
    return mask ? maskScalar(mask, text, this.#terms.maskKey) : inspectScalar(this.#terms, text)
  }

  /** @returns what stands for the string; undefined where it stays. */
  #maskedString(bytes: Buffer, start: number, end: number): Buffer | undefined {
    const { mask } = this.#field
    if (mask?.strategy.kind === 'redact') return this.#labelled(redacted)
    if (mask) return this.#labelled(this.#replaced(mask, bytes, start, end))
    if (end - start < shortestInspected) return undefined
    const { detectors, masksFields } = this.#terms
    if (detectors.length === 0 && !beginsLikeJson(bytes, start)) return undefined
    const text = readString(bytes, start, end)
    if (mayBeJson(text)) {
      const inside = this.#maskedInside(text)
      if (inside !== undefined) return inside === text ? undefined : quoted(inside)
      if (masksFields && isJsonBroken(text)) return this.#labelled(redacted)
    }
    const masked = maskDetected(text, detectors)
    return masked === text ? undefined : this.#labelled(quoted(masked))
  }

  #replaced(mask: FieldMask, bytes: Buffer, start: number, end: number): Buffer {
    const { strategy } = mask
    const plain =
      strategy.kind === 'partial' ? keepLastOfPlain(bytes, start, end, strategy.keepLast) : undefined
    return plain ?? maskString(mask, readString(bytes, start, end), this.#terms.maskKey)
  }

  #labelled(masked: Buffer): Buffer {
    this.#labels.add(this.#field.label)
    return masked
  }

  /** JSON in a string has the string's path before its own. @returns undefined where it is none. */
  #maskedInside(text: string): string | undefined {
    const bytes = Buffer.from(text)
    const masking = new Masking(this.#terms, this.#labels, this.#fields, this.#field, this.#nesting + 1)
    const reader = new JsonReader(masking, { sequence: true, maximumStringBytes: maximumValueBytes })
    masking.begin(bytes)
    if (reader.read(bytes) !== undefined) return undefined
    const parts = [masking.take(reader.heldFrom)]
    masking.begin(none)
    if (reader.end() !== undefined) return undefined
    if (this.#nesting >= maximumNesting) {
      this.#labels.add(this.#field.label)
      return '********'
    }
    parts.push(masking.take(0))
    return Buffer.concat(parts).toString()
  }

  /** @param replacement what goes out instead; undefined where the token stays. */
  #pass(bytes: Buffer, start: number, end: number, after: number, replacement: Buffer | undefined): void {
    const isHeld = bytes !== this.#chunk
    if (!replacement && !isHeld) return
    this.#output.copy(this.#chunk, this.#done, isHeld ? 0 : start)
    if (replacement) this.#output.write(replacement)
    else this.#output.copy(bytes, start, end)
    this.#done = after
  }
}
