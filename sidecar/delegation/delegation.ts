/** What a parent has passed on to a child. */
import type { Principal, QualifiedName, Scope } from '@firebreak/policy'
import type { Deadline } from '../clock.ts'
import type { Proof } from '../identity/proof.ts'
import type { Usage } from '../limits/usage.ts'

export type Chain = readonly [Principal, ...Principal[]]

/** What proves somebody who was not delegated to. */
export type RootProof = Exclude<Proof, { readonly kind: 'delegation' }>

/** One delegation. It stands in memory only: a token is worth no more than this. */
export interface Delegation {
  /** The `jti` of its token. */
  readonly id: string
  /** The delegation that the parent acts by; absent where the parent proved itself. */
  readonly parent: Delegation | undefined
  /** What proved the first of the chain. */
  readonly root: RootProof
  /** The child. */
  readonly identity: QualifiedName
  /** All that narrows the child, with what it has from the delegations before. */
  readonly scope: Scope
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  readonly window: Deadline
  /** All that was used by it, and by those below it. */
  readonly usage: Usage
  /** UID of the system's user that the child runs as, where the parent says so: nobody else is taken for it, nor it for somebody else. */
  readonly user?: number
  /** Why it is over, once it is. */
  ended?: string
}

/** Who asks for a delegation: somebody who proved itself, or the child of one. */
export type Delegator =
  | { readonly kind: 'root'; readonly proof: RootProof }
  | { readonly kind: 'child'; readonly delegation: Delegation }

/** From the first delegation to this one. */
export function path(delegation: Delegation): readonly Delegation[] {
  return delegation.parent ? [...path(delegation.parent), delegation] : [delegation]
}

/** Who stands behind a delegation, the child last. */
export function chainOf(delegation: Delegation): readonly QualifiedName[] {
  return [delegation.root.identity, ...path(delegation).map(({ identity }) => identity)]
}

export function identitiesOf(delegator: Delegator): readonly QualifiedName[] {
  return delegator.kind === 'root' ? [delegator.proof.identity] : chainOf(delegator.delegation)
}

/** `orchestrator → planner → sql-worker`. */
export function chainInWords(identities: readonly QualifiedName[]): string {
  return identities.map((identity) => identity.slice(identity.indexOf('/') + 1)).join(' → ')
}
