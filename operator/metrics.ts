/** What Prometheus reads of one replica. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

const seconds = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10]

export class Metrics {
  readonly #registry = new Registry()
  readonly #reconciled = this.#histogram('reconcile_seconds', 'Time that one reconcile took.', ['controller'])
  readonly #reconcileFailures = this.#counter('reconcile_failures_total', 'Reconciles that failed.', [
    'controller',
  ])
  readonly #reviews = this.#histogram('review_seconds', 'Time that one admission review took.', [
    'path',
    'allowed',
  ])
  readonly #reviewFailures = this.#counter(
    'review_failures_total',
    'Reviews that failed, and were refused.',
    ['path'],
  )
  readonly #pushes = this.#counter('stream_pushes_total', 'Responses sent to sidecars.', ['type'])
  readonly #answers = this.#counter('stream_answers_total', 'Acknowledgements and refusals of sidecars.', [
    'type',
    'answer',
  ])
  readonly #rejections = this.#counter('stream_rejections_total', 'Streams that were not let in.', [])

  readonly #signals = this.#counter('agent_signals_total', "Signals that agents' sidecars have told of.", [
    'kind',
    'severity',
  ])

  constructor() {
    collectDefaultMetrics({ register: this.#registry })
  }

  reconciled(controller: string, milliseconds: number): void {
    this.#reconciled.observe({ controller }, milliseconds / 1000)
  }

  reconcileFailed(controller: string): void {
    this.#reconcileFailures.inc({ controller })
  }

  reviewed(path: string, allowed: boolean, milliseconds: number): void {
    this.#reviews.observe({ path, allowed: String(allowed) }, milliseconds / 1000)
  }

  reviewFailed(path: string): void {
    this.#reviewFailures.inc({ path })
  }

  pushed(typeUrl: string): void {
    this.#pushes.inc({ type: shortName(typeUrl) })
  }

  answered(typeUrl: string, refused: boolean): void {
    this.#answers.inc({ type: shortName(typeUrl), answer: refused ? 'nack' : 'ack' })
  }

  streamRejected(): void {
    this.#rejections.inc()
  }

  signalled(kind: string, severity: string): void {
    this.#signals.inc({ kind, severity })
  }

  /** Something that is looked at when Prometheus asks. @param read by the value of the label. */
  watch(name: string, help: string, label: string, read: () => Iterable<readonly [string, number]>): void {
    new Gauge({
      name: `firebreak_${name}`,
      help,
      labelNames: [label],
      registers: [this.#registry],
      collect() {
        this.reset()
        for (const [value, count] of read()) this.set({ [label]: value }, count)
      },
    })
  }

  /** https://prometheus.io/docs/instrumenting/exposition_formats/ */
  async text(): Promise<{ readonly contentType: string; readonly body: string }> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() }
  }

  #counter(name: string, help: string, labelNames: string[]): Counter {
    return new Counter({ name: `firebreak_${name}`, help, labelNames, registers: [this.#registry] })
  }

  #histogram(name: string, help: string, labelNames: string[]): Histogram {
    const registers = [this.#registry]
    return new Histogram({ name: `firebreak_${name}`, help, labelNames, buckets: seconds, registers })
  }
}

function shortName(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1)
}
