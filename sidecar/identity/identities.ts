/** The station that proves identities, with what it remembers of issuers. */
import type { AgentIdentity } from '@firebreak/crds'
import { type QualifiedName, seconds } from '@firebreak/policy'
import type { Clock } from '../clock.ts'
import type { Configuration } from '../configuration/configuration.ts'
import { nameOf } from '../configuration/name.ts'
import { readValue } from '../configuration/values.ts'
import type { RootProof } from '../delegation/delegation.ts'
import type { Result } from '../session.ts'
import { isFixedToken, matchFixedToken } from './fixed-token.ts'
import { inspectToken, isSignedToken, type UnverifiedToken } from './inspect.ts'
import { Issuer, issuerKey } from './issuer.ts'
import { clockTolerance, matchIdentity, tokenRules } from './match.ts'
import { ObtainedToken, requestToken } from './obtain.ts'
import {
  misused,
  type OwnPod,
  type Proof,
  type Rejection,
  rejected,
  shown,
  type TokenProblem,
  type VerifiedClaims,
} from './proof.ts'
import { TokenUses } from './token-uses.ts'

/** Told of every token that was obtained, and of the first failure of several in a row. */
export type TokenListener = (identity: QualifiedName, outcome: Result<RootProof, Rejection>) => void

export class Identities {
  /** The one that this sidecar is in, in a cluster. */
  readonly pod: OwnPod | undefined
  readonly #configuration: () => Configuration
  readonly #clock: Clock
  readonly #told: TokenListener
  readonly #uses = new TokenUses()
  readonly #issuers = new Map<string, Issuer>()
  /** By identity and what it says of obtaining: a change makes a new one. */
  readonly #obtained = new Map<string, ObtainedToken>()

  /** @param configuration the one in force. @param told what comes of obtaining tokens. */
  constructor(configuration: () => Configuration, clock: Clock, told: TokenListener, pod?: OwnPod) {
    this.#configuration = configuration
    this.#clock = clock
    this.#told = told
    this.pod = pod
  }

  /** Which of the candidates a presented token proves. */
  async prove(token: string, candidates: readonly AgentIdentity[]): Promise<Result<RootProof, Rejection>> {
    const fixed = matchFixedToken(token, candidates, this.#configuration())
    if (fixed) return { ok: true, value: fixed }
    if (!isSignedToken(token))
      return misused('unknown', 'the token is not valid', "Send the identity's token as the password.")
    const inspected = inspectToken(token)
    if (!inspected.ok) return inspected
    const trusting = candidates.filter((identity) => tokenRules(identity)?.issuer === inspected.value.issuer)
    if (trusting.length === 0) return unknownIssuer(inspected.value, candidates)
    return await this.#proveWithIssuers(inspected.value, trusting)
  }

  /** The token that the sidecar got for an identity. */
  async obtained(identity: AgentIdentity): Promise<Result<RootProof, Rejection>> {
    return await this.#obtainedToken(identity).current()
  }

  /**
   * Holds a proof against the configuration in force. A token that the sidecar obtained may have been replaced.
   *
   * @returns the proof that stands now, or why there is none any more. That time passes is the session's to watch.
   */
  renewed(proof: RootProof): Result<RootProof, string> {
    const configuration = this.#configuration()
    const identity = configuration.manifests.identities.find(
      (candidate) => nameOf(candidate) === proof.identity,
    )
    if (!identity) return { ok: false, error: `the identity ${proof.identity} is gone` }
    const { loopback, oidc } = identity.spec.authentication
    const needsToken = { ok: false, error: `${proof.identity} has to prove itself by a token now` } as const
    switch (proof.kind) {
      case 'loopback':
        return loopback ? { ok: true, value: loopbackProof(identity, this.pod) } : needsToken
      case 'fixedToken':
        return isFixedToken(proof.digest, identity, configuration)
          ? { ok: true, value: { ...proof, groups: identity.spec.groups ?? [] } }
          : { ok: false, error: `the token of ${proof.identity} is not valid any more` }
      case 'obtainedToken':
        if (!oidc?.obtain) return needsToken
        return this.#stillProven(this.#obtainedToken(identity).held ?? proof, identity)
      case 'token':
        return this.#stillProven(proof, identity)
    }
  }

  /** @returns the other place that a client's token was used from before. */
  usedElsewhere(proof: Proof, remoteAddress: string): string | undefined {
    return proof.kind === 'token' ? this.#uses.used(proof.claims, remoteAddress) : undefined
  }

  /** Gets the next token for whom one is obtained, where that is due. Called every second. */
  tick(): void {
    const wanted = new Set<string>()
    for (const identity of this.#configuration().manifests.identities) {
      if (!identity.spec.authentication.oidc?.obtain) continue
      wanted.add(obtainedKey(identity))
      if (!identity.spec.suspend) void this.#obtainedToken(identity).refreshWhenDue()
    }
    for (const key of this.#obtained.keys()) if (!wanted.has(key)) this.#obtained.delete(key)
  }

  #stillProven(proof: RootProof, identity: AgentIdentity): Result<RootProof, string> {
    if (proof.kind !== 'token' && proof.kind !== 'obtainedToken') return { ok: true, value: proof }
    const again = this.#proof(proof.claims, identity, proof.kind)
    return again.ok ? again : { ok: false, error: again.error.message }
  }

  async #proveWithIssuers(
    token: UnverifiedToken,
    trusting: readonly AgentIdentity[],
  ): Promise<Result<RootProof, Rejection>> {
    const verified = new Map<Issuer, Result<VerifiedClaims, Rejection>>()
    const proofs: RootProof[] = []
    const errors: Rejection[] = []
    for (const identity of trusting) {
      const issuer = this.#issuerOf(identity)
      const claims = issuer.ok ? (verified.get(issuer.value) ?? (await issuer.value.verify(token))) : issuer
      if (issuer.ok) verified.set(issuer.value, claims)
      const proof = claims.ok ? this.#proof(claims.value, identity, 'token') : claims
      if (proof.ok) proofs.push(proof.value)
      else errors.push(proof.error)
    }
    const [proof, ...others] = proofs
    if (!proof) return { ok: false, error: closest(errors) }
    if (others.length === 0) return { ok: true, value: proof }
    return misused(
      'ambiguous',
      `the token fits several identities: ${proofs.map((candidate) => candidate.identity).join(', ')}`,
      'Tell them apart by audience, subject, claims or service accounts.',
    )
  }

