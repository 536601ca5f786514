/** The keys of one issuer, as its discovery document names them, and tokens verified with them. */
import { createHash } from 'node:crypto'
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose'
import {
  allowInsecureRequests,
  type ClientAuth,
  type Configuration,
  customFetch,
  discovery,
  None,
} from 'openid-client'
import { type Clock, Deadline } from '../clock.ts'
import { type BoundedFetch, boundedFetch } from '../outbound/fetch.ts'
import type { Result } from '../session.ts'
import { duration } from './duration.ts'
import { algorithms, type UnverifiedToken } from './inspect.ts'
import { clockTolerance } from './match.ts'
import { misused, type Rejection, rejected, type VerifiedClaims } from './proof.ts'

/** Keys are asked for again after that, so that a removed one is forgotten. In milliseconds, as the others. */
const refreshAfter = 5 * 60_000
/** While the issuer is away its last keys are good for that long, and no longer. */
const keepFor = 60 * 60_000
/** The issuer is asked no more often than that, whatever clients present. */
const retryAfter = 10_000
const requestTimeout = 3_000
const maximumAnswer = 256 * 1024
const maximumKeys = 64

interface Keys {
  readonly find: ReturnType<typeof createLocalJWKSet>
  /** Until then they are not asked for again. */
  readonly fresh: Deadline
  /** Until then they may be used at all. */
  readonly usable: Deadline
}

export class Issuer {
  readonly url: string
  readonly #clock: Clock
  readonly #fetch: BoundedFetch
  #keys: Keys | undefined
  #askedAt = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | undefined
  #problem = ''

  /** @param ca PEM; undefined is the system's authorities. */
  constructor(url: string, ca: string | undefined, clock: Clock) {
    this.url = url
    this.#clock = clock
    this.#fetch = boundedFetch({ ca, milliseconds: requestTimeout, bytes: maximumAnswer })
  }

  /** Verifies signature and times. Who the token is for and of is another question. */
  async verify({ text }: UnverifiedToken): Promise<Result<VerifiedClaims, Rejection>> {
    if (!this.#keys || this.#keys.fresh.passed) await this.#refresh()
    let result = await this.#verifyWithKnownKeys(text)
    // a key that was made since the keys were fetched is found this way
    if (result === 'unknownKey' && (await this.#refresh())) result = await this.#verifyWithKnownKeys(text)
    if (result === 'noKeys')
      return rejected(
        'unavailable',
        `the keys of issuer ${this.url} can't be fetched: ${this.#problem}`,
        'Try again when the identity provider is back.',
      )
    if (result !== 'unknownKey') return result
    return misused('signature', `the token is signed with a key that issuer ${this.url} does not publish`)
  }

  /** The provider, as a client of its token endpoint. @throws Error when the provider can't be reached or is not valid. */
  async discover(clientId: string, authentication: ClientAuth): Promise<Configuration> {
    const insecure = this.url.startsWith('http:')
    return await discovery(new URL(this.url), clientId, undefined, authentication, {
      [customFetch]: this.#fetch,
      ...(insecure && { execute: [allowInsecureRequests] }),
    })
  }

  async #verifyWithKnownKeys(
    token: string,
  ): Promise<Result<VerifiedClaims, Rejection> | 'unknownKey' | 'noKeys'> {
    const keys = this.#keys
    if (!keys || keys.usable.passed) return 'noKeys'
    const now = this.#clock.wall()
    try {
      const { payload } = await jwtVerify(token, keys.find, {
        algorithms: [...algorithms],
        issuer: this.url,
        requiredClaims: ['sub', 'iat', 'exp'],
        currentDate: new Date(now),
        clockTolerance: clockTolerance / 1000,
      })
      return claimsOf(payload, now)
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return 'unknownKey'
      return problemOf(error, this.url, now)
    }
  }

  /** Asks for the keys, unless that was tried a moment ago. @returns whether there are new ones. */
  async #refresh(): Promise<boolean> {
    const now = this.#clock.monotonic()
    const before = this.#keys
    if (!this.#asking) {
      if (now - this.#askedAt < retryAfter) return false
      this.#askedAt = now
      this.#asking = this.#ask().finally(() => {
        this.#asking = undefined
      })
    }
    await this.#asking
    return this.#keys !== before
  }

