/** Who a client is. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { AgentIdentity, ProtectedResource } from '@firebreak/crds'
import type { Principal, Subject } from '@firebreak/policy'
import type { Configuration } from '../configuration/configuration.ts'
import { readValue } from '../configuration/values.ts'
import { nameOf } from '../decide/live-session.ts'
import type { Claim, Refusal, Result } from '../session.ts'

export type Rejection = Omit<Refusal, 'reference'>

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

/**
 * Proves a claim and finds the role for it.
 *
 * @param onlyIdentity the identity of the loopback listener, where several could be meant.
 */
export function authenticate(
  claim: Claim,
  resource: ProtectedResource,
  configuration: Configuration,
  onlyIdentity: string | undefined,
): Result<Subject, Rejection> {
  const candidates = identitiesFor(resource, configuration)
  const identity =
    claim.token === undefined
      ? byLoopback(candidates, resource, onlyIdentity)
      : byToken(claim.token, candidates, configuration)
  if (!identity.ok) return identity
  const role = roleFor(claim.role, identity.value, resource)
  if (!role.ok) return role
  if (identity.value.spec.suspend)
    return rejected('forbidden', `the identity ${nameOf(identity.value)} is suspended`)
  const principal: Principal = { identity: nameOf(identity.value), groups: identity.value.spec.groups ?? [] }
  return { ok: true, value: { chain: [principal], resource: nameOf(resource), role: role.value } }
}

function byLoopback(
  candidates: readonly AgentIdentity[],
  resource: ProtectedResource,
  onlyIdentity: string | undefined,
): Result<AgentIdentity, Rejection> {
  const trusted = candidates.filter(
    (identity) =>
      identity.spec.authentication.loopback &&
      (onlyIdentity === undefined || identity.metadata.name === onlyIdentity),
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
  return { ok: true, value: identity }
}

/** Every token is compared, in constant time, so that neither which nor how much of one fits can be measured. */
function byToken(
  token: string,
  candidates: readonly AgentIdentity[],
  configuration: Configuration,
): Result<AgentIdentity, Rejection> {
  const presented = digest(token)
  let found: AgentIdentity | undefined
  for (const identity of candidates) {
    const source = identity.spec.authentication.token
    const expected = source && readValue(source, identity.metadata.namespace, configuration)
    if (expected?.ok && expected.value !== '' && timingSafeEqual(digest(expected.value), presented))
      found ??= identity
  }
  return found
    ? { ok: true, value: found }
    : rejected('unauthenticated', 'the token is not valid', "Send the identity's token as the password.")
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** The client's user name is the role's. Where there is only one role to have, any name will do: clients send their login's. */
function roleFor(
  asked: string | undefined,
  identity: AgentIdentity,
  resource: ProtectedResource,
): Result<string, Rejection> {
  const roles =
    identity.spec.access?.find((access) => access.resource === resource.metadata.name)?.roles ?? []
  const [only] = roles
  if (asked !== undefined && roles.includes(asked)) return { ok: true, value: asked }
  if (only !== undefined && roles.length === 1) return { ok: true, value: only }
  return rejected(
    'forbidden',
    `${nameOf(identity)} has no role ${asked ?? ''} of ${nameOf(resource)}`,
    `Use one of these as the user name: ${roles.join(', ')}.`,
  )
}

function rejected(
  code: Rejection['code'],
  message: string,
  hint?: string,
): { readonly ok: false; readonly error: Rejection } {
  return { ok: false, error: { code, message, ...(hint !== undefined && { hint }) } }
}
