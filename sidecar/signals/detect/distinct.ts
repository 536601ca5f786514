/**
 * About how many different things were seen, in a fixed kilobyte.
 * Flajolet et al., HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm (2007).
 */
const registers = 1_024
const alpha = 0.7213 / (1 + 1.079 / registers)

export class DistinctCounter {
  readonly #highest = new Uint8Array(registers)

  /** @param hash of 32 well-mixed bits. */
  add(hash: number): void {
    const register = hash >>> 22
    const rank = Math.clz32((hash << 10) | 0x200) + 1
    if (rank > (this.#highest[register] ?? 0)) this.#highest[register] = rank
  }

  /** Counts what another one has seen as well. */
  include(other: DistinctCounter): void {
    for (let register = 0; register < registers; register++)
      this.#highest[register] = Math.max(this.#highest[register] ?? 0, other.#highest[register] ?? 0)
  }

  /** Within 3 % or so. */
  get estimate(): number {
    let sum = 0
    let empty = 0
    for (const rank of this.#highest) {
      sum += 1 / (1 << rank)
      if (rank === 0) empty++
    }
    const raw = (alpha * registers * registers) / sum
    // where many registers are empty, counting those is more exact
    return raw <= 2.5 * registers && empty > 0 ? registers * Math.log(registers / empty) : raw
  }

  clear(): void {
    this.#highest.fill(0)
  }
}

/** FNV-1a, with the finish of MurmurHash3, which mixes all bits. Tells things apart; keeps no secrets. */
export function hashOf(text: string, seed = 0x811c9dc5): number {
  let hash = seed
  for (let index = 0; index < text.length; index++)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