  async #ask(): Promise<void> {
    try {
      const { jwks_uri: location } = (await this.discover('firebreak', None())).serverMetadata()
      if (location === undefined) throw new Error('its discovery document names no keys (jwks_uri)')
      const answer = await this.#fetch(location, { headers: { accept: 'application/json' } })
      if (answer.status !== 200) throw new Error(`its keys were answered with status ${answer.status}`)
      const set = publicKeys(await answer.json())
      this.#keys = {
        find: createLocalJWKSet(set),
        fresh: new Deadline(this.#clock, refreshAfter),
        usable: new Deadline(this.#clock, keepFor),
      }
    } catch (error) {
      this.#problem = deepestMessage(error)
    }
  }
}

/** One issuer and one set of authorities are one {@link Issuer}. */
export function issuerKey(url: string, ca: string | undefined): string {
  return `${url} ${createHash('sha256')
    .update(ca ?? '')
    .digest('hex')}`
}

/** What an issuer publishes that can verify a signature. */
function publicKeys(answer: unknown): JSONWebKeySet {
  const keys: unknown = typeof answer === 'object' && answer !== null && 'keys' in answer && answer.keys
  if (!Array.isArray(keys)) throw new Error('its keys are no JSON Web Key Set')
  if (keys.length > maximumKeys) throw new Error(`it publishes more than ${maximumKeys} keys`)
  return {
    keys: (keys as JSONWebKeySet['keys']).filter((key) => ['RSA', 'EC', 'OKP'].includes(key.kty ?? '')),
  }
}

/** Seconds since 1970, up to the year 9999. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < 253_402_300_800
}

function claimsOf(payload: JWTPayload, now: number): Result<VerifiedClaims, Rejection> {
  const { iss, sub, aud, iat, exp, jti } = payload
  if (typeof iss !== 'string' || typeof sub !== 'string' || !isTime(iat) || !isTime(exp))
    return misused('malformed', 'the token does not say of whom it is, or how long it is good')
  const issuedAt = iat * 1000
  if (issuedAt > now + clockTolerance)
    return misused('notYetValid', `the token was issued ${duration(issuedAt - now)} from now`, clocksHint)
  return {
    ok: true,
    value: {
      issuer: iss,
      subject: sub,
      audience: [aud ?? []].flat().filter((audience) => typeof audience === 'string'),
      issuedAt,
      expiresAt: exp * 1000 + clockTolerance,
      ...(typeof jti === 'string' && { tokenId: jti }),
      all: payload,
    },
  }
}

const clocksHint = 'Check the clocks of the issuer and of this machine.'

function problemOf(error: unknown, issuer: string, now: number): ReturnType<typeof misused> {
  if (error instanceof errors.JWTExpired) {
    const expired = now - Number(error.payload.exp) * 1000
    return misused('expired', `the token expired ${duration(expired)} ago`, 'Get a new one from its issuer.')
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason, payload } = error
    if (claim === 'nbf' && reason === 'check_failed')
      return misused(
        'notYetValid',
        `the token is not valid before ${duration(Number(payload.nbf) * 1000 - now)} from now`,
        clocksHint,
      )
    const wrong = reason === 'missing' ? 'is missing' : 'is not valid'
    return misused('claims', `the token's claim ${claim} ${wrong}`)
  }
  if (error instanceof errors.JWKSMultipleMatchingKeys)
    return misused(
      'signature',
      `the token does not say which key of issuer ${issuer} it is signed with (kid)`,
    )
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JOSEAlgNotAllowed)
    return misused('signature', `the token's signature does not fit the key of issuer ${issuer}`)
  return misused('malformed', 'the token is not well-formed')
}

export function deepestMessage(error: unknown): string {
  return deepestCause(error)?.message ?? 'unknown'
}

/** The reason that lies deepest says most: openid-client wraps what its requests fail with. */
export function deepestCause(error: unknown): Error | undefined {
  let deepest = error
  while (deepest instanceof Error && deepest.cause instanceof Error) deepest = deepest.cause
  return deepest instanceof Error ? deepest : undefined
}
