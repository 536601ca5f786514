/** Places of a document that are written anew; everything else stays as it came. */

interface Edit {
  readonly start: number
  readonly end: number
  readonly bytes: Buffer
}

export class Edits {
  readonly #edits: Edit[] = []

  replace({ start, end }: { readonly start: number; readonly end: number }, bytes: Buffer): void {
    this.#edits.push({ start, end, bytes })
  }

  add(others: Edits): void {
    this.#edits.push(...others.#edits)
  }

  get isEmpty(): boolean {
    return this.#edits.length === 0
  }

  applyTo(document: Buffer): Buffer {
    if (this.isEmpty) return document
    const pieces: Buffer[] = []
    let from = 0
    for (const { start, end, bytes } of this.#edits.sort((a, b) => a.start - b.start)) {
      pieces.push(document.subarray(from, start), bytes)
      from = end
    }
    return Buffer.concat([...pieces, document.subarray(from)])
  }
}
