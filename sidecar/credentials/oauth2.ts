/** Access tokens by OAuth 2.0's client credentials: https://www.rfc-editor.org/rfc/rfc6749#section-4.4 */
import type { ProtectedResource } from '@firebreak/crds'
import {
  allowInsecureRequests,
  ClientSecretBasic,
  ClientSecretPost,
  Configuration,
  clientCredentialsGrant,
  customFetch,
} from 'openid-client'
import { refusalInWords } from '../identity/token-endpoint.ts'
import { boundedFetch, shownAddress } from '../outbound/fetch.ts'
import type { Credential, Result } from '../session.ts'

const bounds = { milliseconds: 10_000, bytes: 64 * 1024 }
/** Room for a signed one with many claims; servers take heads of 8 to 64 KiB. */
const maximumToken = 16 * 1024

/** How tokens are asked for, as the manifest says. */
export type OAuth2 = NonNullable<
  NonNullable<NonNullable<ProtectedResource['spec']['http']>['authentication']>['oauth2']
>

export interface GrantedToken {
  readonly token: string
  /** How long it is good, in milliseconds; absent where the endpoint doesn't say. */
  readonly life?: number
}

/** @param ca authorities to verify the endpoint with, instead of the system's. Errors name no secret. */
export async function askForToken(
  { tokenUrl, scopes, audience, clientAuthentication }: OAuth2,
  { username, password = '' }: Credential,
  ca: string | undefined,
): Promise<Result<GrantedToken, string>> {
  if (!URL.canParse(tokenUrl)) return { ok: false, error: 'the URL of the token endpoint is not valid' }
  const failed = (reason: string): Result<never, string> => ({
    ok: false,
    error: `the token endpoint ${shownAddress(tokenUrl)} gave no token: ${reason}`,
  })
  const authentication = clientAuthentication === 'post' ? ClientSecretPost : ClientSecretBasic
  try {
    const endpoint = new Configuration(
      { issuer: new URL(tokenUrl).origin, token_endpoint: tokenUrl },
      username,
      undefined,
      authentication(password),
    )
    endpoint[customFetch] = boundedFetch({ ca, ...bounds })
    // boundedFetch says where this is
    if (tokenUrl.startsWith('http:')) allowInsecureRequests(endpoint)
    const answer = await clientCredentialsGrant(endpoint, {
      ...(scopes && { scope: scopes.join(' ') }),
      ...(audience !== undefined && { audience }),
    })
    const { access_token: token, token_type: type, expires_in: seconds } = answer
    if (type !== 'bearer') return failed('what it gave is no bearer token')
    if (token.length > maximumToken || !/^[\x21-\x7e]+$/.test(token))
      return failed('what it gave can not stand in a header')
    return { ok: true, value: { token, ...(seconds !== undefined && { life: seconds * 1_000 }) } }
  } catch (error) {
    return failed(refusalInWords(error, [password]))
  }
}
