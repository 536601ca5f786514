import type { Command } from './command.ts'

/** `namespace/name` of a resource of the API. */
export type QualifiedName = `${string}/${string}`

/** One link of a delegation chain: who, and the groups that were proven for it. */
export interface Principal {
  readonly identity: QualifiedName
  readonly groups: readonly string[]
}

/** Who asks, on whose behalf, for what. Fixed for the life of a session. */
export interface Subject {
  /** From the first delegator to the one who acts now; the last one is the session's identity. Never empty. */
  readonly chain: readonly [Principal, ...Principal[]]
  readonly resource: QualifiedName
  readonly role: string
}

export interface RuleReference {
  readonly policy: QualifiedName
  readonly rule: string
}

/** How a masked value is to look. Pure data; `applyMask` gives it meaning, the protocol gives it bytes. */
export type MaskStrategy =
  | { readonly kind: 'redact' }
  | { readonly kind: 'null' }
  | { readonly kind: 'partial'; readonly keepLast: number }
  | { readonly kind: 'hash' }
  | { readonly kind: 'format'; readonly format: 'email' | 'phone' | 'card' | 'ssn' }

export interface FieldMask {
  readonly strategy: MaskStrategy
  readonly rule: RuleReference
}

export interface ApprovalTerms {
  readonly groups: readonly string[]
  readonly quorum: number
  readonly expiresAfterSeconds: number
  /** `wait`: the client waits. `fail`: it is told at once that a request is pending. */
  readonly whileWaiting: 'wait' | 'fail'
}

interface Explained {
  /** The rule that decided; absent where no rule did (nothing allows it, no policy applies). */
  readonly rule?: RuleReference
  /** One sentence for the person who is refused, without the rule's name. */
  readonly reason: string
  /** The policy author's own words (`message`). */
  readonly hint?: string
  /** What of the command the rule matched: `sql:drop on table public.users`. */
  readonly matched: readonly string[]
  /** Rules with effect `alert` that matched as well. */
  readonly alerts: readonly RuleReference[]
  /** Something that a mask rule is about is touched: what the target says in errors may quote it. */
  readonly touchesMasked: boolean
  /** Of the snapshot that decided. */
  readonly revision: string
}

export type Decision =
  | (Explained & {
      readonly effect: 'allow'
      /** Aligned with {@link Command.fields}; `undefined` = passes unmasked. Empty when nothing is masked. */
      readonly masks: readonly (FieldMask | undefined)[]
    })
  | (Explained & { readonly effect: 'deny' })
  | (Explained & {
      readonly effect: 'hold'
      readonly approval: ApprovalTerms
      readonly masks: readonly (FieldMask | undefined)[]
    })

/** The strictest of all policies that apply to a session; absent = unlimited. */
export interface Limits {
  readonly rowsPerCommand?: number
  readonly rowsPerHour?: number
  readonly bytesPerCommand?: number
  readonly bytesPerHour?: number
  readonly commandsPerMinute?: number
  readonly commandSeconds?: number
}

export type DetectorKind = 'card' | 'ssn' | 'email' | 'iban' | 'cloud-key' | 'jwt' | 'private-key'

/** What holds for a whole session under one revision, whatever its commands. */
export interface SessionTerms {
  readonly limits: Limits
  /** Value detectors that run over text the classification doesn't cover. Empty = off. */
  readonly detectors: readonly DetectorKind[]
  /** Whether any mask rule could apply: if so errors, notices and the like have to be scrubbed where they may quote. */
  readonly masks: boolean
  readonly audit: {
    readonly text: 'full' | 'normalized' | 'digest'
    readonly onFailure: 'block' | 'spool'
  }
  readonly revision: string
}

/** What the policy says, compiled once and asked per command. Immutable; a change makes a new one. */
export interface PolicySnapshot {
  /** Short digest of everything that went into it. */
  readonly revision: string
  decide(subject: Subject, command: Command): Decision
  termsFor(subject: Subject): SessionTerms
}
