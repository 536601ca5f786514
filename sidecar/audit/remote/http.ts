/** An HTTP service that takes lines as they are, or as OCSF events. Signed as notifications are. */
import { type BoundedFetch, boundedFetch, deliveryBounds, shownAddress } from '../../outbound/fetch.ts'
import { signatureHeaders } from '../../outbound/signature.ts'
import type { ReceiverTarget } from '../target.ts'
import { ocsfEvent } from './ocsf.ts'
import { type Receiver, TooLargeError } from './receiver.ts'

type HttpTarget = Extract<ReceiverTarget, { kind: 'http' }>

export class HttpReceiver implements Receiver {
  readonly name: string
  readonly #target: HttpTarget
  readonly #fetch: BoundedFetch

  constructor(target: HttpTarget) {
    this.name = shownAddress(target.url)
    this.#target = target
    this.#fetch = boundedFetch({ ...deliveryBounds, ca: target.ca })
  }

  async send(lines: readonly string[], signal: AbortSignal): Promise<number> {
    const { url, secret, format } = this.#target
    const body =
      format === 'ocsf'
        ? JSON.stringify(lines.flatMap((line) => ocsfEvent(line) ?? []))
        : lines.map((line) => `${line}\n`).join('')
    const { ok, status } = await this.#fetch(url, {
      method: 'POST',
      headers: {
        'content-type': format === 'ocsf' ? 'application/json' : 'application/x-ndjson',
        'user-agent': 'firebreak',
        ...signatureHeaders(secret, body),
      },
      body,
      signal,
    })
    if (status === 413) throw new TooLargeError()
    if (!ok) throw new Error(`the receiver answered ${status}`)
    return 0
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
