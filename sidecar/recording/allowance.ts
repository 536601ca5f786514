/** How much of a command's response, or of what is sent for it, is recorded. */
export class Allowance {
  readonly what: 'response' | 'input'
  /** The limit was reached by the last {@link take}, and not before. */
  justExceeded = false
  #used = 0
  #leftOut = 0

  constructor(what: 'response' | 'input') {
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

  /** The next command begins. @returns how many bytes of the last one were left out. */
  restart(): number {
    const leftOut = this.#leftOut
    this.#used = this.#leftOut = 0
    return leftOut
  }
}
