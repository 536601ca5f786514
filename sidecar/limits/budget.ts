/** What one session may use: of everybody who stands behind it, and of each delegation. */
import type { Limits } from '@firebreak/policy'
import type { LimitReached } from '../session.ts'
import type { Usage } from './usage.ts'

/** What is counted together, and the limits for it. */
export interface Share {
  /** In words, where it is not the session's own identity. */
  readonly of?: string
  readonly usage: Usage
  readonly limits: Limits
}

export class Budget {
  readonly #shares: readonly Share[]
  /** An identity may stand in a chain twice, and is counted once. */
  readonly #usages: ReadonlySet<Usage>

  constructor(shares: readonly Share[]) {
    this.#shares = shares
    this.#usages = new Set(shares.map(({ usage }) => usage))
  }

  /** Counts a command that is about to run. @returns the limit that keeps it from running. */
  admit(now: number): LimitReached | undefined {
    for (const share of this.#shares) {
      const reached = share.usage.full(share.limits, now)
      if (reached) return named(reached, share)
    }
    for (const usage of this.#usages) usage.command(now)
    return undefined
  }

  /** Counts what has passed. @returns the limit that is broken by it. */
  meter(rows: number, bytes: number, now: number): LimitReached | undefined {
    for (const usage of this.#usages) usage.answer(rows, bytes, now)
    for (const share of this.#shares) {
      const reached = share.usage.exceeded(share.limits, now)
      if (reached) return named(reached, share)
    }
    return undefined
  }
}

function named({ limit, message }: LimitReached, { of }: Share): LimitReached {
  return { limit, message: of === undefined ? message : `${message} by ${of}` }
}
