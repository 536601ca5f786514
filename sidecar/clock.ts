/** The two clocks of a machine. Neither alone can be trusted with a deadline. */
export interface Clock {
  /** Milliseconds since 1970. Can be set, so it may jump both ways; goes on while the machine sleeps. */
  wall(): number
  /** Milliseconds since some moment. Never goes back; may stand still while the machine sleeps. */
  monotonic(): number
}

export const systemClock: Clock = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
}

/** A span of time that has passed when either clock says so: setting the wall clock back prolongs nothing. */
export class Deadline {
  readonly #clock: Clock
  #milliseconds: number
  #wall = 0
  #monotonic = 0

  /** @param milliseconds from now on. */
  constructor(clock: Clock, milliseconds: number) {
    this.#clock = clock
    this.#milliseconds = milliseconds
    this.restart()
  }

  /** The whole span again, from now on. */
  restart(): void {
    this.#wall = this.#clock.wall() + this.#milliseconds
    this.#monotonic = this.#clock.monotonic() + this.#milliseconds
  }

  /** Another span, from where this one began. */
  change(milliseconds: number): void {
    this.#wall += milliseconds - this.#milliseconds
    this.#monotonic += milliseconds - this.#milliseconds
    this.#milliseconds = milliseconds
  }

  get passed(): boolean {
    return this.remaining <= 0
  }

  /** In milliseconds, by the clock that is further; not above 0 once it has passed. */
  get remaining(): number {
    return Math.min(this.#wall - this.#clock.wall(), this.#monotonic - this.#clock.monotonic())
  }
}
