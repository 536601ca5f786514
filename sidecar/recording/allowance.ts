/** How much of a command's response, or of what is sent for it, is recorded. */
export class Allowance {
  readonly what: 'response' | 'input' | 'unmasked'
  /** The limit was reached by the last {@link take}, and not before. */
  justExceeded = false
  #used = 0
  #leftOut = 0

  constructor(what: Allowance['what']) {
    this.what = what
  }

  /** @param limit per command. @returns how many of the bytes are recorded. */
  take(bytes: number, limit: number): number {
    const allowed = Math.max(0, Math.min(bytes, limit - this.#used))
    this.#used += allowed
    this.justExceeded = this.#leftOut === 0 && allowed < bytes
    this.#leftOut += bytes - allowed
    return allowed
  }

  /** As {@link take}, all or nothing. @returns whether all of the bytes are recorded. */
  takeWhole(bytes: number, limit: number): boolean {
    if (this.#leftOut > 0 || this.#used + bytes > limit) this.take(bytes, this.#used)
    else this.take(bytes, limit)
    return this.#leftOut === 0
  }

  /** The next command begins. @returns how many bytes of the last one were left out. */
  restart(): number {
    const leftOut = this.#leftOut
    this.#used = this.#leftOut = 0
    return leftOut
  }
}
