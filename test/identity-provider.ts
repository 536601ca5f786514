/** Starts a real OpenID provider (`oidc-provider`) for tests, and makes tokens that no honest one would. */
import { fork } from 'node:child_process'
import { type CryptoKey, exportJWK, generateKeyPair, type JSONWebKeySet, type JWK, SignJWT } from 'jose'
import type {
  FromProvider,
  ProviderSettings,
  TokenSettings,
  ToProvider,
} from './identity-provider-process.ts'
import { Program } from './program.ts'

export const audience = 'https://firebreak.example'
export const clientSecret = 'client-secret-that-nobody-may-see'

export interface SigningKey {
  readonly id: string
  readonly privateKey: CryptoKey
  readonly publicKey: CryptoKey
  /** With the private part. */
  readonly jwk: JWK
}

export async function makeKey(id: string, algorithm = 'RS256'): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true })
  const jwk = { ...(await exportJWK(privateKey)), kid: id, alg: algorithm, use: 'sig' }
  return { id, privateKey, publicKey, jwk }
}

export class IdentityProvider implements AsyncDisposable {
  keys: readonly SigningKey[]
  /** Signs the tokens that are given in exchange, as a cluster does with projected ones. */
  readonly clusterKey: SigningKey
  #port = 0
  #process: Program | undefined

  static async start(): Promise<IdentityProvider> {
    const provider = new IdentityProvider([await makeKey('first')], await makeKey('cluster'))
    await provider.comeBack()
    return provider
  }

  private constructor(keys: readonly SigningKey[], clusterKey: SigningKey) {
    this.keys = keys
    this.clusterKey = clusterKey
  }

  get issuer(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Starts the process, on the same port as before, with the keys as they are now. */
  async comeBack(): Promise<void> {
    this.#process = new Program(
      fork(new URL('identity-provider-process.ts', import.meta.url), {
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      }),
    )
    const settings: ProviderSettings = {
      port: this.#port,
      keys: { keys: this.keys.map(({ jwk }) => jwk) } as JSONWebKeySet,
      audience,
      clientSecret,
      subjectTokenKeys: { keys: [await publicPart(this.clusterKey)] } as JSONWebKeySet,
    }
    const answer = await this.#ask({ kind: 'start', settings })
    if (answer.kind === 'listening') this.#port = answer.port
  }

  async goAway(): Promise<void> {
    await this.#process?.end('SIGKILL')
    this.#process = undefined
  }

  /** What tokens say from now on, and how long they are good. */
  async setTokens(tokens: TokenSettings): Promise<void> {
    await this.#ask({ kind: 'tokens', tokens })
  }

  /** Paths that were asked for since the process started. */
  async requests(): Promise<readonly string[]> {
    const answer = await this.#ask({ kind: 'requests' })
    return answer.kind === 'requests' ? answer.paths : []
  }

  /** A token as an agent gets it, by client credentials. */
  async token(): Promise<string> {
    const response = await fetch(`${this.issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`support-bot:${clientSecret}`)}` },
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
    })
    const { access_token: token } = (await response.json()) as { access_token: string }
    return token
  }

  /** A token with claims of our choice, in seconds from now where they are times. */
  async mint(
    claims: Readonly<Record<string, unknown>> = {},
    {
      key = this.keys[0],
      header = {},
      now = Date.now() / 1000,
      expiresIn = 600,
      issuedAgo = 1,
    }: MintOptions = {},
  ): Promise<string> {
    if (!key) throw new Error('there is no key')
    return await new SignJWT({
      iss: this.issuer,
      sub: 'support-bot',
      aud: audience,
      iat: Math.floor(now - issuedAgo),
      exp: Math.floor(now + expiresIn),
      groups: ['support'],
      ...claims,
    })
      .setProtectedHeader({ alg: String(key.jwk.alg), kid: key.id, ...header })
      .sign(key.privateKey)
  }

  /** Whether a token that says nothing by itself is good, as an API asks. */
  async isActive(token: string): Promise<boolean> {
    const answer = await this.#askAbout(token, 'introspection')
    return ((await answer.json()) as { active: boolean }).active
  }

  async revoke(token: string): Promise<void> {
    await this.#askAbout(token, 'revocation')
  }

  async #askAbout(token: string, endpoint: 'introspection' | 'revocation'): Promise<Response> {
    return await fetch(`${this.issuer}/token/${endpoint}`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`crm-agent:${clientSecret}`)}` },
      body: new URLSearchParams({ token }),
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.goAway()
  }

  async #ask(message: ToProvider): Promise<FromProvider> {
    if (!this.#process) throw new Error('the provider is away')
    const answer = this.#process.message()
    this.#process.send(message)
    return (await answer) as FromProvider
  }
}

export interface MintOptions {
  readonly key?: SigningKey | undefined
  readonly header?: Readonly<Record<string, unknown>>
  readonly now?: number
  readonly expiresIn?: number
  readonly issuedAgo?: number
}

async function publicPart({ publicKey, jwk }: SigningKey): Promise<JWK> {
  return { ...(await exportJWK(publicKey)), kid: String(jwk.kid), alg: String(jwk.alg), use: 'sig' }
}
