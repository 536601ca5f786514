/** What the local API answers: one object per route, in a list that the server is opened with. */
import type { RequestSchema } from '@firebreak/crds'
import type { Proof } from '../identity/proof.ts'

export interface ApiRequest {
  /** Who asks, proven. `chainOf` says who stands behind it. */
  readonly caller: Proof
  /** Of the body, which fits the route's schema; undefined where it takes none. */
  readonly body: unknown
  /** What stands in the path's last segment, where the route ends with `/*`. */
  readonly name: string
  /** The client's address, or `unix`. */
  readonly remote: string
  /** UID of the client; undefined where it can't be told, as on the Unix socket. */
  readonly user: () => number | undefined
}

export interface ApiAnswer {
  readonly status: number
  /** JSON. Absent: nothing. */
  readonly body?: unknown
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** As `/v1/delegations`, or `/v1/delegations/*`. */
  readonly path: string
  /** Of the body; a route without takes none. */
  readonly schema?: RequestSchema
  handle(request: ApiRequest): Promise<ApiAnswer> | ApiAnswer
}

/** The body of every answer that is no success. */
export interface ApiError {
  readonly error: {
    readonly message: string
    readonly hint?: string
    /** Finds the matching audit line. */
    readonly reference?: string
  }
}

export function failure(status: number, message: string, more: Partial<ApiError['error']> = {}): ApiAnswer {
  return { status, body: { error: { message, ...more } } satisfies ApiError }
}