  #proof(
    claims: VerifiedClaims,
    identity: AgentIdentity,
    kind: 'token' | 'obtainedToken',
  ): Result<RootProof, Rejection> {
    const groups = matchIdentity(claims, identity, this.#clock.wall())
    if (!groups.ok) return groups
    const oldest = claims.issuedAt + seconds(tokenRules(identity)?.maxTokenAge ?? '') * 1000 + clockTolerance
    const expiresAt = Math.min(claims.expiresAt, oldest)
    return { ok: true, value: { kind, identity: nameOf(identity), groups: groups.value, claims, expiresAt } }
  }

  #issuerOf(identity: AgentIdentity): Result<Issuer, Rejection> {
    const { issuer: url, ca: source } = tokenRules(identity) ?? {}
    if (url === undefined) return rejected('unavailable', `${nameOf(identity)} names no issuer`)
    const ca = source && readValue(source, identity.metadata.namespace, this.#configuration())
    if (ca && !ca.ok)
      return rejected('unavailable', `the CA of the issuer of ${nameOf(identity)} can't be read: ${ca.error}`)
    const key = issuerKey(url, ca?.value)
    let issuer = this.#issuers.get(key)
    if (!issuer) {
      issuer = new Issuer(url, ca?.value, this.#clock)
      this.#issuers.set(key, issuer)
    }
    return { ok: true, value: issuer }
  }

  #obtainedToken(identity: AgentIdentity): ObtainedToken {
    const key = obtainedKey(identity)
    let token = this.#obtained.get(key)
    if (!token) {
      // secrets and the projected token are read each time: they change by themselves
      token = new ObtainedToken(
        () => this.#obtain(identity),
        this.#clock,
        (outcome) => this.#told(nameOf(identity), outcome),
      )
      this.#obtained.set(key, token)
    }
    return token
  }

  async #obtain(identity: AgentIdentity): Promise<Result<RootProof, Rejection>> {
    const { oidc } = identity.spec.authentication
    if (!oidc?.obtain) return rejected('unavailable', `${nameOf(identity)} obtains no token`)
    const issuer = this.#issuerOf(identity)
    if (!issuer.ok) return issuer
    const { grant, clientId, clientSecret, subjectToken, scopes, parameters } = oidc.obtain
    const read = (source: NonNullable<typeof clientSecret>): Result<string, string> =>
      readValue(source, identity.metadata.namespace, this.#configuration())
    const secret = clientSecret && read(clientSecret)
    const subject = subjectToken && read(subjectToken)
    for (const value of [secret, subject])
      if (value && !value.ok)
        return rejected('unavailable', `${nameOf(identity)} can't obtain a token: ${value.error}`)
    const claims = await requestToken(issuer.value, {
      grant,
      clientId,
      audience: oidc.audience,
      ...(secret?.ok && { clientSecret: secret.value }),
      ...(subject?.ok && { subjectToken: subject.value }),
      ...(scopes && { scopes }),
      ...(parameters && { parameters }),
    })
    if (!claims.ok) return claims
    const proof = this.#proof(claims.value, identity, 'obtainedToken')
    if (proof.ok) return proof
    return rejected(
      'unavailable',
      `the token obtained for ${nameOf(identity)} is not its own: ${proof.error.message}`,
    )
  }
}

function obtainedKey(identity: AgentIdentity): string {
  return `${nameOf(identity)} ${JSON.stringify(identity.spec.authentication.oidc)}`
}

export function loopbackProof(identity: AgentIdentity, pod?: OwnPod): RootProof {
  return {
    kind: 'loopback',
    identity: nameOf(identity),
    groups: identity.spec.groups ?? [],
    ...(pod && { pod }),
  }
}

function unknownIssuer(
  { issuer }: UnverifiedToken,
  candidates: readonly AgentIdentity[],
): ReturnType<typeof misused> {
  const unset = candidates.find(
    (identity) => tokenRules(identity) && tokenRules(identity)?.issuer === undefined,
  )
  return misused(
    'issuer',
    `no identity that may be used here trusts the token's issuer ${shown(issuer)}`,
    unset &&
      `Set spec.authentication.kubernetes.issuer of ${nameOf(unset)}: only in a cluster there is a default.`,
  )
}

/** From the check that is made first to the one made last. */
const checks: readonly (TokenProblem | undefined)[] = [
  undefined,
  'issuer',
  'audience',
  'tooOld',
  'revoked',
  'subject',
  'claims',
]

/** The error of the identity that the token came closest to. */
function closest(errors: readonly Rejection[]): Rejection {
  const [first = { code: 'unauthenticated', message: 'the token is not valid' } as const] = errors
  return errors.reduce(
    (best, error) => (checks.indexOf(error.misuse) > checks.indexOf(best.misuse) ? error : best),
    first,
  )
}
