/** What is usual for an identity: learned from what it was allowed to do, and kept over restarts. Bounded, whatever it does. */
import type { QualifiedName } from '@firebreak/policy'
import { describeSource } from '@firebreak/policy'
import type { CommandEvent } from './events.ts'
import type { Traits } from './traits.ts'

/** Names beyond that are neither learned nor told of: who uses so many is not known by them. */
const maximumNames = 4_096
const maximumUnmasked = 1_024
const maximumHarvested = 256
/** Lengths of windows whose peaks are kept. */
const maximumWindows = 8
/** How many days with something in them are looked back on. */
export const daysKept = 30
const aDay = 86_400_000

export interface Amounts {
  readonly rows: number
  readonly commands: number
}

/** As it is kept. Times in milliseconds since 1970. */
export interface KeptBaseline {
  readonly since: number
  readonly lastSeen: number
  readonly names: readonly string[]
  readonly unmasked: readonly string[]
  readonly harvested: readonly string[]
  readonly peaks: readonly { readonly window: number; readonly days: readonly KeptDay[] }[]
}

type KeptDay = readonly [day: number, rows: number, commands: number]

/** The most within windows of one length, day by day. */
export class Peaks {
  readonly #days: { day: number; rows: number; commands: number }[]
  #before: { day: number; rows: number; commands: number } = { day: -1, rows: 0, commands: 0 }

  constructor(days: readonly KeptDay[] = []) {
    this.#days = days.slice(-daysKept).map(([day, rows, commands]) => ({ day, rows, commands }))
  }

  note(what: keyof Amounts, amount: number, wall: number): void {
    const day = Math.floor(wall / aDay)
    let today = this.#days.at(-1)
    if (today === undefined || today.day < day) {
      today = { day, rows: 0, commands: 0 }
      this.#days.push(today)
      if (this.#days.length > daysKept) this.#days.shift()
    }
    if (amount > today[what]) today[what] = amount
  }

  /** On the days before this one. */
  before(what: keyof Amounts, wall: number): number {
    const day = Math.floor(wall / aDay)
    if (this.#before.day !== day) {
      const days = this.#days.filter((other) => other.day < day)
      this.#before = {
        day,
        rows: Math.max(0, ...days.map(({ rows }) => rows)),
        commands: Math.max(0, ...days.map(({ commands }) => commands)),
      }
    }
    return this.#before[what]
  }

  keep(): readonly KeptDay[] {
    return this.#days.map(({ day, rows, commands }) => [day, rows, commands])
  }
}

export class Baseline {
  /** Of its first command. */
  readonly since: number
  /** Of its last command before the one that is looked at. */
  lastSeen: number
  /** Something was learned since this was set to false. */
  changed = false
  readonly #names: Set<string>
  readonly #unmasked: Set<string>
  readonly #harvested: Set<string>
  readonly #peaks: Map<number, Peaks>
  /** Commands in which nothing is new, by resource: most are seen again and again. */
  readonly #known = new Map<QualifiedName, WeakSet<Traits>>()

  /** @param wall the time of the first event, where nothing is kept. */
  constructor(wall: number, kept?: KeptBaseline) {
    this.since = kept?.since ?? wall
    this.lastSeen = kept?.lastSeen ?? wall
    this.#names = new Set(kept?.names.slice(0, maximumNames))
    this.#unmasked = new Set(kept?.unmasked.slice(0, maximumUnmasked))
    this.#harvested = new Set(kept?.harvested.slice(0, maximumHarvested))
    this.#peaks = new Map(
      kept?.peaks.slice(0, maximumWindows).map(({ window, days }) => [window, new Peaks(days)]),
    )
  }

  /** Whether what it does is still only learned. @param milliseconds from its first command on. */
  learns(wall: number, milliseconds: number): boolean {
    return wall - this.since < milliseconds
  }

  /** Actions and objects that it has not used before. What it makes itself is its own. */
  newIn({ resource, traits }: CommandEvent): readonly string[] {
    if (this.#known.get(resource)?.has(traits) || this.#names.size >= maximumNames) return none
    return traits.names.filter((name) => !traits.made.has(name) && !this.#names.has(`${resource} ${name}`))
  }

  /** Classified columns that it has not read as they are before, in this role and with these rights. */
  unmaskedIn(event: CommandEvent): readonly string[] {
    if (event.decision.effect === 'deny' || this.#unmasked.size >= maximumUnmasked) return none
    const { unmasked = [] } = event.decision
    return unmasked.map(describeSource).filter((column) => !this.#unmasked.has(unmaskedKey(event, column)))
  }

  /** It reads all of something by small reads, as is usual for it. */
  harvests(table: string): boolean {
    return this.#harvested.has(table)
  }

  learnHarvest(table: string): void {
    if (this.#harvested.size >= maximumHarvested) return
    this.#harvested.add(table)
    this.changed = true
  }

  /** For as many lengths of windows as are kept; beyond that, what is noted is forgotten with the process. */
  peaks(window: number): Peaks {
    const peaks = this.#peaks.get(window) ?? new Peaks()
    if (this.#peaks.size < maximumWindows) this.#peaks.set(window, peaks)
    return peaks
  }

  /** After all detectors have looked at it. */
  learn(event: CommandEvent, wall: number): void {
    this.lastSeen = wall
    this.changed = true
    const { resource, traits, decision, outcome } = event
    if (decision.effect === 'deny' || outcome.error) return
    let known = this.#known.get(resource)
    if (!known) {
      known = new WeakSet()
      this.#known.set(resource, known)
    }
    if (!known.has(traits)) {
      known.add(traits)
      for (const name of traits.names)
        if (this.#names.size < maximumNames) this.#names.add(`${resource} ${name}`)
    }
    if (!decision.unmasked || outcome.rows === 0) return
    for (const column of decision.unmasked.map(describeSource))
      if (this.#unmasked.size < maximumUnmasked) this.#unmasked.add(unmaskedKey(event, column))
  }

  keep(): KeptBaseline {
    return {
      since: this.since,
      lastSeen: this.lastSeen,
      names: [...this.#names],
      unmasked: [...this.#unmasked],
      harvested: [...this.#harvested],
      peaks: [...this.#peaks].map(([window, peaks]) => ({ window, days: peaks.keep() })),
    }
  }
}

const none: readonly string[] = []

function unmaskedKey({ resource, role, elevated }: CommandEvent, column: string): string {
  return `${resource} ${role}${elevated ? ' elevated' : ''} ${column}`
}
