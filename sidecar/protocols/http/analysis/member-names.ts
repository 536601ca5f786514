/** Names of members that a protocol gives a meaning. Some servers don't tell capitals from small letters in them, as those in Go and C#. */

export class MemberNames {
  readonly #names: ReadonlyMap<string, string>

  /** @param names as the protocol writes them. */
  constructor(names: readonly string[]) {
    this.#names = new Map(names.map((name) => [folded(name), name]))
  }

  /** @returns which of them an object has in other letters: only some servers take it for that. */
  inOtherLetters(object: ReadonlyMap<string, unknown>): string | undefined {
    for (const given of object.keys()) {
      const name = this.#names.get(folded(given))
      if (name !== undefined && name !== given) return name
    }
    return undefined
  }
}

function folded(name: string): string {
  return name.normalize('NFKC').toLowerCase()
}
