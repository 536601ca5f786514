/** Brings spans to a collector, in batches, as far as it takes them: unlike audit lines they may be lost, and are counted then. */
import { setTimeout as pause } from 'node:timers/promises'
import { Wake } from '@firebreak/xds'
import { type OtlpAddress, OtlpClient, OtlpError } from '../outbound/otlp.ts'
import { inWords } from '../system-errors.ts'
import { exportRequest, type Span } from './span.ts'

/** Spans that wait, some 8 MiB of them. What comes on top is dropped. */
export const maximumWaiting = 8_192
const batchSize = 512
/** What comes within that time is sent together. In milliseconds, as all of these. */
const gatherFor = 200
const retryAfter = { first: 250, longest: 30_000 }
/** How long the end waits for what is still to be sent. */
const closeWithin = 3_000

export interface ExporterEvents {
  /** The collector takes no spans. Told once per failure. */
  readonly undelivered: (collector: string, reason: string) => void
  readonly delivered: (collector: string) => void
  readonly counted: (outcome: 'exported' | 'dropped', spans: number) => void
}

export class SpanExporter implements AsyncDisposable {
  readonly #client: OtlpClient
  readonly #resource: Readonly<Record<string, unknown>>
  readonly #events: ExporterEvents
  readonly #wake = new Wake()
  readonly #abort = new AbortController()
  readonly #working: Promise<void>
  #waiting: Span[] = []
  #failures = 0
  #closing = false

  constructor(address: OtlpAddress, resource: Readonly<Record<string, unknown>>, events: ExporterEvents) {
    this.#client = new OtlpClient(address)
    this.#resource = resource
    this.#events = events
    this.#working = this.#work()
  }

  /** @param spans of one trace: all of them wait, or none. */
  add(spans: readonly Span[]): void {
    if (this.#waiting.length + spans.length > maximumWaiting) {
      this.#events.counted('dropped', spans.length)
      return
    }
    this.#waiting.push(...spans)
    this.#wake.call()
  }

  /** Gives what waits a moment. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    this.#wake.call()
    await Promise.race([this.#working, pause(closeWithin, undefined, { ref: false })])
    this.#abort.abort()
    await this.#working
    if (this.#waiting.length > 0) this.#events.counted('dropped', this.#waiting.length)
    this.#waiting = []
  }

  async #work(): Promise<void> {
    const { signal } = this.#abort
    while (!signal.aborted) {
      const batch = this.#waiting.slice(0, batchSize)
      if (batch.length > 0) await this.#send(batch)
      else if (this.#closing) return
      else {
        await this.#wake.wait()
        if (!this.#closing) await this.#pause(gatherFor)
      }
    }
  }

  async #send(batch: readonly Span[]): Promise<void> {
    const { signal } = this.#abort
    try {
      const rejected = await this.#client.send(exportRequest(batch, this.#resource), batch.length, signal)
      this.#over(batch.length - rejected, rejected)
      if (this.#failures > 0) this.#events.delivered(this.#client.name)
      this.#failures = 0
    } catch (error) {
      if (signal.aborted) return
      if (this.#failures++ === 0) this.#events.undelivered(this.#client.name, inWords(error))
      if (error instanceof OtlpError && !error.passing) this.#over(0, batch.length)
      await this.#pause(Math.min(retryAfter.longest, retryAfter.first * 2 ** (this.#failures - 1)))
    }
  }

  /** The first of those that wait do so no longer. */
  #over(exported: number, dropped: number): void {
    this.#waiting.splice(0, exported + dropped)
    if (exported > 0) this.#events.counted('exported', exported)
    if (dropped > 0) this.#events.counted('dropped', dropped)
  }

  /** Not all sidecars of a cluster are to come back at the same moment. */
  async #pause(milliseconds: number): Promise<void> {
    const { signal } = this.#abort
    await pause(milliseconds * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => {})
  }
}
