/** What is spoken by requests of HTTP, where that has words of its own: for refusals, for waiting, for whose a session is. */
import type { GuardedSession, Result } from '../../../session.ts'
import type { HeaderFields, HttpRequest } from '../request.ts'
import type { RefusedRequest } from './client.ts'
import type { Problem, Said } from './problems.ts'

/** Of one request. */
export interface Conversation {
  /** @returns the request as its target knows it; or why its session is not the asker's. */
  own(whose: Whose): Result<HttpRequest, RefusedRequest>
  /** @returns what the gateway says instead of the target; undefined where HTTP has the only words for it. */
  refusal(problem: Problem): Said | undefined
  /** The same request without what differs each time although the same is asked for. */
  readonly repeatable: HttpRequest
  /** How a client that waits for people is kept waiting; undefined where it only takes the answer itself. */
  readonly waiting: Waiting | undefined
  /** Names of what it asks for, and of what it asks for no more. */
  readonly asks: readonly string[]
  readonly cancels: readonly string[]
}

/** A stream of events, in which the answer comes at last. */
export interface Waiting {
  readonly headers: HeaderFields
  /** @param count how often it was said before. */
  still(message: string, count: number): string
  answer(body: Buffer): string
}

/** Who asks, and the secret by which it is known that something is its own. */
export interface Whose {
  readonly owner: string
  readonly key: Uint8Array
}

/** Whatever rights it has at the moment. */
export function whoseIs({ subject: { chain, resource, role }, maskKey }: GuardedSession): Whose {
  const owner = JSON.stringify([resource, role, ...chain.map(({ identity }) => identity)])
  return { owner, key: maskKey }
}
