/** The fields of documents as they come up, each with what becomes of it. */
import { type FieldMask, maskDetected } from '@firebreak/policy'
import type { BodyTerms } from '../../request.ts'

/** One field, and the elements of the list that it may be. */
export interface JsonField {
  readonly path: readonly string[]
  readonly mask: FieldMask | undefined
  /** What it is called in audit lines: `customer.email`. */
  readonly label: string
  /** What takes the place of its name, with quotes, where the name itself is what a detector looks for. */
  readonly nameMask: Buffer | undefined
}

interface Branch extends JsonField {
  /** The name as it is written, escapes and all, without quotes. */
  readonly written: Buffer
  readonly children: Map<string, Branch>
  /** The child that was asked for last. */
  last: Branch | undefined
  /** What was asked for after this one the last time: objects in lists mostly are alike. */
  next: Branch | undefined
}

/** Names may be data; so many are remembered, and any others looked up whenever they come. */
const rememberedFields = 10_000

export class JsonFields {
  readonly #terms: BodyTerms
  readonly root: JsonField
  #remembered = 0

  constructor(terms: BodyTerms) {
    this.#terms = terms
    this.root = this.#branch([], '', undefined, Buffer.alloc(0))
  }

  /** @param bytes hold the name from `start` to `end`, with its quotes. */
  child(parent: JsonField, bytes: Buffer, start: number, end: number): JsonField {
    const branch = parent as Branch
    const likely = branch.last?.next
    if (likely && isWritten(likely.written, bytes, start + 1, end - 1)) {
      branch.last = likely
      return likely
    }
    const child = this.#lookUp(branch, bytes, start, end)
    if (branch.last) branch.last.next = child
    branch.last = child
    return child
  }

  #lookUp(parent: Branch, bytes: Buffer, start: number, end: number): Branch {
    const written = bytes.toString('latin1', start + 1, end - 1)
    const known = parent.children.get(written)
    if (known) return known
    const name = readString(bytes, start, end)
    const shown = maskDetected(name, this.#terms.detectors)
    const label = parent.label === '' ? shown : `${parent.label}.${shown}`
    const nameMask = shown === name ? undefined : Buffer.from(JSON.stringify(shown))
    const child = this.#branch([...parent.path, name], label, nameMask, Buffer.from(written, 'latin1'))
    if (this.#remembered < rememberedFields) {
      this.#remembered++
      parent.children.set(written, child)
    }
    return child
  }

  #branch(path: readonly string[], label: string, nameMask: Buffer | undefined, written: Buffer): Branch {
    const mask = this.#terms.maskOf(path)
    return { path, mask, label, nameMask, written, children: new Map(), last: undefined, next: undefined }
  }
}

function isWritten(written: Buffer, bytes: Buffer, start: number, end: number): boolean {
  const { length } = written
  if (end - start !== length) return false
  for (let index = 0; index < length; index++) if (bytes[start + index] !== written[index]) return false
  return true
}

const known = new WeakMap<BodyTerms, JsonFields>()

/** @returns the fields of all documents under the same terms. */
export function fieldsUnder(terms: BodyTerms): JsonFields {
  const existing = known.get(terms)
  if (existing) return existing
  const fields = new JsonFields(terms)
  known.set(terms, fields)
  return fields
}

/** What a string token means; it has been read as one before. */
export function readString(bytes: Buffer, start: number, end: number): string {
  for (let at = start + 1; at < end - 1; at++)
    if (bytes[at] === 0x5c) return JSON.parse(bytes.toString('utf8', start, end)) as string
  return bytes.toString('utf8', start + 1, end - 1)
}
