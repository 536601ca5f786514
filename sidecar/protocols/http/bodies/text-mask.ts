/** What all masks of bodies have in common: text in UTF-8 comes in cuts of any size, and masked text goes out. */
import { isUtf8 } from 'node:buffer'
import type { Result } from '../../../session.ts'

/** Masks text of one format while it passes. What goes out doesn't depend on how the text comes cut. */
export interface TextMask {
  /** @param chunk whole or cut anywhere; what is returned shares no memory with it. */
  push(chunk: Buffer): Result<Buffer, string>
  end(): Result<Buffer, string>
}

/** What is done to a whole document of JSON before it is masked. */
export type Preparation = (text: Buffer) => Result<Buffer, string>

/** Longest value that is looked into; a longer one is replaced whole or refused. */
export const maximumValueBytes = 1024 * 1024

/** Longest document that is prepared, which needs it whole. */
export const maximumPreparedBytes = 4 * 1024 * 1024

/** Labels of what was masked, each once. */
export class MaskedLabels {
  readonly #labels = new Set<string>()

  add(label: string): void {
    // names may be data, of which there is no end
    if (this.#labels.size < 256) this.#labels.add(label)
  }

  list(): readonly string[] {
    return [...this.#labels]
  }
}

/**
 * Whether bytes that come cut anywhere are text in UTF-8: what isn't has another meaning for each reader. No text has a
 * zero, which is in every other letter of UTF-16.
 */
export class Utf8Check {
  /** The beginning of a character whose rest comes later. */
  #begun = Buffer.alloc(0)

  accepts(chunk: Buffer): boolean {
    const text = this.#begun.length === 0 ? chunk : Buffer.concat([this.#begun, chunk])
    const end = text.length - unfinished(text)
    this.#begun = Buffer.from(text.subarray(end))
    return isUtf8(text.subarray(0, end)) && !chunk.includes(0)
  }

  atEnd(): boolean {
    return this.#begun.length === 0
  }
}

/** How many bytes at the end begin a character that isn't whole. */
function unfinished(text: Buffer): number {
  for (let back = 1; back <= Math.min(3, text.length); back++) {
    const byte = text[text.length - back] ?? 0
    if (byte < 0x80) return 0
    if (byte >= 0xc0) return (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) > back ? back : 0
  }
  return 0
}
