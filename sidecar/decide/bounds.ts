/** What bounds a session besides decisions: how long it may live, and how much it may use. */
import { type QualifiedName, type Subject, seconds } from '@firebreak/policy'
import type { Configuration } from '../configuration/configuration.ts'
import { nameOf } from '../configuration/name.ts'
import { path } from '../delegation/delegation.ts'
import type { Proof } from '../identity/proof.ts'
import { Budget, type Share } from '../limits/budget.ts'
import type { Runtime } from '../runtime.ts'

export interface Lifetimes {
  readonly maxDuration: string
  readonly idleTimeout: string
}

const unknown: Lifetimes = { maxDuration: '1h', idleTimeout: '15m' }

/** The shortest of all who stand in the chain. */
export function lifetimesOf({ chain }: Subject, { manifests }: Configuration): Lifetimes {
  const of = (name: QualifiedName): Lifetimes =>
    manifests.identities.find((identity) => nameOf(identity) === name)?.spec.session ?? unknown
  const shorter = (a: string, b: string): string => (seconds(b) < seconds(a) ? b : a)
  return chain
    .map(({ identity }) => of(identity))
    .reduce((a, b) => ({
      maxDuration: shorter(a.maxDuration, b.maxDuration),
      idleTimeout: shorter(a.idleTimeout, b.idleTimeout),
    }))
}

/**
 * Everybody in a chain has what its own policies give it, whoever acts for it: who has delegated can't use more
 * than alone. What a delegation was given is counted by itself.
 */
export function budgetOf(
  subject: Subject,
  proof: Proof,
  { configuration, usageOf }: Pick<Runtime, 'configuration' | 'usageOf'>,
): Budget {
  const own = subject.chain.length - 1
  const shares = subject.chain.map(({ scope: _, ...principal }, index): Share => {
    const { limits } = configuration.snapshot.termsFor({ ...subject, chain: [principal] })
    const usage = usageOf(principal.identity, subject.resource)
    return index === own ? { usage, limits } : { of: principal.identity, usage, limits }
  })
  const delegations = proof.kind === 'delegation' ? path(proof.delegation) : []
  return new Budget([
    ...shares,
    ...delegations.map(({ usage, identity, scope: { limits = {} } }) => ({
      of: `what ${identity} was given`,
      usage,
      limits,
    })),
  ])
}
