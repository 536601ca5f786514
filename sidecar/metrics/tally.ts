/** Metrics that are counted on the hot path: plain numbers, made into Prometheus' form only when they are read. */
import type { Metric, Registry } from 'prom-client'

type Labels = Readonly<Record<string, string>>

/** What is counted under one set of labels. */
export class Count {
  value = 0
}

/** Values by how large they were. */
export class Distribution {
  readonly bounds: readonly number[]
  /** How many were no larger than the bound and larger than the one before; the last is for all others. */
  readonly counts: number[]
  sum = 0

  /** @param bounds ascending. */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = Array(bounds.length + 1).fill(0)
  }

  observe(value: number): void {
    const { bounds, counts } = this
    let index = 0
    while (index < bounds.length && value > (bounds[index] ?? 0)) index++
    counts[index] = (counts[index] ?? 0) + 1
    this.sum += value
  }
}

/** One metric with all its labels. */
export class Tally<Cell extends Count | Distribution> {
  readonly #cells = new Map<string, { readonly labels: Labels; readonly cell: Cell }>()
  readonly #labelNames: readonly string[]
  readonly #make: () => Cell

  constructor(
    registry: Registry,
    {
      name,
      help,
      labels,
    }: { readonly name: string; readonly help: string; readonly labels: readonly string[] },
    make: () => Cell,
  ) {
    this.#labelNames = labels
    this.#make = make
    const type = make() instanceof Distribution ? 'histogram' : 'counter'
    const read = async () => ({ name, help, type, values: this.#values(name) })
    // all that a registry asks of a metric; prom-client has no public type for it
    registry.registerMetric({ name, get: read } as unknown as Metric)
  }

  /** @param values in the order of the labels' names. @returns what to count in; the same for the same values. */
  of(...values: readonly string[]): Cell {
    const key = values.join('\n')
    let found = this.#cells.get(key)
    if (!found) {
      const labels = Object.fromEntries(this.#labelNames.map((name, index) => [name, values[index] ?? '']))
      found = { labels, cell: this.#make() }
      this.#cells.set(key, found)
    }
    return found.cell
  }

  #values(name: string): object[] {
    return [...this.#cells.values()].flatMap(({ labels, cell }) =>
      cell instanceof Distribution ? buckets(name, labels, cell) : [{ labels, value: cell.value }],
    )
  }
}

/** https://prometheus.io/docs/instrumenting/exposition_formats/#histograms-and-summaries */
function buckets(name: string, labels: Labels, { bounds, counts, sum }: Distribution): object[] {
  let total = 0
  const values = counts.map((count, index) => {
    total += count
    return { metricName: `${name}_bucket`, labels: { ...labels, le: bounds[index] ?? '+Inf' }, value: total }
  })
  return [
    ...values,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: total },
  ]
}
