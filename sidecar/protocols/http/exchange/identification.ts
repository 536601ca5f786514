/** Who a request says to be from. */
import type { Result } from '../../../session.ts'
import { headerOf } from '../head/head.ts'
import type { HeaderFields } from '../request.ts'

export interface Identification {
  readonly role?: string
  readonly token?: string
}

/** Room for a signed token. */
const maximumTokenLength = 32 * 1024

/**
 * The role stands in Firebreak-Role, or is the user name of Basic. The token is a bearer's, or the password of Basic, in
 * Proxy-Authorization or else in Authorization.
 *
 * @param asksForToken whether a client of that role has to show one; otherwise what it shows says nothing.
 * @returns why there is none, in words.
 */
export function identify(
  headers: HeaderFields,
  asksForToken: (role: string | undefined) => boolean,
): Result<Identification, string> {
  const shown = readAuthorization(
    headerOf(headers, 'proxy-authorization') ?? headerOf(headers, 'authorization'),
  )
  const named = headerOf(headers, 'firebreak-role')
  const role = named ?? (shown?.user === '' ? undefined : shown?.user)
  const whose = role === undefined ? {} : { role }
  if (!asksForToken(role)) return { ok: true, value: whose }
  if (shown === undefined || shown.token === '') return { ok: false, error: 'a token is needed' }
  return { ok: true, value: { ...whose, token: shown.token } }
}

function readAuthorization(
  value: string | undefined,
): { readonly user?: string; readonly token: string } | undefined {
  if (value === undefined || value.length > maximumTokenLength) return undefined
  const space = value.indexOf(' ')
  const [scheme, rest] = [value.slice(0, space).toLowerCase(), value.slice(space + 1).trim()]
  if (scheme === 'bearer') return { token: rest }
  if (scheme !== 'basic') return undefined
  const text = Buffer.from(rest, 'base64').toString()
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : { user: text.slice(0, colon), token: text.slice(colon + 1) }
}
