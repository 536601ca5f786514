/**
 * A request and its response as they are decided, read and masked: what the exchange of bytes and the meaning of a
 * request (of any HTTP API, or of one that is known better) have in common.
 */
import type { Command, DetectorKind, Fact, FieldMask, IndirectUse, Touch } from '@firebreak/policy'
import type { Result } from '../../session.ts'
import type { Whose } from './exchange/conversation.ts'

/** Name in lower case and value, in the order of arrival. */
export type HeaderFields = readonly (readonly [name: string, value: string])[]

/** The path in its one form: the one that is decided on is the one that is forwarded. */
export interface CanonicalPath {
  /** As it is forwarded, `/users/a%2Fb`. Begins with a slash; unreserved characters are never encoded. */
  readonly text: string
  /** Decoded, `['users', 'a/b']`. Never empty; the root is `['']`, and what ends in a slash ends in an empty segment. */
  readonly segments: readonly string[]
  /** What a server could take it for that is more lenient than the standard; without {@link segments}, never `.` or `..`. */
  readonly otherReadings: readonly (readonly string[])[]
}

export interface QueryParameter {
  readonly name: string
  readonly value: string
}

/** A request without its body, after what is the agent's own towards the gateway was taken out. */
export interface RequestHead {
  /** In upper case. */
  readonly method: string
  readonly path: CanonicalPath
  /** Without its question mark; empty where there is none. As it is forwarded. */
  readonly query: string
  /** Decoded as forms are, in order; names may come twice. */
  readonly parameters: readonly QueryParameter[]
  readonly headers: HeaderFields
}

/** A request whose body was read as a whole, as far as its meaning depends on it. */
export interface HttpRequest extends RequestHead {
  /** As it came, before Content-Encoding is undone. Absent where nobody asked for it. */
  readonly body?: Buffer
}

/** What is known of a request beside its method and path. Touches come on top of those of method and path. */
export interface Understanding {
  readonly touches: readonly Touch[]
  /** Other names of what method and path do, `openapi:deleteUser`: what their touches are `also` called. */
  readonly also?: readonly string[]
  /** Why it could do more than the touches say, in words for people. */
  readonly opaque: readonly string[]
  readonly indirectUses: readonly IndirectUse[]
  /** By family: `http`, `graphql` … */
  readonly facts: Readonly<Record<string, Readonly<Record<string, Fact>>>>
}

/** One way of understanding requests: by an OpenAPI document, as GraphQL, as MCP. Pure. */
export interface RequestAnalysis {
  /** It goes by method, path and query alone, and what else names a method: what it says can be remembered by these. */
  readonly byLine?: true
  /**
   * How many bytes of the body it has to see to understand a request; a longer body is refused.
   *
   * @returns undefined where it has nothing to say about the request, 0 where the head is enough.
   */
  needs(head: RequestHead): number | undefined
  /** @param request with its body, where {@link needs} was more than 0. */
  understand(request: HttpRequest): Understanding
}

/**
 * The mask of a value in a document, by the names that lead to it from the root: `['customer', 'email']`. The elements
 * of a list have the path of the list.
 */
export type MaskOf = (path: readonly string[]) => FieldMask | undefined

/** The same object for all bodies that it holds for: what is found out for one is remembered with it. */
export interface BodyTerms {
  readonly maskOf: MaskOf
  /** Whether {@link maskOf} may have a mask for anything: if so, what has no fields to go by is refused. */
  readonly masksFields: boolean
  /** Run over all text that carries no mask. */
  readonly detectors: readonly DetectorKind[]
  /** Secret of the installation that keyed hashes and kept formats are made with. */
  readonly maskKey: Uint8Array
  /** Who asks: what a body or its head gives to it is nobody else's. */
  readonly whose: Whose
  /** Whether policy may let a command run, now or once people agree. */
  readonly allows: (command: Command) => boolean
}

export interface ResponseHead {
  readonly status: number
  /** Without what is about one connection. */
  readonly headers: HeaderFields
}

/** What a body may be compressed by. */
export type ContentCoding = 'gzip' | 'deflate' | 'br' | 'zstd'

/** Masks one response while it passes, in bounded memory. */
export interface BodyMask {
  /** What has to go out instead of the head that came: length, digests, encoding. */
  readonly head: ResponseHead
  /** What has to be undone first, in this order (`bodyStages` does); what goes out is not compressed. */
  readonly codings: readonly ContentCoding[]
  /** @returns what can go out now; or why the rest can't be masked with certainty. The bytes may be used again by the caller. */
  push(chunk: Buffer): Result<readonly Buffer[], string>
  end(): Result<readonly Buffer[], string>
  /** Labels of what was masked so far. */
  readonly masked: readonly string[]
}

/** @returns a mask for the response to a request; or why its body can't be looked into. */
export type OpenBodyMask = (
  request: HttpRequest,
  response: ResponseHead,
  terms: BodyTerms,
) => Result<BodyMask, string>
