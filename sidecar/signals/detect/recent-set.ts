/** Different things within the last so-and-so long, the youngest so many. */
export class RecentSet {
  readonly #milliseconds: number
  readonly #most: number
  /** When each was seen last; the longest ago first. */
  readonly #seen = new Map<string, number>()

  constructor(milliseconds: number, most: number) {
    this.#milliseconds = milliseconds
    this.#most = most
  }

  /** @param now of a clock that never goes back. @returns how many different ones there are now. */
  add(item: string, now: number): number {
    this.#seen.delete(item)
    this.#seen.set(item, now)
    this.#forget(now)
    return this.#seen.size
  }

  has(item: string, now: number): boolean {
    this.#forget(now)
    return this.#seen.has(item)
  }

  /** The first few. */
  some(count: number): readonly string[] {
    return [...this.#seen.keys()].slice(0, count)
  }

  clear(): void {
    this.#seen.clear()
  }

  #forget(now: number): void {
    for (const [item, at] of this.#seen) {
      if (now - at < this.#milliseconds && this.#seen.size <= this.#most) return
      this.#seen.delete(item)
    }
  }
}
