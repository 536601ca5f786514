import type { QualifiedName, SignalRule } from '@firebreak/policy'
import { duration } from '../../identity/duration.ts'
import type { Baseline } from '../baseline.ts'
import type { CommandEvent, Detector, Finding, Now, SignalEvent, SizeWanted } from '../events.ts'
import { DistinctCounter, hashOf } from './distinct.ts'
import { Evidence } from './evidence.ts'

/** A read of more rows is none of many small ones: limits and volumeSpike are about it. */
const smallRead = 1_000
/** Less is not worth being told, however small the table. */
const fewestRows = 1_000
/** That many are worth it where nobody knows how large the table is. */
const manyRows = 10_000
/** Of one identity; the one that was not read for longest is forgotten. */
const maximumTables = 32
/** The window moves in that many steps. */
const steps = 4
/** A look takes longer than a count: there is one whenever so many more reads were counted, or a twentieth of all. */
const fewestReads = 8
/** A table may grow. In milliseconds. */
const sizeHoldsFor = 3_600_000

interface Step {
  readonly distinct: DistinctCounter
  reads: number
  rows: number
}

class Table {
  readonly steps: Step[] = Array.from({ length: steps }, () => ({
    distinct: new DistinctCounter(),
    reads: 0,
    rows: 0,
  }))
  readonly evidence = new Evidence()
  /** Of all time, and at which number of them the next look is due. */
  reads = 0
  lookAt = fewestReads
  step = 0
  /** Rows, undefined when nobody knows; and when it was asked. */
  size: number | undefined
  askedAt = Number.NEGATIVE_INFINITY
  answered = false

  add(hash: number, rows: number, step: number): void {
    if (step > this.step) {
      for (let passed = Math.max(this.step + 1, step - steps + 1); passed <= step; passed++)
        this.#clear(passed)
      this.step = step
    }
    const current = this.steps[step % steps]
    if (!current) return
    current.distinct.add(hash)
    current.reads++
    current.rows += rows
    this.reads++
  }

  /** @returns about how many different rows were read. */
  look(): number {
    let reads = 0
    let rows = 0
    const distinct = new DistinctCounter()
    for (const step of this.steps) {
      reads += step.reads
      rows += step.rows
      distinct.include(step.distinct)
    }
    this.lookAt = this.reads + Math.max(fewestReads, reads / 20)
    return Math.round(Math.min(rows, (distinct.estimate * rows) / Math.max(1, reads)))
  }

  clear(): void {
    for (let step = 0; step < steps; step++) this.#clear(step)
  }

  #clear(step: number): void {
    const cleared = this.steps[step % steps]
    cleared?.distinct.clear()
    if (cleared) Object.assign(cleared, { reads: 0, rows: 0 })
  }
}

/** Many small reads, each of something else, add up to a share of a table: key by key, or page by page. */
export class RowHarvest implements Detector {
  readonly #rule: SignalRule
  readonly #baseline: Baseline
  /** By resource and name; the one that was not read for longest first. */
  readonly #tables = new Map<string, Table>()

  #latest: { readonly resource: QualifiedName; readonly object: string; readonly table: Table } | undefined

  constructor(rule: SignalRule, baseline: Baseline) {
    this.#rule = rule
    this.#baseline = baseline
  }

  observe(event: SignalEvent, now: Now): Finding | SizeWanted | undefined {
    if (event.kind === 'size') return this.#sized(event, now)
    if (event.kind !== 'command' || event.outcome.error) return undefined
    const { rows } = event.outcome
    if (rows === 0 || rows > smallRead) return undefined
    let found: Finding | SizeWanted | undefined
    for (const object of event.traits.reads) found = this.#read(object, event, now) ?? found
    return found
  }

  #read(object: string, event: CommandEvent, now: Now): Finding | SizeWanted | undefined {
    const table = this.#table(event.resource, object)
    const step = Math.floor(now.monotonic / (this.#rule.windowMilliseconds / steps))
    table.add(hashOfRead(event), event.outcome.rows, step)
    table.evidence.add(event.reference)
    if (table.reads < table.lookAt || table.look() < fewestRows) return undefined
    if (now.monotonic - table.askedAt >= sizeHoldsFor) {
      table.askedAt = now.monotonic
      return { kind: 'sizeWanted', object }
    }
    return table.answered ? this.#look(event.resource, object, table, now) : undefined
  }

  #sized({ resource, object, rows }: Extract<SignalEvent, { kind: 'size' }>, now: Now): Finding | undefined {
    const table = this.#tables.get(keyOf(resource, object))
    if (!table) return undefined
    table.size = rows
    table.answered = true
    return this.#look(resource, object, table, now)
  }

  #look(resource: QualifiedName, object: string, table: Table, { wall }: Now): Finding | undefined {
    const { threshold, windowMilliseconds, learnMilliseconds } = this.#rule
    const { size } = table
    const covered = table.look()
    const enough = size === undefined ? manyRows : Math.max(fewestRows, (size * threshold) / 100)
    const key = keyOf(resource, object)
    if (covered < enough || this.#baseline.harvests(key)) return undefined
    if (this.#baseline.learns(wall, learnMilliseconds)) {
      this.#baseline.learnHarvest(key)
      return undefined
    }
    table.clear()
    const share =
      size === undefined ? '' : `, of ${size} (${Math.min(100, Math.round((covered * 100) / size))} %)`
    return {
      kind: 'finding',
      explanation: `gathered about ${covered} different rows of ${object} in ${resource} by small reads within ${duration(windowMilliseconds)}${share}`,
      evidence: table.evidence.take(),
    }
  }

  #table(resource: QualifiedName, object: string): Table {
    const latest = this.#latest
    if (latest?.resource === resource && latest.object === object) return latest.table
    const key = keyOf(resource, object)
    const table = this.#tables.get(key) ?? new Table()
    this.#tables.delete(key)
    this.#tables.set(key, table)
    const [oldest] = this.#tables.keys()
    if (this.#tables.size > maximumTables && oldest !== undefined) this.#tables.delete(oldest)
    this.#latest = { resource, object, table }
    return table
  }
}

function keyOf(resource: QualifiedName, object: string): string {
  return `${resource} ${object}`
}

function hashOfRead({ text, parameters, traits, reference }: CommandEvent): number {
  if (traits.readsOn) return hashOf(reference)
  return parameters.reduce<number>((hash, parameter) => hashOf(parameter ?? '\0', hash), hashOf(text))
}
