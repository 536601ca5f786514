/** What detectors are told of, and what they say. */
import type { Decision, QualifiedName } from '@firebreak/policy'
import type { Outcome } from '../session.ts'
import type { Traits } from './traits.ts'

/** Both clocks, at the moment of an event. In milliseconds. */
export interface Now {
  /** Since 1970. */
  readonly wall: number
  /** Never goes back. */
  readonly monotonic: number
}

/** A command whose outcome is known. */
export interface CommandEvent {
  readonly kind: 'command'
  /** Of its audit line. */
  readonly reference: string
  readonly resource: QualifiedName
  readonly role: string
  /** People have granted more rights for now. */
  readonly elevated: boolean
  readonly decision: Decision
  readonly outcome: Outcome
  /** People have agreed to this very command. */
  readonly approved: boolean
  readonly traits: Traits
  /** With the {@link parameters} it tells one read from another. */
  readonly text: string
  readonly parameters: readonly (string | null)[]
}

export type SignalEvent =
  | CommandEvent
  /** People are asked for something, or have denied it. */
  | { readonly kind: 'asked' | 'denied'; readonly request: string; readonly signature: string }
  /** A token that proves nothing, or not what it is shown for. */
  | {
      readonly kind: 'misuse'
      readonly of: 'token' | 'delegation'
      readonly weight: MisuseWeight
      readonly reference: string
      readonly words: string
    }
  /** A contained agent tried to leave its pod. */
  | { readonly kind: 'egress'; readonly what: string; readonly words: string }
  /** How many rows there are about in something that {@link SizeWanted} asked for; undefined when nobody knows. */
  | {
      readonly kind: 'size'
      readonly resource: QualifiedName
      readonly object: string
      readonly rows: number | undefined
    }

/**
 * - `late`: a token whose time is over, or has not come: every agent has one, sooner or later, and tries on with it.
 * - `ordinary`: what also happens to an honest agent, but not all the time.
 * - `grave`: what never does.
 */
export type MisuseWeight = 'late' | 'ordinary' | 'grave'

export interface Finding {
  readonly kind: 'finding'
  /** It is told, and nothing is taken for it, whatever the policy's action is. */
  readonly onlyTold?: boolean
  /** A sentence without its subject: `was denied 10 different things within 10m: …`. */
  readonly explanation: string
  /** References of audit lines, or names of approval requests. The oldest first. */
  readonly evidence: readonly string[]
}

/** A detector can say more once it knows how large something is. */
export interface SizeWanted {
  readonly kind: 'sizeWanted'
  readonly object: string
}

export interface Detector {
  observe(event: SignalEvent, now: Now): Finding | SizeWanted | undefined
}
