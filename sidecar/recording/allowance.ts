/** How much of a command's response, or of what is sent for it, is recorded. */
export class Allowance {
  readonly what: 'response' | 'input' | 'unmasked'
  /** The limit was reached by the last {@link take}, and not before. */
  justExceeded = false
  #used = 0
  #leftOut = 0
  #isExceeded = false

  constructor(what: Allowance['what']) {
    this.what = what
  }

  /** @param limit per command. @returns how many of the bytes are recorded. */
  take(bytes: number, limit: number): number {
    const allowed = Math.max(0, Math.min(bytes, limit - this.#used))
    this.#used += allowed
    this.justExceeded = !this.#isExceeded && allowed < bytes
    if (this.justExceeded) this.#isExceeded = true
    this.#leftOut += bytes - allowed
    return allowed
  }

  /** As {@link take}, all or nothing. @returns whether all of the bytes are recorded. */
  takeWhole(bytes: number, limit: number): boolean {
    if (this.#isExceeded || this.#used + bytes > limit) this.take(bytes, this.#used)
    else this.take(bytes, limit)
    return !this.#isExceeded
  }

  /** The next command begins. @returns how many bytes of the last one were left out. */
  restart(): number {
    const leftOut = this.#leftOut
    this.renew()
    this.#leftOut = 0
    return leftOut
  }

  /** As much again, of the same command. */
  renew(): void {
    this.#used = 0
    this.#isExceeded = false
  }
}

/** All of a command's. */
export class Allowances {
  /** Reference of the command; undefined where one follows the other, and an outcome says whose what came before it is. */
  readonly of: string | undefined
  readonly response = new Allowance('response')
  readonly input = new Allowance('input')
  readonly unmasked = new Allowance('unmasked')

  constructor(of: string | undefined) {
    this.of = of
  }

  renew(): void {
    this.response.renew()
    this.input.renew()
    this.unmasked.renew()
  }
}
