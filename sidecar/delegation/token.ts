/** Tokens of delegations: signed with a key that this process alone holds, and that ends with it. */
import { randomUUID } from 'node:crypto'
import { errors, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import type { Clock } from '../clock.ts'
import { isSignedToken, jsonObject, maximumTokenLength } from '../identity/inspect.ts'
import { misused, type Rejection } from '../identity/proof.ts'
import type { Result } from '../session.ts'
import { type Chain, type Delegation, path } from './delegation.ts'

/** Explicit typing (RFC 8725, 3.11): nobody else's token is one of these, nor the other way round. */
const type = 'firebreak-delegation+jwt'
/** RFC 9864: Ed25519 by its own name, so that no other curve fits. */
const algorithm = 'Ed25519'
const issuerPrefix = 'urn:firebreak:sidecar:'

type SigningKey = Awaited<ReturnType<typeof generateKeyPair>>

export class DelegationTokens {
  /** This process: issuer and audience of every token. */
  readonly instance = `${issuerPrefix}${randomUUID()}`
  readonly #clock: Clock
  #key: Promise<SigningKey> | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async sign(delegation: Delegation, chain: Chain): Promise<string> {
    const { privateKey } = await this.#keys()
    return await new SignJWT({
      chain: chain.map(({ identity, groups, scope }) => ({ identity, groups, ...(scope && { scope }) })),
      ...(delegation.parent && { parent: delegation.parent.id }),
      depth: path(delegation).length,
    })
      .setProtectedHeader({ alg: algorithm, typ: type })
      .setIssuer(this.instance)
      .setAudience(this.instance)
      .setSubject(delegation.identity)
      .setJti(delegation.id)
      .setIssuedAt(Math.floor(this.#clock.wall() / 1_000))
      .setExpirationTime(Math.floor(delegation.expiresAt / 1_000))
      .sign(privateKey)
  }

  /** @returns the id of the delegation that a token was made for. Whether it still stands is another question. */
  async verify(token: string): Promise<Result<string, Rejection>> {
    const unverified = token.length <= maximumTokenLength && readToken(token)
    if (!unverified) return misused('malformed', 'the delegation token is not well-formed')
    const { header, payload } = unverified
    if (header.alg !== algorithm)
      return misused('algorithm', `the delegation token's algorithm is not ${algorithm}`)
    if (header.typ !== type) return misused('type', 'the token is of a type that is not for this')
    if (payload.iss !== this.instance)
      return misused(
        'otherSidecar',
        'the delegation token was issued by another sidecar, or before this one was started',
        'Ask the parent for a new one.',
      )
    const { publicKey } = await this.#keys()
    try {
      const { payload: verified } = await jwtVerify(token, publicKey, {
        algorithms: [algorithm],
        typ: type,
        issuer: this.instance,
        audience: this.instance,
        requiredClaims: ['sub', 'jti', 'iat', 'exp'],
        currentDate: new Date(this.#clock.wall()),
      })
      return { ok: true, value: verified.jti ?? '' }
    } catch (error) {
      return problemOf(error)
    }
  }

  /** Made when it is needed first. */
  #keys(): Promise<SigningKey> {
    this.#key ??= generateKeyPair(algorithm)
    return this.#key
  }
}

/** Whether a token claims to be a delegation's, by its type or its issuer. Nothing else is believed of it. */
export function isDelegationToken(token: string): boolean {
  if (token.length > maximumTokenLength || !isSignedToken(token)) return false
  const parts = readToken(token)
  if (!parts) return false
  const { typ } = parts.header
  const { iss } = parts.payload
  return (
    (typeof typ === 'string' && typ.toLowerCase() === type) ||
    (typeof iss === 'string' && iss.startsWith(issuerPrefix))
  )
}

type Json = Readonly<Record<string, unknown>>

function readToken(token: string): { readonly header: Json; readonly payload: Json } | undefined {
  const [head = '', body = ''] = token.split('.')
  const header = jsonObject(head)
  const payload = jsonObject(body)
  return header && payload && { header, payload }
}

function problemOf(error: unknown): ReturnType<typeof misused> {
  if (error instanceof errors.JWTExpired)
    return misused('expired', 'the delegation has expired', 'Ask the parent for a new one.')
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'aud')
    return misused('audience', 'the delegation token is not for this sidecar')
  if (error instanceof errors.JWTClaimValidationFailed)
    return misused('claims', `the delegation token's claim ${error.claim} is not valid`)
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return misused('signature', "the delegation token's signature does not fit")
  return misused('malformed', 'the delegation token is not well-formed')
}
