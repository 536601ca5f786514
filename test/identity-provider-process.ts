/** A real OpenID provider in a process of its own, for tests: `identity-provider.ts` starts it and talks to it. */
import { createServer } from 'node:http'
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import Provider, { type ClientMetadata, type Configuration, errors, type ResourceServer } from 'oidc-provider'

export interface ProviderSettings {
  readonly port: number
  /** Private keys; their public parts are published. */
  readonly keys: JSONWebKeySet
  readonly audience: string
  /** Of all clients that have one. */
  readonly clientSecret: string
  /** Of whom tokens are taken in exchange. */
  readonly subjectTokenKeys: JSONWebKeySet
}

/** What tokens say from now on. */
export interface TokenSettings {
  readonly groups: readonly string[]
  readonly seconds: number
  readonly claims?: Readonly<Record<string, unknown>>
}

export type ToProvider =
  | { readonly kind: 'start'; readonly settings: ProviderSettings }
  | { readonly kind: 'tokens'; readonly tokens: TokenSettings }
  | { readonly kind: 'requests' }

export type FromProvider =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'done' }
  | { readonly kind: 'requests'; readonly paths: readonly string[] }

/** An API whose tokens say nothing by themselves: it asks the provider what each is good for. */
export const introspectingApi = 'https://crm.example'
const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange'

let tokens: TokenSettings = { groups: ['support'], seconds: 600 }
const paths: string[] = []

const tell = (message: FromProvider): void => void process.send?.(message)

process.on('message', (message: ToProvider) => {
  if (message.kind === 'start') start(message.settings)
  else if (message.kind === 'requests') tell({ kind: 'requests', paths })
  else {
    tokens = message.tokens
    tell({ kind: 'done' })
  }
})
process.on('disconnect', () => process.exit())

function start(settings: ProviderSettings): void {
  const server = createServer()
  const listen = (): void => void server.listen(settings.port, '127.0.0.1')
  // somebody else's connection may have the port that it had, for a moment
  server.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE') throw error
    setTimeout(listen, 100)
  })
  server.once('listening', () => {
    const address = server.address()
    const port = typeof address === 'object' && address ? address.port : 0
    const provider = providerFor(settings, `http://127.0.0.1:${port}`)
    const handle = provider.callback()
    server.on('request', (request, response) => {
      paths.push(request.url ?? '')
      void handle(request, response)
    })
    tell({ kind: 'listening', port })
  })
  listen()
}

/** The provider itself: whoever calls this gives it a server. */
export function providerFor(
  { keys, audience, clientSecret, subjectTokenKeys }: Omit<ProviderSettings, 'port'>,
  issuer: string,
): Provider {
  const client = (id: string, more: Partial<ClientMetadata>): ClientMetadata => ({
    client_id: id,
    grant_types: ['client_credentials', exchange],
    redirect_uris: [],
    response_types: [],
    ...more,
  })
  const resourceServer = (indicator = audience): ResourceServer =>
    ({
      scope: 'commands',
      audience: indicator,
      accessTokenFormat: indicator === introspectingApi ? 'opaque' : 'jwt',
      accessTokenTTL: tokens.seconds,
      jwt: { sign: { alg: keys.keys[0]?.alg } },
    }) as ResourceServer
  const configuration: Configuration = {
    jwks: keys as Configuration['jwks'],
    clients: [
      client('support-bot', { client_secret: clientSecret }),
      client('crm-agent', { client_secret: clientSecret }),
      client('with-post', { client_secret: clientSecret, token_endpoint_auth_method: 'client_secret_post' }),
      client('public', { token_endpoint_auth_method: 'none' }),
    ],
    scopes: ['commands'],
    extraTokenClaims: () => ({
      groups: tokens.groups,
      realm_access: { roles: tokens.groups },
      ...tokens.claims,
    }),
    ttl: { ClientCredentials: () => tokens.seconds, AccessToken: () => tokens.seconds },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_context, { clientId }) => (clientId === 'crm-agent' ? introspectingApi : audience),
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, indicator) => resourceServer(indicator),
      },
    },
  }
  const provider = new Provider(issuer, configuration)
  provider.registerGrantType(
    exchange,
    async (ctx) => {
      const { client: asking } = ctx.oidc
      const params = (ctx.oidc.params ?? {}) as Readonly<Record<string, unknown>>
      if (!asking) throw new errors.InvalidClient('no client')
      const verified = await jwtVerify(
        String(params.subject_token),
        createLocalJWKSet(subjectTokenKeys),
      ).catch((error: Error) => {
        // as careless as some providers are: the error repeats the token
        throw new errors.CustomOIDCProviderError(
          'invalid_grant',
          `${error.message}: ${String(params.subject_token)}`,
        )
      })
      const token = new provider.AccessToken({
        client: asking,
        accountId: verified.payload.sub ?? '',
        grantId: 'exchanged',
        gty: 'token_exchange',
        scope: 'commands',
      } as unknown as ConstructorParameters<typeof provider.AccessToken>[0])
      token.resourceServer = new provider.ResourceServer(String(params.audience), resourceServer())
      ctx.body = {
        access_token: await token.save(),
        issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        token_type: 'Bearer',
        expires_in: token.expiration,
      }
    },
    ['subject_token', 'subject_token_type', 'audience', 'scope'],
  )
  return provider
}
