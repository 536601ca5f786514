/** The role's credential in a request, where the API takes it. */
import type { Credential, HttpAuthentication } from '../../../session.ts'
import { withoutParameter } from '../head/query.ts'
import type { HeaderFields } from '../request.ts'

export interface Addressed {
  readonly query: string
  readonly headers: HeaderFields
}

/** @returns the request with the role's credential, and without anything of the agent's in its place. */
export function withCredential(
  { query, headers }: Addressed,
  authentication: HttpAuthentication,
  { username, password = '', accessToken = '' }: Credential,
): Addressed {
  switch (authentication.as) {
    case 'none':
      return { query, headers }
    case 'bearer':
      return { query, headers: [...headers, ['authorization', `Bearer ${password}`]] }
    case 'oauth2':
      return { query, headers: [...headers, ['authorization', `Bearer ${accessToken}`]] }
    case 'basic': {
      const value = Buffer.from(`${username}:${password}`).toString('base64')
      return { query, headers: [...headers, ['authorization', `Basic ${value}`]] }
    }
    case 'header': {
      const name = authentication.name.toLowerCase()
      const others = headers.filter(([other]) => other.replaceAll('_', '-') !== name.replaceAll('_', '-'))
      return { query, headers: [...others, [name, password]] }
    }
    case 'query': {
      const { name } = authentication
      const others = withoutParameter(query, name)
      const own = `${encodeURIComponent(name)}=${encodeURIComponent(password)}`
      return { query: others === '' ? own : `${others}&${own}`, headers }
    }
  }
}
