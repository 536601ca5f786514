/** Who a client is. */
import type { AgentIdentity, ProtectedResource } from '@firebreak/crds'
import type { PolicySnapshot, Subject } from '@firebreak/policy'
import type { Configuration } from '../configuration/configuration.ts'
import { nameOf } from '../configuration/name.ts'
import type { Chain } from '../delegation/delegation.ts'
import { isDelegationToken } from '../delegation/token.ts'
import { type Identities, loopbackProof } from '../identity/identities.ts'
import { chainOf, misused, type Proof, type Rejection, rejected, shown } from '../identity/proof.ts'
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

/** What a user name asks for: a role, and where an at sign follows, whom the client says to be. */
export function splitUser(
  user: string | undefined,
  { spec }: ProtectedResource,
): { readonly role?: string; readonly identity?: string } {
  if (user === undefined) return {}
  const at = user.lastIndexOf('@')
  if (at < 0 || spec.roles.some(({ name }) => name === user)) return { role: user }
  return { identity: user.slice(at + 1), ...(at > 0 && { role: user.slice(0, at) }) }
}

/**
 * Proves a claim and finds the role for it.
 *
 * @param onlyIdentity the identity of the loopback listener, where several could be meant.
 * @param user UID of the client on this host; undefined where it can't be told.
 */
export async function authenticate(
  claim: Claim,
  resource: ProtectedResource,
  runtime: Pick<Runtime, 'configuration' | 'identities' | 'approvals' | 'delegations'>,
  onlyIdentity: string | undefined,
  user: () => number | undefined = () => undefined,
): Promise<Result<Authenticated, Rejection>> {
  const candidates = identitiesFor(resource, runtime.configuration)
  const proof = await prove(claim.token, candidates, runtime, () =>
    byLoopback(candidates, nameOf(resource), runtime.identities, onlyIdentity),
  )
  if (!proof.ok) return proof
  const asked = splitUser(claim.role, resource)
  const stranger = notTheOneNamed(asked.identity, proof.value, runtime)
  if (stranger) return stranger
  const contradiction = runtime.delegations.open.contradiction(proof.value, user)
  if (contradiction) return { ok: false, error: { ...contradiction, identity: proof.value.identity } }
  const identity = candidates.find((candidate) => nameOf(candidate) === proof.value.identity)
  if (!identity) return rejected('forbidden', `${proof.value.identity} may not use ${nameOf(resource)}`)
  const granted = runtime.approvals?.rolesOf(nameOf(identity), nameOf(resource)) ?? []
  const chain = chainOf(proof.value)
  const role = roleFor(asked.role, identity, chain, resource, granted, runtime.configuration.snapshot)
  if (!role.ok) return role
  if (identity.spec.suspend) return rejected('forbidden', `the identity ${nameOf(identity)} is suspended`)
  const subject: Subject = { chain, resource: nameOf(resource), role: role.value }
  return { ok: true, value: { subject, proof: proof.value } }
}

/** Who presents a token, or none. @param withoutToken what being here proves. */
export async function prove(
  token: string | undefined,
  candidates: readonly AgentIdentity[],
  { identities, delegations }: Pick<Runtime, 'identities' | 'delegations'>,
  withoutToken: () => Promise<Result<Proof, Rejection>>,
): Promise<Result<Proof, Rejection>> {
  if (token === undefined) return await withoutToken()
  return isDelegationToken(token) ? await delegations.prove(token) : await identities.prove(token, candidates)
}

/** A client that says to be a child and shows the token of one before it has what was never meant for it. */
function notTheOneNamed(
  named: string | undefined,
  proof: Proof,
  { delegations }: Pick<Runtime, 'delegations'>,
): { readonly ok: false; readonly error: Rejection } | undefined {
  const { identity } = proof
  const namespace = identity.slice(0, identity.indexOf('/'))
  if (named === undefined || identity === `${namespace}/${named}`) return undefined
  const { error } = delegations.open.isAncestor(identity, `${namespace}/${named}`)
    ? misused('parentsToken', `${shown(named)} presents the token of ${identity}, which has delegated to it`)
    : misused('subject', `the token is of ${identity}, not of ${shown(named)}`)
  return { ok: false, error: { ...error, identity } }
}

/** Who a client on this host is that shows nothing. @param what that it wants to use. */
export async function byLoopback(
  candidates: readonly AgentIdentity[],
  what: string,
  identities: Identities,
  onlyIdentity: string | undefined,
): Promise<Result<Proof, Rejection>> {
  const trusted = candidates.filter(
    (identity) =>
      isLoopbackIdentity(identity) && (onlyIdentity === undefined || identity.metadata.name === onlyIdentity),
  )
  const [identity, ...others] = trusted
  if (!identity) return rejected('unauthenticated', `no identity may use ${what} without a token`)
  if (others.length > 0) {
    const names = trusted.map((candidate) => candidate.metadata.name).join(', ')
    return rejected(
      'unauthenticated',
      `several identities could be meant: ${names}`,
      'Start the gateway with --identity NAME.',
    )
  }
  return identity.spec.authentication.loopback
    ? { ok: true, value: loopbackProof(identity, identities.pod) }
    : await identities.obtained(identity)
}

/** The client's user name is the role's. Where there is only one role to have, any name will do: clients send their login's. */
function roleFor(
  asked: string | undefined,
  identity: AgentIdentity,
  chain: Chain,
  resource: ProtectedResource,
  granted: readonly string[],
  snapshot: PolicySnapshot,
): Result<string, Rejection> {
  const own = identity.spec.access?.find((access) => access.resource === resource.metadata.name)?.roles ?? []
  // of several, a delegation or missing groups may leave one
  const left = own.filter(
    (role) => snapshot.refusal({ chain, resource: nameOf(resource), role }) === undefined,
  )
  const roles = left.length > 0 ? left : own
  const [only] = roles
  if (asked !== undefined && [...own, ...granted].includes(asked)) return { ok: true, value: asked }
  if (only !== undefined && roles.length === 1) return { ok: true, value: only }
  return rejected(
    'forbidden',
    `${nameOf(identity)} has no role ${asked ?? ''} of ${nameOf(resource)}`,
    `Use one of these as the user name: ${roles.join(', ')}.`,
  )
}
