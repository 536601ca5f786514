/** What the audit trail says of delegations. Never a token. */
import type { QualifiedName } from '@firebreak/policy'
import type { DelegationLine, Notices } from '../audit/lines.ts'
import { newReference } from '../audit/reference.ts'
import { chainInWords, chainOf, type Delegation, type Delegator, identitiesOf } from './delegation.ts'

export function lineOf(delegation: Delegation): DelegationLine {
  const { id, identity, scope, expiresAt, user } = delegation
  return {
    delegation: id,
    identity,
    chain: chainOf(delegation),
    scope,
    expiresAt: new Date(expiresAt).toISOString(),
    ...(user !== undefined && { user }),
  }
}

type RefusalLine = DelegationLine & Required<Pick<DelegationLine, 'reference' | 'reason' | 'remote'>>

export function refusalLine(
  by: Delegator,
  identity: QualifiedName,
  reason: string,
  remote: string,
): RefusalLine {
  return { reference: newReference(), identity, chain: [...identitiesOf(by), identity], remote, reason }
}

/** Somebody asked for more than it may pass on. */
export function refusalSignal(
  by: Delegator,
  { reference, identity, chain, remote, reason }: RefusalLine,
): Notices['signal'] {
  const parents = identitiesOf(by)
  const parent = parents.at(-1)
  return {
    kind: 'delegationMisuse',
    // who proved itself may have made a mistake; a child was told what it has
    severity: by.kind === 'child' ? 'high' : 'low',
    reference,
    ...(parent !== undefined && { identity: parent }),
    chain,
    remote,
    explanation: `${chainInWords(parents)} tried to pass on to ${identity} more than it may: ${reason}.`,
  }
}
