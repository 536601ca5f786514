/** What the agent tried and was refused, in the audit trail: all of it, but not a line for each of a flood. */
import type { QualifiedName } from '@firebreak/policy'
import type { Notices } from '../audit/lines.ts'
import { type Clock, Deadline } from '../clock.ts'

export type EgressRefusal = Omit<Notices['egress.refused'], 'identity'>

/** Lines in a {@link period}; what is beyond is only counted. */
const linesPerPeriod = 300
/** In milliseconds. */
const period = 60_000

export class Refusals {
  readonly #identity: QualifiedName
  readonly #write: (line: Notices['egress.refused']) => void
  readonly #clock: Clock
  #until: Deadline
  #lines = 0
  readonly #unwritten = new Map<EgressRefusal['kind'], number>()

  /** @param identity the agent's. */
  constructor(identity: QualifiedName, write: (line: Notices['egress.refused']) => void, clock: Clock) {
    this.#identity = identity
    this.#write = write
    this.#clock = clock
    this.#until = new Deadline(clock, period)
  }

  add(refusal: EgressRefusal): void {
    this.tick()
    if (this.#lines++ < linesPerPeriod) this.#write({ identity: this.#identity, ...refusal })
    else this.#unwritten.set(refusal.kind, (this.#unwritten.get(refusal.kind) ?? 0) + (refusal.count ?? 1))
  }

  /** Called every second or so: says how many there were that have no line of their own. */
  tick(): void {
    if (!this.#until.passed) return
    this.#until = new Deadline(this.#clock, period)
    this.#lines = 0
    this.flush()
  }

  flush(): void {
    const reason = 'more of the same than lines are written for'
    for (const [kind, count] of this.#unwritten)
      this.#write({ identity: this.#identity, kind, reason, count })
    this.#unwritten.clear()
  }
}
