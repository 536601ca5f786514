/** Recorded responses of each protocol, as people are to see them. */
import type { ResourceType } from '@firebreak/policy'
import { ResponseText } from './http/replay/decode.ts'
import { ResponseDecoder } from './postgresql/replay/decode.ts'

/** What a client was shown. */
export type Shown =
  | { readonly kind: 'columns'; readonly columns: readonly { readonly name: string }[] }
  /** Values as text; bytes that are none in hexadecimal, `\x…`; null is SQL NULL. */
  | { readonly kind: 'row'; readonly values: readonly (string | null)[] }
  /** Data in bulk, as it was sent. */
  | { readonly kind: 'copied'; readonly bytes: Buffer }
  /** In the target's words, such as `SELECT 5`. */
  | { readonly kind: 'complete'; readonly tag: string }
  | {
      readonly kind: 'error' | 'notice'
      readonly severity: string
      readonly code: string
      readonly message: string
      readonly detail?: string
      readonly hint?: string
    }
  /** Bytes that no server sends. */
  | { readonly kind: 'unreadable'; readonly problem: string }

/** Takes a session's responses in order. */
export interface ResponseReplay {
  push(bytes: Buffer): Iterable<Shown>
  /** What comes next doesn't go on where the last bytes ended. */
  cut(): void
}

const byType: Partial<Record<ResourceType, () => ResponseReplay>> = {
  postgresql: () => new ResponseDecoder(),
  http: () => new ResponseText(),
  kubernetes: () => new ResponseText(),
}

/** @returns undefined where responses of the protocol can't be shown. */
export function replayOf(type: ResourceType): ResponseReplay | undefined {
  return byType[type]?.()
}
