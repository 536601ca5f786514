/** Which headers pass, in both directions. */
import type { HeaderFields, RequestHead } from '../request.ts'

/** About one connection: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1. The exchange writes its own. */
const ofConnection = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
  'host',
  'content-length',
])

/** With these an agent would say who it is; the role's credential says that. */
const credentials = new Set([
  'authorization',
  'proxy-authorization',
  'dpop',
  'cookie',
  'cookie2',
  'api-key',
  'apikey',
  'x-api-key',
  'x-apikey',
  'x-api-token',
  'x-auth-key',
  'x-auth-token',
  'x-access-token',
  'x-session-token',
  'x-csrf-token',
  'x-goog-api-key',
  'x-goog-iam-authorization-token',
  'x-amz-security-token',
  'private-token',
  'job-token',
  'x-vault-token',
  'x-consul-token',
  'x-github-token',
  'dd-api-key',
  'dd-application-key',
  'ocp-apim-subscription-key',
])

/** What systems that trust whoever is in front of them take for the word of a proxy. */
const wordOfProxy =
  /^(forwarded|via|x-forwarded(-.*)?|x-real-ip|x-client-ip|client-ip|true-client-ip|cf-connecting-ip|fastly-client-ip|x-cluster-client-ip|x-envoy-.*|x-remote-.*|remote-user|remote-.*|x-user|x-authenticated-.*|x-auth-request-.*|x-ms-client-.*|x-ssl-.*|ssl-client-.*|x-client-cert.*|x-original-.*|impersonate-.*|firebreak-.*|x-firebreak-.*)$/

/** Whether a request's header stays with the gateway. @param name in lower case. */
export function isWithheld(name: string): boolean {
  return ofConnection.has(name) || credentials.has(name) || wordOfProxy.test(name)
}

/** Those of a request that go on, without what its Connection header names. */
export function forwardedHeaders({ headers }: RequestHead): HeaderFields {
  const named = namedByConnection(headers)
  return headers.filter(([name]) => !isWithheld(name) && !named.has(name))
}

/** The target's own sessions are as good as the role's credential, and other ways to it lead past the gateway. */
const keptFromAgents = new Set([
  ...ofConnection,
  'set-cookie',
  'set-cookie2',
  'proxy-authenticate',
  'authentication-info',
  'proxy-authentication-info',
  'alt-svc',
  'refresh',
  'location',
])
keptFromAgents.delete('content-length')

/**
 * Those of a response that go on. A Location stays only where it leads back to the target, as a path.
 *
 * @param origin of the target, `https://api.example.com`.
 */
export function returnedHeaders(headers: HeaderFields, origin: string, path: string): HeaderFields {
  const named = namedByConnection(headers)
  return headers.flatMap(([name, value]): HeaderFields => {
    if (name === 'location') {
      const inside = locationInside(value, origin, path)
      return inside === undefined ? [] : [[name, inside]]
    }
    return keptFromAgents.has(name) || named.has(name) ? [] : [[name, value]]
  })
}

/** @returns where a redirect leads within the target; undefined where it leads elsewhere. */
function locationInside(location: string, origin: string, path: string): string | undefined {
  const base = new URL(`${origin}${path}`)
  const url = URL.canParse(location, base.href) ? new URL(location, base.href) : undefined
  return url?.origin === base.origin && url.username === '' && url.password === ''
    ? `${url.pathname}${url.search}${url.hash}`
    : undefined
}

function namedByConnection(headers: HeaderFields): ReadonlySet<string> {
  const names = headers
    .filter(([name]) => name === 'connection')
    .flatMap(([, value]) => value.toLowerCase().split(','))
  return new Set(names.map((name) => name.trim()))
}
