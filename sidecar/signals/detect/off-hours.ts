import type { SignalRule } from '@firebreak/policy'
import type { Detector, Finding, Now, SignalEvent } from '../events.ts'

type Hours = NonNullable<SignalRule['hours']>

const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const
const aMinute = 60_000

/** Commands outside of the hours in which work is expected. */
export class OffHours implements Detector {
  readonly #hours: Hours
  readonly #format: Intl.DateTimeFormat
  /** Of the last command, and where that was outside: when. */
  #minute = Number.NaN
  #outside: Local | undefined

  constructor(hours: Hours) {
    this.#hours = hours
    this.#format = new Intl.DateTimeFormat('en-GB', {
      timeZone: hours.timeZone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    })
  }

  observe(event: SignalEvent, { wall }: Now): Finding | undefined {
    if (event.kind !== 'command') return undefined
    const minute = Math.floor(wall / aMinute)
    if (minute !== this.#minute) {
      this.#minute = minute
      const local = this.#local(wall)
      this.#outside = isOutside(local, this.#hours) ? local : undefined
    }
    if (!this.#outside) return undefined
    const { day, time } = this.#outside
    const { timeZone, from, to } = this.#hours
    return {
      kind: 'finding',
      explanation: `sent a command to ${event.resource} on ${day} at ${time} (${timeZone}), outside of ${this.#hours.days.join(', ')} ${from} to ${to}`,
      evidence: [event.reference],
    }
  }

  #local(wall: number): Local {
    const parts = Object.fromEntries(
      this.#format.formatToParts(wall).map(({ type, value }) => [type, value]),
    ) as Partial<Record<string, string>>
    return { day: (parts.weekday ?? 'Sun') as Local['day'], time: `${parts.hour}:${parts.minute}` }
  }
}

export interface Local {
  readonly day: (typeof days)[number]
  /** `07:05`. */
  readonly time: string
}

/** Hours that end before they begin go over midnight, and belong to the day on which they begin. */
export function isOutside({ day, time }: Local, hours: Hours): boolean {
  const { from, to } = hours
  const begins = (name: Local['day']): boolean => hours.days.includes(name)
  const before = days[(days.indexOf(day) + 6) % 7] ?? day
  if (from < to) return !(begins(day) && time >= from && time < to)
  return !((begins(day) && time >= from) || (begins(before) && time < to))
}
