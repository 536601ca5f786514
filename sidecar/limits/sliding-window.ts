/** Counts what happened within the last so-and-so long, in a fixed number of buckets. */
export class SlidingWindow {
  readonly #bucketMilliseconds: number
  readonly #buckets: number[]
  #current = 0
  #total = 0

  constructor(milliseconds: number, buckets = 60) {
    this.#bucketMilliseconds = milliseconds / buckets
    this.#buckets = new Array<number>(buckets).fill(0)
  }

  /** @param now of a clock that never goes back, in milliseconds. */
  add(amount: number, now: number): void {
    this.#advance(now)
    this.#buckets[this.#current % this.#buckets.length] =
      (this.#buckets[this.#current % this.#buckets.length] ?? 0) + amount
    this.#total += amount
  }

  total(now: number): number {
    this.#advance(now)
    return this.#total
  }

  clear(): void {
    this.#buckets.fill(0)
    this.#total = 0
  }

  #advance(now: number): void {
    const target = Math.floor(now / this.#bucketMilliseconds)
    const steps = Math.min(target - this.#current, this.#buckets.length)
    for (let step = 1; step <= steps; step++) {
      const index = (target - steps + step) % this.#buckets.length
      this.#total -= this.#buckets[index] ?? 0
      this.#buckets[index] = 0
    }
    if (target > this.#current) this.#current = target
  }
}
