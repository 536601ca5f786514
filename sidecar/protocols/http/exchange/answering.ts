/** What a target has answered already, as if it came now: it is looked into, masked and recorded as any answer. */
import type { Dispatcher } from 'undici'
import type { Answer } from './question.ts'
import type { Way } from './upstream.ts'

/** A way to the target on which an answer that is there already comes. */
export function wayOf({ status, headers, body }: Answer, { origin, authority }: Way): Way {
  const dispatch = (_outgoing: unknown, handler: Dispatcher.DispatchHandler): Promise<void> => {
    const controller = new StandIn(handler, headers.flat())
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

/** Of a request with which no connection is busy: it can be given up all the same. */
export class StandIn implements Dispatcher.DispatchController {
  readonly rawHeaders: string[]
  readonly rawTrailers: string[] = []
  readonly paused = false
  reason: Error | null = null
  readonly #handler: Dispatcher.DispatchHandler

  constructor(handler: Dispatcher.DispatchHandler, rawHeaders: string[] = []) {
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
