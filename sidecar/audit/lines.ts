/** The form of the audit trail's lines. docs/audit.md says what the fields mean. */
import type { Decision, QualifiedName, Scope } from '@firebreak/policy'
import type { TokenProblem } from '../identity/proof.ts'
import type { Outcome } from '../session.ts'
import { cutText, lineLengths } from './lengths.ts'

/** Fields that are undefined are not written. */
export interface CommandLine {
  readonly reference: string
  readonly session: string
  readonly identity: QualifiedName
  readonly chain: readonly QualifiedName[] | undefined
  readonly resource: QualifiedName
  readonly role: string
  readonly text: string | undefined
  /** Characters at its end that are not in it, as of the others values. */
  readonly textLeftOut: number | undefined
  readonly parameters: readonly (string | null)[] | undefined
  readonly parametersLeftOut: number | undefined
  readonly digest: string
  readonly actions: readonly string[]
  readonly objects: readonly string[]
  readonly objectsLeftOut: number | undefined
  readonly opaque: readonly string[] | undefined
  readonly opaqueLeftOut: number | undefined
  readonly decision: Decision['effect']
  readonly policy: QualifiedName | undefined
  readonly rule: string | undefined
  readonly reason: string | undefined
  readonly alerts: readonly string[] | undefined
  readonly revision: string
  readonly rows: number
  readonly bytes: number
  readonly masked: readonly string[] | undefined
  readonly maskedLeftOut: number | undefined
  readonly milliseconds: number
  readonly approval: string | undefined
  readonly error: ErrorLine | undefined
}

export interface ErrorLine {
  readonly code: string
  readonly message?: string
  /** Characters at its end that are not in it. */
  readonly messageLeftOut?: number | undefined
}

export interface SessionLine {
  readonly session: string
  readonly identity: QualifiedName
  readonly chain: readonly QualifiedName[] | undefined
  readonly resource: QualifiedName
  readonly role: string
  readonly remote: string
}

/** What the line of a session's start says besides. */
export interface SessionStart {
  readonly proof: ProofLine
}

/** What proved the identity: enough to find a token at its issuer, and nothing that it could be used with. */
export interface ProofLine {
  readonly kind: string
  readonly issuer?: string
  readonly subject?: string
  readonly tokenId?: string | undefined
  readonly issuedAt?: string
  readonly expiresAt?: string
  /** Name and UID of the pod that a service account token is bound to. */
  readonly pod?: unknown
  /** Of a delegation: what proved the first of its chain. */
  readonly root?: ProofLine
}

/** What the line of a session's end says besides. */
export interface SessionEnd {
  readonly commands: number
  readonly seconds: number
  /** Why the gateway ended it, if it was the gateway. */
  readonly reason?: string
}

/** What happened to an approval request. */
export interface ApprovalLine {
  readonly request: string | undefined
  /** Of the command's own line. */
  readonly reference?: string | undefined
  readonly identity?: string
  readonly chain?: readonly string[] | undefined
  readonly resource?: string
  readonly role?: string
  /** What it is bound to, as it stands in the request. */
  readonly digest?: string | undefined
  readonly actions?: readonly string[] | undefined
  readonly objects?: readonly string[] | undefined
  /** The rights that are asked for. */
  readonly elevation?: unknown
  /** What a signal has taken, and is asked to be given back. */
  readonly resumption?: unknown
  readonly justification?: string | undefined
  /** `namespace/policy/rule` of the rules that ask. */
  readonly rules?: readonly string[]
  readonly state?: string | undefined
  readonly grantedUntil?: string | undefined
  /** Who decided, or tried to. */
  readonly by?: string | undefined
  readonly groups?: readonly string[] | undefined
  readonly verdict?: 'Approved' | 'Denied' | undefined
  readonly reason?: string | undefined
}

export type ApprovalEventName =
  | `approval.${'requested' | 'decided' | 'refused' | 'used' | 'withdrawn' | 'expired' | 'unsaved'}`
  | `elevation.${'granted' | 'ended'}`

/** What a parent passed on, or tried to. */
export interface DelegationLine {
  /** Absent where there is none, since it was refused. */
  readonly delegation?: string
  /** The child. */
  readonly identity: QualifiedName
  /** With the child last. */
  readonly chain: readonly QualifiedName[]
  readonly scope?: Scope
  readonly expiresAt?: string
  /** UID of the system's user that the child runs as. */
  readonly user?: number
  /** The client's address. */
  readonly remote?: string
  readonly reason?: string
  readonly reference?: string
}

/** A session's own account in the target. */
export interface AccountLine {
  readonly session: string
  readonly resource: QualifiedName
  readonly role: string
  readonly account: string
}

