/** Tells a webhook what happens to requests, and of signals, so that chat systems and pagers can be attached. Never holds anything up. */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Notices } from '../audit/lines.ts'
import { boundedFetch } from '../outbound/fetch.ts'
import { signatureHeaders } from '../outbound/signature.ts'
import { type ApprovalEvent, eventName } from './events.ts'

export interface NotifierOptions {
  readonly url: string
  /** Both sides know it: what is sent is signed with it. */
  readonly secret: string
  /** A notification could not be delivered, or there was no room for it. The reason holds no secret. */
  readonly onLost: (event: string, request: string | undefined, reason: string) => void
  /** Before each further attempt. In milliseconds. */
  readonly retryAfter?: readonly number[]
}

/** Notifications that wait to be sent. */
const maximumQueue = 1_000
const answerWithin = 10_000
const maximumAnswer = 64 * 1024
const defaultRetries = [1_000, 2_000, 5_000, 15_000, 60_000]

interface Notification {
  readonly event: string
  readonly request: string | undefined
  readonly body: string
}

export class Notifier implements AsyncDisposable {
  readonly #options: NotifierOptions
  readonly #fetch = boundedFetch({ milliseconds: answerWithin, bytes: maximumAnswer })
  readonly #queue: Notification[] = []
  readonly #abort = new AbortController()
  #sending: Promise<void> | undefined

  constructor(options: NotifierOptions) {
    this.#options = options
  }

  notify(event: ApprovalEvent): void {
    const { request, by, decision, reason } = event
    this.#queueUp(eventName(event), request?.metadata.name, { by: by?.user, decision, reason, request })
  }

  /** @param signal in a cluster with the `namespace/name` of the pod that it was seen in. */
  signal(signal: Notices['signal'] & { readonly pod?: string }): void {
    this.#queueUp('signal', signal.request, { signal })
  }

  #queueUp(event: string, request: string | undefined, about: object): void {
    const body = JSON.stringify({ id: randomUUID(), event, time: new Date().toISOString(), ...about })
    if (this.#queue.length >= maximumQueue) {
      this.#options.onLost(event, request, 'too many wait to be sent')
      return
    }
    this.#queue.push({ event, request, body })
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined
    })
  }

  /** Gives what waits a moment to be sent. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.race([this.#sending, pause(1_000, undefined, { ref: false })])
    this.#abort.abort()
  }

  async #send(): Promise<void> {
    for (;;) {
      const notification = this.#queue[0]
      if (!notification || this.#abort.signal.aborted) return
      await this.#deliver(notification)
      this.#queue.shift()
    }
  }

  async #deliver({ event, request, body }: Notification): Promise<void> {
    let problem = ''
    for (const wait of [0, ...(this.#options.retryAfter ?? defaultRetries)]) {
      if (wait > 0) await pause(wait, undefined, { ref: false, signal: this.#abort.signal }).catch(() => {})
      if (this.#abort.signal.aborted) break
      try {
        const { ok, status } = await this.#post(body)
        if (ok) return
        problem = `the receiver answered ${status}`
        // it has understood, and will not have it
        if (status >= 400 && status < 500 && status !== 408 && status !== 429) break
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error)
      }
    }
    this.#options.onLost(event, request, problem)
  }

  #post(body: string): Promise<Response> {
    return this.#fetch(this.#options.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'firebreak',
        ...signatureHeaders(this.#options.secret, body),
      },
      body,
      signal: this.#abort.signal,
    })
  }
}
