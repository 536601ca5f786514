/** What a target has answered already, as if it came now: it is looked into, masked and recorded as any answer. */
import type { Dispatcher } from 'undici'
import type { Answer } from './question.ts'
import type { Way } from './upstream.ts'

/** A way to the target on which an answer that is there already comes. */
export function wayOf({ status, headers, body }: Answer, { origin, authority }: Way): Way {
  const dispatch = (_outgoing: unknown, handler: Dispatcher.DispatchHandler): Promise<void> => {
    const controller = new Answering(headers.flat(), handler)
    const steps = [
      () => handler.onRequestStart?.(controller, {}),
      () => handler.onResponseStart?.(controller, status, {}),
      () => handler.onResponseData?.(controller, body),
      () => handler.onResponseEnd?.(controller, {}),
    ]
    for (const step of steps) if (!controller.aborted) step()
    return Promise.resolve()
  }
  return { origin, authority, dispatch }
}

class Answering implements Dispatcher.DispatchController {
  readonly rawHeaders: string[]
  readonly rawTrailers: string[] = []
  readonly paused = false
  reason: Error | null = null
  readonly #handler: Dispatcher.DispatchHandler

  constructor(rawHeaders: string[], handler: Dispatcher.DispatchHandler) {
    this.rawHeaders = rawHeaders
    this.#handler = handler
  }

  get aborted(): boolean {
    return this.reason !== null
  }

  abort(reason: Error): void {
    if (this.aborted) return
    this.reason = reason
    this.#handler.onResponseError?.(this, reason)
  }

  /** All of it is in memory. */
  pause(): void {}
  resume(): void {}
}
