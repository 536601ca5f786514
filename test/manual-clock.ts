import type { Clock } from '@firebreak/sidecar'

/** Clocks that stand still until they are told to move, each for itself. */
export class ManualClock implements Clock {
  #wall = Date.now()
  #monotonic = 1_000

  wall(): number {
    return this.#wall
  }

  monotonic(): number {
    return this.#monotonic
  }

  /** Time passes. */
  pass(milliseconds: number): void {
    this.#wall += milliseconds
    this.#monotonic += milliseconds
  }

  /** Somebody sets the wall clock. */
  jump(milliseconds: number): void {
    this.#wall += milliseconds
  }
}
