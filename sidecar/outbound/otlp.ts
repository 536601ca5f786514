/** What is sent to an OpenTelemetry collector, by OTLP over HTTP with JSON. https://opentelemetry.io/docs/specs/otlp/ */
import { type BoundedFetch, boundedFetch, deliveryBounds, shownAddress } from './fetch.ts'

export interface OtlpAddress {
  /** With the path of what is sent there. */
  readonly url: string
  /** May hold a secret. */
  readonly headers: Readonly<Record<string, string>>
  /** Authorities (PEM) to verify the collector with, instead of the system's. */
  readonly ca?: string | undefined
}

/** The collector did not take a request. Its message holds no secret. */
export class OtlpError extends Error {
  override readonly name = 'OtlpError'
  readonly status: number
  /** Whether it may take the same one later. */
  readonly passing: boolean

  constructor(status: number) {
    super(`the collector answered ${status}`)
    this.status = status
    // https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes
    this.passing = [429, 502, 503, 504].includes(status)
  }
}

export class OtlpClient {
  /** As people know the collector. */
  readonly name: string
  readonly #address: OtlpAddress
  readonly #fetch: BoundedFetch

  constructor(address: OtlpAddress) {
    this.name = shownAddress(address.url)
    this.#address = address
    this.#fetch = boundedFetch({ ...deliveryBounds, ca: address.ca })
  }

  /**
   * @param request an export request of logs or traces. @param items how many are in it.
   * @returns how many of its items the collector will never take: it must not be asked again.
   * @throws OtlpError when it answers something else than that it has them, or an Error when it can't be reached.
   */
  async send(request: unknown, items: number, signal: AbortSignal): Promise<number> {
    const { url, headers } = this.#address
    const response = await this.#fetch(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', 'user-agent': 'firebreak' },
      body: JSON.stringify(request),
      signal,
    })
    if (!response.ok) throw new OtlpError(response.status)
    // it can't reject more than it got, nor bring any back
    return Math.min(items, Math.max(0, Math.trunc(rejectedOf(await response.text()))))
  }
}

/** Values that are neither text, numbers nor lists of texts are left out. Whole numbers only. */
export function attributes(values: Readonly<Record<string, unknown>>): unknown[] {
  return Object.entries(values).flatMap(([key, value]) => {
    if (typeof value === 'string') return { key, value: { stringValue: value } }
    if (Array.isArray(value))
      return { key, value: { arrayValue: { values: value.map((item) => ({ stringValue: String(item) })) } } }
    // 64-bit numbers are strings in JSON
    return typeof value === 'number' ? { key, value: { intValue: String(value) } } : []
  })
}

function rejectedOf(answer: string): number {
  try {
    const { partialSuccess } = JSON.parse(answer) as {
      partialSuccess?: { rejectedLogRecords?: unknown; rejectedSpans?: unknown }
    }
    return Number(partialSuccess?.rejectedLogRecords ?? partialSuccess?.rejectedSpans ?? 0) || 0
  } catch {
    return 0
  }
}
