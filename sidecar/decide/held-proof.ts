/** What has proven who a session's agent is, held against what is in force again and again. */
import { type Clock, Deadline } from '../clock.ts'
import type { Chain } from '../delegation/delegation.ts'
import { chainOf, type Proof, type VerifiedClaims } from '../identity/proof.ts'
import type { Result } from '../session.ts'

/** In milliseconds. */
const provedAgainEvery = 10_000

export class HeldProof {
  readonly #clock: Clock
  readonly #renewed: (proof: Proof) => Result<Proof, string>
  readonly #provedAgain: Deadline
  #proof: Proof
  /** When the token is good no longer; undefined where it does not expire. */
  #expiry: Deadline | undefined

  /** @param renewed holds a proof against what is in force: a token may have been revoked, or renewed by the sidecar. */
  constructor(proof: Proof, clock: Clock, renewed: (proof: Proof) => Result<Proof, string>) {
    this.#proof = proof
    this.#clock = clock
    this.#renewed = renewed
    this.#provedAgain = new Deadline(clock, provedAgainEvery)
    this.#expiry = expiryOf(proof, clock)
  }

  get now(): Proof {
    return this.#proof
  }

  /** Whether it is to be proven again. */
  get isDue(): boolean {
    return this.#expiry?.passed === true || this.#provedAgain.passed
  }

  /** @returns who stands behind it now, whose groups may be others; or why it proves nothing any more. */
  prove(): Result<Chain, string> {
    this.#provedAgain.restart()
    const renewed = this.#renewed(this.#proof)
    if (!renewed.ok) return renewed
    const before = this.#proof
    this.#proof = renewed.value
    // the same token again must not start its time anew
    if (tokenOf(before) !== tokenOf(renewed.value)) this.#expiry = expiryOf(renewed.value, this.#clock)
    return this.#expiry?.passed
      ? { ok: false, error: `the token of ${renewed.value.identity} has expired` }
      : { ok: true, value: chainOf(renewed.value) }
  }
}

function expiryOf({ expiresAt }: Proof, clock: Clock): Deadline | undefined {
  return expiresAt === undefined ? undefined : new Deadline(clock, expiresAt - clock.wall())
}

function tokenOf(proof: Proof): VerifiedClaims | undefined {
  return 'claims' in proof ? proof.claims : undefined
}
