/** The last few references that a detector counted. */
const kept = 8

export class Evidence {
  #references: string[] = []

  add(reference: string): void {
    this.#references.push(reference)
    if (this.#references.length > kept) this.#references.shift()
  }

  /** @returns them, the oldest first, and forgets them. */
  take(): readonly string[] {
    const taken = this.#references
    this.#references = []
    return taken
  }
}
