/** Tokens that the sidecar gets itself, for agents that can present none. */
import {
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  clientCredentialsGrant,
  genericGrantRequest,
  None,
} from 'openid-client'
import { type Clock, Deadline } from '../clock.ts'
import type { RootProof } from '../delegation/delegation.ts'
import type { Result } from '../session.ts'
import { inspectToken, isSignedToken } from './inspect.ts'
import type { Issuer } from './issuer.ts'
import { type Rejection, rejected, type VerifiedClaims } from './proof.ts'
import { refusalInWords } from './token-endpoint.ts'

/** What the token request is made of, secrets read. */
export interface TokenRequest {
  readonly grant: 'clientCredentials' | 'tokenExchange'
  readonly clientId: string
  readonly clientSecret?: string
  /** The token to exchange. */
  readonly subjectToken?: string
  readonly audience: string
  readonly scopes?: readonly string[]
  readonly parameters?: Readonly<Record<string, string>>
}

/** https://www.rfc-editor.org/rfc/rfc8693#section-2.1 */
const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
const jwtType = 'urn:ietf:params:oauth:token-type:jwt'

/** Asks the issuer for a token, and verifies it like one that a client presents. */
export async function requestToken(
  issuer: Issuer,
  request: TokenRequest,
): Promise<Result<VerifiedClaims, Rejection>> {
  let token: string
  try {
    token = await grantedToken(issuer, request)
  } catch (error) {
    return rejected(
      'unavailable',
      `issuer ${issuer.url} gave no token for client ${request.clientId}: ${refusalInWords(error, [request.clientSecret, request.subjectToken])}`,
      'Check spec.authentication.oidc.obtain of the AgentIdentity, and that the provider runs.',
    )
  }
  const inspected = isSignedToken(token)
    ? inspectToken(token)
    : rejected('unavailable', 'the token is not a signed one (JWT)')
  const verified = inspected.ok ? await issuer.verify(inspected.value) : inspected
  if (verified.ok) return verified
  const { message } = verified.error
  return rejected('unavailable', `the token that issuer ${issuer.url} gave can't be used: ${message}`)
}

async function grantedToken(issuer: Issuer, request: TokenRequest): Promise<string> {
  const { grant, clientId, clientSecret, subjectToken, audience, scopes, parameters } = request
  const provider = await issuer.discover(clientId, (server, client, body, headers) =>
    authenticationFor(server.token_endpoint_auth_methods_supported, clientSecret)(
      server,
      client,
      body,
      headers,
    ),
  )
  const asked = { ...(scopes && { scope: scopes.join(' ') }), ...parameters }
  const answer =
    grant === 'clientCredentials'
      ? await clientCredentialsGrant(provider, asked)
      : await genericGrantRequest(provider, tokenExchange, {
          subject_token: subjectToken ?? '',
          subject_token_type: jwtType,
          audience,
          ...asked,
        })
  return answer.access_token
}

/** Basic is what every provider has to know (RFC 6749, 2.3.1), unless it says otherwise. */
function authenticationFor(methods: readonly string[] | undefined, secret: string | undefined): ClientAuth {
  if (secret === undefined) return None()
  return !methods || methods.includes('client_secret_basic')
    ? ClientSecretBasic(secret)
    : ClientSecretPost(secret)
}

/** A token is replaced after that part of its life, as kubelet does with projected ones. */
const refreshAfter = 0.8
const firstRetry = 1_000
const longestRetry = 60_000

/** One identity's token, kept fresh. */
export class ObtainedToken {
  readonly #obtain: () => Promise<Result<RootProof, Rejection>>
  readonly #clock: Clock
  readonly #told: (outcome: Result<RootProof, Rejection>) => void
  #proof: RootProof | undefined
  #failure: Rejection | undefined
  #due: Deadline
  #retry = firstRetry
  #obtaining: Promise<void> | undefined

  /** @param told of every token, and of the first failure of several in a row. */
  constructor(
    obtain: () => Promise<Result<RootProof, Rejection>>,
    clock: Clock,
    told: (outcome: Result<RootProof, Rejection>) => void,
  ) {
    this.#obtain = obtain
    this.#told = told
    this.#clock = clock
    this.#due = new Deadline(clock, 0)
  }

  /** The last one, if it still is good. */
  get held(): RootProof | undefined {
    const { expiresAt } = this.#proof ?? {}
    return expiresAt !== undefined && expiresAt > this.#clock.wall() ? this.#proof : undefined
  }

  /** A good token; waits for the first one. */
  async current(): Promise<Result<RootProof, Rejection>> {
    if (!this.held) await this.refreshWhenDue()
    const proof = this.held
    if (proof) return { ok: true, value: proof }
    return {
      ok: false,
      error: this.#failure ?? { code: 'unavailable', message: 'the identity has no token yet' },
    }
  }

  /** Gets the next token when it is time to. The old one serves meanwhile, and after a failure for as long as it is good. */
  async refreshWhenDue(): Promise<void> {
    if (!this.#obtaining && this.#due.passed)
      this.#obtaining = this.#refresh().finally(() => {
        this.#obtaining = undefined
      })
    await this.#obtaining
  }

  async #refresh(): Promise<void> {
    const obtained = await this.#obtain()
    if (obtained.ok || !this.#failure) this.#told(obtained)
    if (obtained.ok) {
      this.#proof = obtained.value
      this.#failure = undefined
      this.#retry = firstRetry
      const life = (obtained.value.expiresAt ?? 0) - this.#clock.wall()
      this.#due = new Deadline(this.#clock, Math.max(life * refreshAfter, firstRetry))
      return
    }
    this.#failure = obtained.error
    // many sidecars that lost the same provider must not come back as one
    this.#due = new Deadline(this.#clock, this.#retry * (0.75 + Math.random() / 2))
    this.#retry = Math.min(this.#retry * 2, longestRetry)
  }
}
