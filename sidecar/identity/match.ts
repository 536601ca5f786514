/** Verified claims × an AgentIdentity: is this token this identity? Pure. */
import type { AgentIdentity } from '@firebreak/crds'
import { seconds } from '@firebreak/policy'
import type { Result } from '../session.ts'
import { duration } from './duration.ts'
import { misused, type Rejection, shown, type VerifiedClaims } from './proof.ts'

/** How far the clocks of an issuer and of this machine may be apart. In milliseconds. */
export const clockTolerance = 30_000

/** More could not be told apart by people, and a token that leaves some out could dodge a deny. */
const maximumGroups = 256

type Mismatch = { readonly ok: false; readonly error: Rejection }

/** The part of an identity that says which tokens are its own. */
export function tokenRules(
  identity: AgentIdentity,
): AgentIdentity['spec']['authentication']['kubernetes'] | undefined {
  const { kubernetes, oidc } = identity.spec.authentication
  return kubernetes ?? oidc
}

/**
 * @param now milliseconds since 1970.
 * @returns the groups that the token proves, or why it is not this identity's.
 */
export function matchIdentity(
  claims: VerifiedClaims,
  identity: AgentIdentity,
  now: number,
): Result<readonly string[], Rejection> {
  const rules = tokenRules(identity)
  if (!rules || rules.issuer !== claims.issuer)
    return misused('issuer', `the token's issuer is ${shown(claims.issuer)}, not ${rules?.issuer ?? 'known'}`)
  return (
    wrongAudience(claims, rules.audience) ??
    tooOld(claims, rules.maxTokenAge, rules.issuedAfter, now) ??
    (identity.spec.authentication.kubernetes
      ? matchServiceAccount(claims, identity)
      : matchOidc(claims, identity))
  )
}

function wrongAudience({ audience }: VerifiedClaims, expected: string): Mismatch | undefined {
  if (audience.includes(expected)) return undefined
  const named = audience.length === 0 ? 'nobody' : shown(audience.join(', '))
  return misused('audience', `the token is for audience ${named}, not ${expected}`)
}

function tooOld(
  { issuedAt }: VerifiedClaims,
  maxTokenAge: string,
  issuedAfter: string | undefined,
  now: number,
): Mismatch | undefined {
  const age = now - issuedAt
  if (age > seconds(maxTokenAge) * 1000 + clockTolerance)
    return misused('tooOld', `the token was issued ${duration(age)} ago; it may be ${maxTokenAge} old`)
  // a time that can't be read revokes everything
  if (issuedAfter !== undefined && !(issuedAt >= Date.parse(issuedAfter)))
    return misused('revoked', `the token was revoked with all that were issued before ${issuedAfter}`)
  return undefined
}

/** https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens */
function matchServiceAccount(
  { subject }: VerifiedClaims,
  { metadata, spec }: AgentIdentity,
): Result<readonly string[], Rejection> {
  const accounts = spec.workload?.serviceAccounts ?? []
  const allowed = accounts.map((account) => `system:serviceaccount:${metadata.namespace}:${account}`)
  if (allowed.includes(subject)) return { ok: true, value: spec.groups ?? [] }
  return misused(
    'subject',
    `the token is of ${shown(subject)}, which is no service account of ${metadata.namespace}/${metadata.name}`,
    accounts.length === 0 ? 'Name its service accounts in spec.workload.serviceAccounts.' : undefined,
  )
}

function matchOidc(
  { subject, all }: VerifiedClaims,
  { spec }: AgentIdentity,
): Result<readonly string[], Rejection> {
  const { oidc } = spec.authentication
  if (!oidc) return misused('issuer', 'the identity takes no tokens of an OpenID provider')
  if (oidc.subject !== undefined && subject !== oidc.subject)
    return misused('subject', `the token's subject is ${shown(subject)}, not ${oidc.subject}`)
  for (const [path, expected] of Object.entries(oidc.claims ?? {})) {
    const value = claimAt(all, path)
    const fits = Array.isArray(value) ? value.includes(expected) : value === expected
    if (!fits) return misused('claims', `the token's claim ${path} is not ${expected}`)
  }
  const groups = groupsAt(all, oidc.groupsClaim)
  return groups.ok ? { ok: true, value: [...new Set([...(spec.groups ?? []), ...groups.value])] } : groups
}

function groupsAt(all: VerifiedClaims['all'], path: string): Result<readonly string[], Rejection> {
  const left = all._claim_names
  if (typeof left === 'object' && left !== null && Object.hasOwn(left, path))
    return misused(
      'claims',
      `the token leaves its ${path} out because there are too many`,
      'Let the provider put only the groups that policies name into the token.',
    )
  const value = claimAt(all, path)
  if (value === undefined) return { ok: true, value: [] }
  const groups = typeof value === 'string' ? [value] : value
  if (!Array.isArray(groups) || !groups.every((group) => typeof group === 'string' && group !== ''))
    return misused('claims', `the token's claim ${path} is not a list of names`)
  if (groups.length > maximumGroups)
    return misused('claims', `the token has ${groups.length} groups; ${maximumGroups} are the most`)
  return { ok: true, value: groups as string[] }
}

/** A claim by its name, as `https://example.com/groups`, or by the way to it, as `realm_access.roles`. */
export function claimAt(all: Readonly<Record<string, unknown>>, path: string): unknown {
  if (Object.hasOwn(all, path)) return all[path]
  let value: unknown = all
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Readonly<Record<string, unknown>>)[name]
  }
  return value
}
