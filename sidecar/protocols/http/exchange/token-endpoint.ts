/** Requests of agents to the endpoint that gives out the role's tokens, where it is at the target itself. */
import { isDeepStrictEqual } from 'node:util'
import type { Target } from '../../../session.ts'
import { canonicalPath, looseSegments } from '../head/path.ts'
import type { RequestHead } from '../request.ts'
import type { RefusedRequest } from './client.ts'

/** Asked with the role's token, it might give the agent one of its own, which would be good past the gateway. */
export function refusalAtTokenEndpoint(
  { host, port, http }: Target,
  { path }: RequestHead,
): RefusedRequest | undefined {
  const tokenUrl = http?.authentication.as === 'oauth2' ? http.authentication.tokenUrl : undefined
  // from one that is no URL nobody gets a token
  if (tokenUrl === undefined || !URL.canParse(tokenUrl)) return undefined
  const url = new URL(tokenUrl)
  const isThere =
    url.hostname.replace(/^\[|\]$/g, '') === host.toLowerCase() &&
    Number(url.port || (url.protocol === 'https:' ? 443 : 80)) === port
  const endpoint = isThere ? canonicalPath(url.pathname) : undefined
  if (!endpoint?.ok) return undefined
  const wanted = looseSegments(endpoint.value.segments)
  return [path.segments, ...path.otherReadings].some((reading) =>
    isDeepStrictEqual(looseSegments(reading), wanted),
  )
    ? { status: 403, message: 'the token endpoint is for the gateway alone' }
    : undefined
}
