/** The access token of one client: in memory only, asked for by one request at a time, and anew before it expires. */
import { type Clock, Deadline } from '../clock.ts'
import type { Result } from '../session.ts'
import type { GrantedToken } from './oauth2.ts'

/** Of a token's life, the part after which the next one is asked for; the one before serves meanwhile. */
const freshPart = 0.8
/** After a failure nobody is asked for so long: a wrong secret must not lock the client out. In milliseconds. */
const askAgainAfter = 2_000
/** So often at most a token is replaced because a server doesn't take it: agents may know how to make it say so. */
const replaceEvery = 10_000

interface Held {
  readonly token: string
  /** Until then it is not asked for again. */
  readonly fresh: Deadline
  /** Until then it may be used at all. */
  readonly usable: Deadline
}

export class AccessToken {
  readonly #ask: () => Promise<Result<GrantedToken, string>>
  readonly #clock: Clock
  #held: Held | undefined
  #asking: Promise<Result<string, string>> | undefined
  #failed: { readonly error: string; readonly until: Deadline } | undefined
  #replaceable: Deadline

  constructor(ask: () => Promise<Result<GrantedToken, string>>, clock: Clock) {
    this.#ask = ask
    this.#clock = clock
    this.#replaceable = new Deadline(clock, 0)
  }

  /** One that is good; waits for it only where there is none. */
  async current(): Promise<Result<string, string>> {
    const held = this.#held
    if (!held || held.usable.passed) return await this.#next()
    if (held.fresh.passed) void this.#next()
    return { ok: true, value: held.token }
  }

  /** A server has not taken it. @returns whether {@link current} has another one to try with. */
  refused(token: string): boolean {
    // somebody else was told before
    if (this.#held?.token !== token) return true
    if (!this.#replaceable.passed) return false
    this.#replaceable = new Deadline(this.#clock, replaceEvery)
    this.#held = undefined
    return true
  }

  async #next(): Promise<Result<string, string>> {
    const failed = this.#failed
    if (failed && !failed.until.passed) return { ok: false, error: failed.error }
    this.#asking ??= this.#askOnce().finally(() => {
      this.#asking = undefined
    })
    return await this.#asking
  }

  async #askOnce(): Promise<Result<string, string>> {
    const granted = await this.#ask()
    if (!granted.ok) {
      this.#failed = { error: granted.error, until: new Deadline(this.#clock, askAgainAfter) }
      return granted
    }
    const { token, life = Number.POSITIVE_INFINITY } = granted.value
    this.#failed = undefined
    this.#held = {
      token,
      fresh: new Deadline(this.#clock, life * freshPart),
      usable: new Deadline(this.#clock, life),
    }
    return { ok: true, value: token }
  }
}