/** Lines that are about no session. */
export interface Notices extends Readonly<Record<ApprovalEventName, ApprovalLine>> {
  /** The first line of each run. */
  readonly 'audit.start': {
    /** Version of the program. */
    readonly program: string
    readonly host: string
    readonly process: number
    /** The last line of the run before, to which this one is tied. */
    readonly after?: { readonly source: string; readonly seq: number }
  }
  /** The last line of a run that came to its end. */
  readonly 'audit.end': object
  /** There was no room for some lines, where policies allow that they are dropped. */
  readonly 'audit.dropped': {
    /** That has not got them. */
    readonly sink: string
    readonly count: number
    /** First and last number of each run of them; empty where it is not known which they are. */
    readonly lines: readonly (readonly [number, number])[]
  }
  readonly 'session.refused': {
    readonly reference: string
    readonly resource: QualifiedName
    readonly remote: string
    readonly role?: string | undefined
    readonly reason: string | undefined
    /** What was wrong with the token, if one was presented. */
    readonly problem?: string | undefined
    /** Of the delegation whose token it was. */
    readonly chain?: readonly QualifiedName[] | undefined
  }
  /** Of the local API. */
  readonly 'request.refused': {
    readonly reference: string
    readonly remote: string
    readonly reason: string
    readonly problem?: string | undefined
    readonly chain?: readonly QualifiedName[] | undefined
  }
  readonly 'delegation.issued': DelegationLine
  /** Asked for, and not given. */
  readonly 'delegation.refused': DelegationLine
  /** Ended before its time, with all below it. */
  readonly 'delegation.revoked': DelegationLine
  /** Something worth an alert. */
  readonly signal: {
    readonly kind: string
    readonly severity: 'low' | 'high' | 'critical'
    /** What was wrong with a token. */
    readonly problem?: TokenProblem
    readonly explanation: string
    readonly reference?: string
    readonly session?: string
    readonly identity?: QualifiedName
    readonly resource?: QualifiedName
    readonly remote?: string
    /** The approval request that it is about. */
    readonly request?: string
    readonly chain?: readonly QualifiedName[]
    /** Whose `signals` it is one of, or whose rule. */
    readonly policy?: QualifiedName
    /** With effect alert. */
    readonly rule?: string
    /** What the policy lets happen. */
    readonly action?: 'alert' | 'requireApproval' | 'suspend'
    /** References of the lines that it was seen in, or names of approval requests; the oldest first. */
    readonly evidence?: readonly string[]
  }
  /** The sidecar got a token for an identity. */
  readonly 'token.obtained': { readonly identity: QualifiedName; readonly proof: ProofLine }
  /** The first failure of several in a row. */
  readonly 'token.failed': { readonly identity: QualifiedName; readonly reason: string }
  /** Another password or account was given out for a role than before. */
  readonly 'credential.rotated': {
    readonly resource: QualifiedName
    readonly role: string
  }
  readonly 'account.made': AccountLine
  readonly 'account.dropped': AccountLine
  /** A session's own account could not be dropped. */
  readonly 'account.left': AccountLine & { readonly reason: string }
  /** Something that left the agent's pod without being allowed to, or tried. */
  readonly 'egress.refused': {
    /** The agent's. */
    readonly identity: QualifiedName
    readonly kind: 'connection' | 'name' | 'datagrams'
    /** `address:port` that was asked for. */
    readonly destination?: string
    /** Name and type that were asked for, as `example.com A`. */
    readonly name?: string
    readonly reason: string
    /** How many, where one line stands for several. */
    readonly count?: number
  }
  /** A webhook could not be told. */
  readonly 'notification.lost': {
    /** The event. */
    readonly notification: string
    readonly request?: string | undefined
    readonly reason: string
  }
  /** A resource classifies what it doesn't have, which is known once it was reached. */
  readonly 'classification.unmatched': {
    readonly resource: QualifiedName
    /** The name, as it is classified. */
    readonly classified: string
    /** `file:line` of it. */
    readonly place: string
    /** What may have been meant. */
    readonly suggestion?: string | undefined
  }
  /** A session is recorded from now on. */
  readonly 'recording.started': {
    readonly session: string
    /** The public key that signs it. */
    readonly signer: string
    readonly place: string
    /** Who can see what masks hid, where that is kept. */
    readonly unmasked?: readonly string[]
  }
  /** All of it is written. */
  readonly 'recording.ended': {
    readonly session: string
    readonly bytes: number
    readonly blocks: number
    readonly commands: number
    /** Of its last head. */
    readonly hash: string
  }
  /** It has reached its largest size. */
  readonly 'recording.limit': {
    readonly session: string
    readonly bytes: number
    /** What becomes of the session. */
    readonly consequence: 'ends' | 'continues'
  }
  /** Its place takes nothing, or can't be looked at. */
  readonly 'recording.failed': { readonly session?: string; readonly reason: string }
  readonly 'recording.recovered': { readonly session: string }
  /** It, or the rest of it, could not be written. */
  readonly 'recording.lost': {
    readonly session: string
    readonly reason: string
    readonly consequence: 'ends' | 'continues'
  }
  /** What stays of it. */
  readonly 'recording.deleted': {
    readonly session: string
    readonly reason: string
    readonly bytes: number
    readonly startedAt?: string
    readonly identity?: QualifiedName
    readonly resource?: QualifiedName
    readonly role?: string
  }
  readonly 'configuration.applied': {
    readonly revision: string
    /** The revision that it replaces. */
    readonly before?: string
  }
  readonly 'configuration.refused': {
    /** The revision that stays in force. */
    readonly revision: string
    readonly problems: readonly string[]
  }
}

/** @returns the error as far as it may stand in a line: messages quote constants, and may be as long as the target likes. */
export function errorFor(error: Outcome['error'], withConstants: boolean): ErrorLine | undefined {
  if (!error) return undefined
  const code = cutText(error.code, lineLengths.code).text
  if (!withConstants) return { code }
  const { text: message, leftOut: messageLeftOut } = cutText(error.message, lineLengths.message)
  return { code, message, messageLeftOut }
}
