/** What proves who a client is, and why it does not. */
import type { QualifiedName } from '@firebreak/policy'
import type { ProofLine } from '../audit/lines.ts'
import type { Chain, Delegation } from '../delegation/delegation.ts'
import type { Refusal } from '../session.ts'

/** What an issuer says in a token whose signature fits. Times in milliseconds since 1970. */
export interface VerifiedClaims {
  readonly issuer: string
  readonly subject: string
  readonly audience: readonly string[]
  readonly issuedAt: number
  readonly expiresAt: number
  /** `jti`. */
  readonly tokenId?: string
  /** Everything the token says. */
  readonly all: Readonly<Record<string, unknown>>
}

/** The pod that this sidecar is in. */
export interface OwnPod {
  readonly name: string
  readonly uid: string
}

interface Proven {
  readonly identity: QualifiedName
  /** The identity's own and the token's. */
  readonly groups: readonly string[]
  /** When it stops to prove anything, in milliseconds since 1970. Absent: it does not by itself. */
  readonly expiresAt?: number
}

/**
 * - `loopback`: being on the loopback listener; `pod` is where that is, in a cluster.
 * - `fixedToken`: the token of the manifest; only its digest is kept.
 * - `token`: a token of an issuer, presented by the client.
 * - `obtainedToken`: one that the sidecar got itself; it is replaced before it expires.
 * - `delegation`: the token of a delegation; the chain is all who stand behind it, with the identity last.
 */
export type Proof =
  | (Proven & { readonly kind: 'loopback'; readonly pod?: OwnPod })
  | (Proven & { readonly kind: 'fixedToken'; readonly digest: Buffer })
  | (Proven & { readonly kind: 'token' | 'obtainedToken'; readonly claims: VerifiedClaims })
  | (Proven & { readonly kind: 'delegation'; readonly delegation: Delegation; readonly chain: Chain })

/** What is wrong with a token that a client presented. */
export type TokenProblem =
  | 'unknown'
  | 'oversized'
  | 'malformed'
  | 'algorithm'
  | 'type'
  | 'issuer'
  | 'signature'
  | 'expired'
  | 'notYetValid'
  | 'tooOld'
  | 'revoked'
  | 'audience'
  | 'subject'
  | 'claims'
  | 'ambiguous'
  /** A delegation's token of another process. */
  | 'otherSidecar'
  /** A delegation's token after its end. */
  | 'ended'
  /** A child shows the token of one who stands before it in the chain. */
  | 'parentsToken'
  /** A delegation's token in the hands of another user of this system. */
  | 'otherUser'
  /** A child asks for a resource or role that was not passed on to it. */
  | 'beyondScope'

export interface Rejection extends Omit<Refusal, 'reference'> {
  /** Set when a token was presented and proves nothing. */
  readonly misuse?: TokenProblem
  /** Of the delegation whose token it was. */
  readonly chain?: readonly QualifiedName[]
  /** Whose token it is, where that is proven all the same. */
  readonly identity?: QualifiedName
}

export function rejected(
  code: Rejection['code'],
  message: string,
  hint?: string,
): { readonly ok: false; readonly error: Rejection } {
  return { ok: false, error: { code, message, ...(hint !== undefined && { hint }) } }
}

export function misused(
  misuse: TokenProblem,
  message: string,
  hint?: string,
): { readonly ok: false; readonly error: Rejection & { readonly misuse: TokenProblem } } {
  return {
    ok: false,
    error: { code: 'unauthenticated', message, misuse, ...(hint !== undefined && { hint }) },
  }
}

/** Who stands behind a proof, with the one that it proves last. */
export function chainOf(proof: Proof): Chain {
  return proof.kind === 'delegation' ? proof.chain : [{ identity: proof.identity, groups: proof.groups }]
}

/** Names of a token that are shown to people: short, and nothing that a terminal would take for a command. */
export function shown(name: string): string {
  const plain = name.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, '?')
  return plain.length > 120 ? `${plain.slice(0, 120)}…` : plain
}

/** What the audit trail says of a proof: enough to find the token at its issuer, and nothing that it could be used with. */
export function describeProof(proof: Proof): ProofLine {
  if (proof.kind === 'delegation') {
    const { id, expiresAt, root } = proof.delegation
    return {
      kind: proof.kind,
      tokenId: id,
      expiresAt: new Date(expiresAt).toISOString(),
      root: describeProof(root),
    }
  }
  if (proof.kind === 'loopback') return { kind: proof.kind, ...(proof.pod && { pod: proof.pod }) }
  if (proof.kind === 'fixedToken') return { kind: proof.kind }
  const { issuer, subject, tokenId, issuedAt, all } = proof.claims
  return {
    kind: proof.kind,
    issuer,
    subject,
    tokenId,
    issuedAt: new Date(issuedAt).toISOString(),
    expiresAt: new Date(proof.expiresAt ?? 0).toISOString(),
    pod: podOf(all),
  }
}

/** The pod that a service account token is bound to: `{name, uid}` of the `kubernetes.io` claim. */
function podOf({ 'kubernetes.io': bound }: VerifiedClaims['all']): unknown {
  return typeof bound === 'object' && bound !== null && 'pod' in bound ? bound.pod : undefined
}
