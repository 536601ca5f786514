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
  /** By the name as it is written, escapes and all. */
  readonly children: Map<string, Branch>
}

/** Names may be data; so many are remembered, and any others looked up whenever they come. */
const rememberedFields = 10_000

export class JsonFields {
  readonly #terms: BodyTerms
  readonly root: JsonField
  #remembered = 0

  constructor(terms: BodyTerms) {
    this.#terms = terms
    this.root = this.#branch([], '', undefined)
  }

  /** @param bytes hold the name from `start` to `end`, with its quotes. */
  child(parent: JsonField, bytes: Buffer, start: number, end: number): JsonField {
    const { children } = parent as Branch
    const written = bytes.toString('latin1', start + 1, end - 1)
    const known = children.get(written)
    if (known) return known
    const name = readString(bytes, start, end)
    const shown = maskDetected(name, this.#terms.detectors)
    const label = parent.label === '' ? shown : `${parent.label}.${shown}`
    const nameMask = shown === name ? undefined : Buffer.from(JSON.stringify(shown))
    const child = this.#branch([...parent.path, name], label, nameMask)
    if (this.#remembered < rememberedFields) {
      this.#remembered++
      children.set(written, child)
    }
    return child
  }

  #branch(path: readonly string[], label: string, nameMask: Buffer | undefined): Branch {
    return { path, mask: this.#terms.maskOf(path), label, nameMask, children: new Map() }
  }
}

/** What a string token means; it has been read as one before. */
export function readString(bytes: Buffer, start: number, end: number): string {
  for (let at = start + 1; at < end - 1; at++)
    if (bytes[at] === 0x5c) return JSON.parse(bytes.toString('utf8', start, end)) as string
  return bytes.toString('utf8', start + 1, end - 1)
}
