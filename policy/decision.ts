import type { Command, Source } from './command.ts'
import type { RecordingTerms } from './recording.ts'
import type { SignalRule } from './signals.ts'

/** `namespace/name` of a resource of the API. */
export type QualifiedName = `${string}/${string}`

/** One link of a delegation chain: who, the groups that were proven for it, and what was taken from or added to its rights. */
export interface Principal {
  readonly identity: QualifiedName
  readonly groups: readonly string[]
  /** What the link before passed on, where that is less than the identity's own rights. */
  readonly scope?: Scope
  /** What people granted to this link, for as long as this principal stands. */
  readonly elevations?: readonly Elevation[]
}

/** Narrows rights when they are delegated. An absent list narrows nothing. */
export interface Scope {
  readonly resources?: readonly QualifiedName[]
  readonly roles?: readonly string[]
  /** Patterns as in a rule's match: `sql:select`, `sql:*`. */
  readonly actions?: readonly string[]
  /** Patterns as in a rule's match: `public.orders`. Together with `actions`, both must fit. */
  readonly objects?: readonly string[]
  readonly limits?: Limits
}

/** A window of more rights. Its actions need no allow rule and no approval; a deny stays a deny. */
export interface Elevation {
  /** Name of the ApprovalRequest. */
  readonly request: string
  /** The policy's elevation that it was granted by. */
  readonly rule: RuleReference
  readonly role?: string
  readonly actions?: readonly string[]
  /** Absent: everything. */
  readonly objects?: readonly string[]
}

/** What a policy lets be asked for, for a while. */
export interface ElevationOffer {
  readonly rule: RuleReference
  readonly roles?: readonly string[]
  readonly actions?: readonly string[]
  /** Absent: everything. */
  readonly objects?: readonly string[]
  readonly maxDuration: string
  readonly requirement: ApprovalRequirement
  /** How long the request stands. */
  readonly expiresAfterSeconds: number
  /** Granted at once, and as loud as can be. */
  readonly breakGlass: boolean
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

/** Who has to agree for one rule that holds a command. */
export interface ApprovalRequirement {
  readonly rule: RuleReference
  /** An approver must have one of them. Empty: whoever has the right to approve. */
  readonly groups: readonly string[]
  readonly quorum: number
}

export interface ApprovalTerms {
  /** All of them must be satisfied; never empty. */
  readonly requirements: readonly ApprovalRequirement[]
  readonly expiresAfterSeconds: number
  /** `wait`: the client waits. `fail`: it is told at once that a request is pending. */
  readonly whileWaiting: 'wait' | 'fail'
  /** Who may use the approval: any session of the same chain and role, or only the one that asked. */
  readonly boundTo: 'identity' | 'session'
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
      /** Classified data that the response shows as it is; absent when there is none. */
      readonly unmasked?: readonly Source[]
    })
  | (Explained & {
      readonly effect: 'deny'
      /** It is denied because masked data would show that masking can't cover. */
      readonly byMask?: true
    })
  | (Explained & {
      readonly effect: 'hold'
      readonly approval: ApprovalTerms
      readonly masks: readonly (FieldMask | undefined)[]
      readonly unmasked?: readonly Source[]
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
  /** Patterns to watch for; of all links of the chain. */
  readonly signals: readonly SignalRule[]
  readonly audit: {
    readonly text: 'full' | 'normalized' | 'digest'
    readonly onFailure: 'block' | 'spool' | 'drop'
  }
  readonly recording: RecordingTerms
  readonly revision: string
}

/** At least one of the two. */
export interface SignalScope {
  readonly identity?: QualifiedName | undefined
  readonly resource?: QualifiedName | undefined
}

/** What the policy says, compiled once and asked per command. Immutable; a change makes a new one. */
export interface PolicySnapshot {
  /** Short digest of everything that went into it. */
  readonly revision: string
  /** Why this subject may have no session at all: someone of its chain is gone, suspended or has no such access. */
  refusal(subject: Subject): string | undefined
  decide(subject: Subject, command: Command): Decision
  termsFor(subject: Subject): SessionTerms
  /** What the one who acts may ask for, by the policies that apply to it. */
  elevationsFor(subject: Subject): readonly ElevationOffer[]
  /** Patterns to watch for where there is no session: of all policies that may be about an identity, or about anybody in a resource. */
  signalsFor(about: SignalScope): readonly SignalRule[]
}
