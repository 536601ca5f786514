/**
 * A request that its target takes only where nothing has changed since it was asked about. Where something has, the
 * target is asked again, and what comes of the request by now is decided.
 */
import type { Dispatcher } from 'undici'
import { StandIn, wayOf } from './answering.ts'
import { Ended } from './ended.ts'
import type { Problem } from './problems.ts'
import type { Answer } from './question.ts'
import { type Outgoing, readRaw, type Way } from './upstream.ts'

/** As often as an API server itself tries a patch upon what others have made of the object meanwhile. */
const maximumAttempts = 5
const maximumKept = 1024 * 1024

/** Of what a target says where something has changed, though it may say it of something else as well. */
const conflicts = new Set([409, 422])

/** What becomes of a request that is decided again. */
export type Next =
  /** It goes out with this body. */
  | { readonly kind: 'send'; readonly body: Buffer }
  /** The target doesn't do it, and has said so. */
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'refused'; readonly problem: Problem }

export interface Persistence {
  readonly reference: string
  /** Asks and decides. Never rejects. */
  readonly again: () => Promise<Next>
}

/** A way to the target on which a request goes out as often as it takes, and the last answer alone comes back. */
export function persisting(way: Way, persistence: Persistence): Way {
  const { origin, authority } = way
  const dispatch = (outgoing: Outgoing, handler: Dispatcher.DispatchHandler): Promise<void> =>
    way.dispatch(outgoing, new Attempt({ ...persistence, way, handler, attempt: 1 }, outgoing))
  return { origin, authority, dispatch }
}

interface Attempted extends Persistence {
  readonly way: Way
  readonly handler: Dispatcher.DispatchHandler
  /** From 1. */
  readonly attempt: number
}

class Attempt implements Dispatcher.DispatchHandler {
  readonly #attempted: Attempted
  readonly #outgoing: Outgoing
  readonly #chunks: Buffer[] = []
  #length = 0
  /** Of an answer that may mean that something has changed. */
  #kept: Pick<Answer, 'status' | 'headers'> | undefined

  constructor(attempted: Attempted, outgoing: Outgoing) {
    this.#attempted = attempted
    this.#outgoing = outgoing
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#attempted.handler.onRequestStart?.(controller, context)
  }

  onRequestUpgrade(
    ...upgrade: Parameters<NonNullable<Dispatcher.DispatchHandler['onRequestUpgrade']>>
  ): void {
    this.#attempted.handler.onRequestUpgrade?.(...upgrade)
  }

  onResponseStart(
    ...[controller, status, ...rest]: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>
  ): void {
    if (conflicts.has(status)) this.#kept = { status, headers: readRaw(controller.rawHeaders) }
    else this.#attempted.handler.onResponseStart?.(controller, status, ...rest)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#kept) {
      this.#attempted.handler.onResponseData?.(controller, chunk)
      return
    }
    this.#length += chunk.length
    if (this.#length > maximumKept) controller.abort(new Error('too much is said against it'))
    else this.#chunks.push(Buffer.from(chunk))
  }

  onResponseEnd(
    ...[controller, trailers]: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseEnd']>>
  ): void {
    if (this.#kept) void this.#goOn({ ...this.#kept, body: Buffer.concat(this.#chunks) })
    else this.#attempted.handler.onResponseEnd?.(controller, trailers)
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.#attempted.handler.onResponseError?.(controller, error)
  }

  async #goOn(said: Answer): Promise<void> {
    const { handler, again } = this.#attempted
    const controller = new StandIn(handler)
    handler.onRequestStart?.(controller, {})
    try {
      const next = controller.aborted ? undefined : await again()
      if (!next || controller.aborted) return
      if (next.kind === 'refused') throw new Ended(next.problem)
      if (next.kind === 'answer') await this.#hear(next.answer)
      // nothing has changed: it is about something else
      else if (this.#isSent(next.body)) await this.#hear(said)
      else await this.#send(next.body)
    } catch (error) {
      controller.abort(error as Error)
    }
  }

  #isSent(body: Buffer): boolean {
    const sent = this.#outgoing.body
    return Buffer.isBuffer(sent) && sent.equals(body)
  }

  async #hear(answer: Answer): Promise<void> {
    const { way, handler } = this.#attempted
    await wayOf(answer, way).dispatch(this.#outgoing, handler)
  }

  async #send(body: Buffer): Promise<void> {
    const { way, attempt, reference } = this.#attempted
    if (attempt === maximumAttempts) throw new Ended(changedMeanwhile(reference))
    const outgoing = { ...this.#outgoing, body }
    await way.dispatch(outgoing, new Attempt({ ...this.#attempted, attempt: attempt + 1 }, outgoing))
  }
}

function changedMeanwhile(reference: string): Problem {
  const detail = `it was not done: what it changes has changed meanwhile, ${maximumAttempts} times in a row`
  return { kind: 'conflict', status: 409, detail, hint: 'Ask again.', reference }
}
