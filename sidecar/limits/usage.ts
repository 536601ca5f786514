/** What an identity has used of a resource, or a delegation of all, over all sessions. */
import type { Limits } from '@firebreak/policy'
import type { LimitReached } from '../session.ts'
import { SlidingWindow } from './sliding-window.ts'

const minute = 60_000
const hour = 60 * minute

export class Usage {
  readonly #rows = new SlidingWindow(hour)
  readonly #bytes = new SlidingWindow(hour)
  readonly #commands = new SlidingWindow(minute)

  /** @returns the limit that keeps another command from running. */
  full(limits: Limits, now: number): LimitReached | undefined {
    const { commandsPerMinute, rowsPerHour, bytesPerHour } = limits
    if (commandsPerMinute !== undefined && this.#commands.total(now) >= commandsPerMinute)
      return reached('commandsPerMinute', `${commandsPerMinute} commands per minute`)
    if (rowsPerHour !== undefined && this.#rows.total(now) >= rowsPerHour)
      return reached('rowsPerHour', `${rowsPerHour} rows per hour`)
    if (bytesPerHour !== undefined && this.#bytes.total(now) >= bytesPerHour)
      return reached('bytesPerHour', `${bytesPerHour} bytes per hour`)
    return undefined
  }

  /** Counts a command that is about to run. */
  command(now: number): void {
    this.#commands.add(1, now)
  }

  /** Counts what has passed. */
  answer(rows: number, bytes: number, now: number): void {
    this.#rows.add(rows, now)
    this.#bytes.add(bytes, now)
  }

  /** @returns the limit that is broken by what has passed. */
  exceeded(limits: Limits, now: number): LimitReached | undefined {
    const { rowsPerHour, bytesPerHour } = limits
    if (rowsPerHour !== undefined && this.#rows.total(now) > rowsPerHour)
      return reached('rowsPerHour', `${rowsPerHour} rows per hour`)
    if (bytesPerHour !== undefined && this.#bytes.total(now) > bytesPerHour)
      return reached('bytesPerHour', `${bytesPerHour} bytes per hour`)
    return undefined
  }
}

function reached(limit: LimitReached['limit'], amount: string): LimitReached {
  return { limit, message: `the limit of ${amount} is reached` }
}
