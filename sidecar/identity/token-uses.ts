/** From where tokens are used. One that turns up in two places may have been stolen. */
import type { VerifiedClaims } from './proof.ts'

/** Beyond that the oldest are forgotten: this is to see a thief, not to stop one. */
const maximumTokens = 10_000

export class TokenUses {
  /** By issuer and `jti`, in the order of their last use. */
  readonly #lastPlace = new Map<string, string>()

  /** @returns the other place that the token was used from before, if there is one. Told once a place. */
  used({ issuer, tokenId }: VerifiedClaims, remoteAddress: string): string | undefined {
    if (tokenId === undefined) return undefined
    const key = JSON.stringify([issuer, tokenId])
    const before = this.#lastPlace.get(key)
    this.#lastPlace.delete(key)
    this.#lastPlace.set(key, remoteAddress)
    const [oldest] = this.#lastPlace.keys()
    if (this.#lastPlace.size > maximumTokens && oldest !== undefined) this.#lastPlace.delete(oldest)
    return before === remoteAddress ? undefined : before
  }
}
