/** Who a client is. */
import type { AgentIdentity, ProtectedResource } from '@firebreak/crds'
import type { Principal, Subject } from '@firebreak/policy'
import type { Configuration } from '../configuration/configuration.ts'
import { nameOf } from '../decide/live-session.ts'
import { type Identities, loopbackProof } from '../identity/identities.ts'
import { type Proof, type Rejection, rejected } from '../identity/proof.ts'
import type { Runtime } from '../runtime.ts'
import type { Claim, Result } from '../session.ts'

/** Who asks, and what proves it. */
export interface Authenticated {
  readonly subject: Subject
  readonly proof: Proof
}

/** The identities that may use a resource, by the way in which they prove themselves here. */
export function identitiesFor(
  resource: ProtectedResource,
  { manifests }: Configuration,
): readonly AgentIdentity[] {
  return manifests.identities.filter(
    (identity) =>
      identity.metadata.namespace === resource.metadata.namespace &&
      identity.spec.access?.some((access) => access.resource === resource.metadata.name),
  )
}

/** Whether being on the loopback listener is all that an agent has to show. */
export function isLoopbackIdentity({ spec }: AgentIdentity): boolean {
  return spec.authentication.loopback !== undefined || spec.authentication.oidc?.obtain !== undefined
}

/**
 * Proves a claim and finds the role for it.
 *
 * @param onlyIdentity the identity of the loopback listener, where several could be meant.
 */
export async function authenticate(
  claim: Claim,
  resource: ProtectedResource,
  { configuration, identities, approvals }: Pick<Runtime, 'configuration' | 'identities' | 'approvals'>,
  onlyIdentity: string | undefined,
): Promise<Result<Authenticated, Rejection>> {
  const candidates = identitiesFor(resource, configuration)
  const proof =
    claim.token === undefined
      ? await byLoopback(candidates, resource, identities, onlyIdentity)
      : await identities.prove(claim.token, candidates)
  if (!proof.ok) return proof
  const identity = candidates.find((candidate) => nameOf(candidate) === proof.value.identity)
  if (!identity) return rejected('forbidden', `${proof.value.identity} may not use ${nameOf(resource)}`)
  const granted = approvals?.rolesOf(nameOf(identity), nameOf(resource)) ?? []
  const role = roleFor(claim.role, identity, resource, granted)
  if (!role.ok) return role
  if (identity.spec.suspend) return rejected('forbidden', `the identity ${nameOf(identity)} is suspended`)
  const principal: Principal = { identity: nameOf(identity), groups: proof.value.groups }
  const subject: Subject = { chain: [principal], resource: nameOf(resource), role: role.value }
  return { ok: true, value: { subject, proof: proof.value } }
}

async function byLoopback(
  candidates: readonly AgentIdentity[],
  resource: ProtectedResource,
  identities: Identities,
  onlyIdentity: string | undefined,
): Promise<Result<Proof, Rejection>> {
  const trusted = candidates.filter(
    (identity) =>
      isLoopbackIdentity(identity) && (onlyIdentity === undefined || identity.metadata.name === onlyIdentity),
  )
  const [identity, ...others] = trusted
  if (!identity) return rejected('unauthenticated', `no identity may use ${nameOf(resource)} without a token`)
  if (others.length > 0) {
    const names = trusted.map((candidate) => candidate.metadata.name).join(', ')
    return rejected(
      'unauthenticated',
      `several identities could be meant: ${names}`,
      'Start the gateway with --identity NAME.',
    )
  }
  return identity.spec.authentication.loopback
    ? { ok: true, value: loopbackProof(identity) }
    : await identities.obtained(identity)
}

/** The client's user name is the role's. Where there is only one role to have, any name will do: clients send their login's. */
function roleFor(
  asked: string | undefined,
  identity: AgentIdentity,
  resource: ProtectedResource,
  granted: readonly string[],
): Result<string, Rejection> {
  const roles =
    identity.spec.access?.find((access) => access.resource === resource.metadata.name)?.roles ?? []
  const [only] = roles
  if (asked !== undefined && [...roles, ...granted].includes(asked)) return { ok: true, value: asked }
  if (only !== undefined && roles.length === 1) return { ok: true, value: only }
  return rejected(
    'forbidden',
    `${nameOf(identity)} has no role ${asked ?? ''} of ${nameOf(resource)}`,
    `Use one of these as the user name: ${roles.join(', ')}.`,
  )
}
