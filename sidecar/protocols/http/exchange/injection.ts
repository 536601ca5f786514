/** The role's credential in a request, where the API takes it. */
import type { Credential, HttpAuthentication, Target } from '../../../session.ts'
import { withoutParameter } from '../head/query.ts'
import type { HeaderFields, HttpRequest } from '../request.ts'
import { signed } from './aws-signature.ts'

export interface Addressed {
  readonly path: string
  readonly query: string
  readonly headers: HeaderFields
}

/** What goes out, and of what it is made. */
export interface Prepared extends Addressed {
  readonly request: HttpRequest
  readonly host: string
  /** A body follows that nobody has seen yet. */
  readonly streams: boolean
}

/** @returns the request with the role's credential, and without anything of the agent's in its place. */
export async function withCredential(
  { path, query, headers, ...about }: Prepared,
  authentication: HttpAuthentication,
  credential: Credential,
): Promise<Addressed> {
  const { username, password = '', accessToken = '' } = credential
  switch (authentication.as) {
    case 'none':
      return { path, query, headers }
    case 'bearer':
      return { path, query, headers: [...headers, ['authorization', `Bearer ${password}`]] }
    case 'oauth2':
      return { path, query, headers: [...headers, ['authorization', `Bearer ${accessToken}`]] }
    case 'basic': {
      const value = Buffer.from(`${username}:${password}`).toString('base64')
      return { path, query, headers: [...headers, ['authorization', `Basic ${value}`]] }
    }
    case 'header': {
      const name = authentication.name.toLowerCase()
      const others = headers.filter(([other]) => other.replaceAll('_', '-') !== name.replaceAll('_', '-'))
      return { path, query, headers: [...others, [name, password]] }
    }
    case 'query': {
      const { name } = authentication
      const others = withoutParameter(query, name)
      const own = `${encodeURIComponent(name)}=${encodeURIComponent(password)}`
      return { path, query: others === '' ? own : `${others}&${own}`, headers }
    }
    case 'aws':
      return await signed({ path, query, headers, ...about }, authentication, credential)
  }
}

/** Who shows a certificate, and has no secret beside it, says nothing else. */
export function authenticationOf(
  { http }: Target,
  { password, clientCertificate }: Credential,
): HttpAuthentication {
  const isCertificateAlone = clientCertificate !== undefined && password === undefined
  return isCertificateAlone ? { as: 'none' } : (http?.authentication ?? { as: 'none' })
}
