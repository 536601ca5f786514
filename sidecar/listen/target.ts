import { addressOf, type ProtectedResource } from '@firebreak/crds'
import type { Configuration } from '../configuration/configuration.ts'
import { readValue } from '../configuration/values.ts'
import type { HttpAuthentication, HttpTarget, OpenApiSource, Result, Target } from '../session.ts'

/** The way to a resource, as its manifest says. */
export function targetOf(resource: ProtectedResource, configuration: Configuration): Result<Target, string> {
  const { spec, metadata } = resource
  const base = {
    ...addressOf(resource),
    ...(spec.database !== undefined && { database: spec.database }),
    ...((spec.type === 'http' || spec.type === 'kubernetes') && { http: httpTargetOf(resource) }),
  }
  const { mode, ca, serverName } = spec.tls
  if (mode === 'disable') return { ok: true, value: { ...base, tls: { mode } } }
  const authorities = ca && readValue(ca, metadata.namespace, configuration)
  if (authorities && !authorities.ok)
    return {
      ok: false,
      error: `the CA of ${metadata.namespace}/${metadata.name} can't be read: ${authorities.error}`,
    }
  return {
    ok: true,
    value: {
      ...base,
      tls: {
        mode,
        ...(authorities?.ok && { ca: authorities.value }),
        ...(serverName !== undefined && { serverName }),
      },
    },
  }
}

/** What is asked of an HTTP API besides the way to it. */
export function httpTargetOf(resource: ProtectedResource): HttpTarget {
  const { graphql = [], grpc = [], mcp = [], openapi, readBodies = false } = resource.spec.http ?? {}
  return {
    host: addressOf(resource).host,
    authentication: authenticationOf(resource),
    graphql,
    grpc,
    mcp,
    ...(isRead(openapi) && { openapi }),
    readBodies,
  }
}

type OpenApi = NonNullable<ProtectedResource['spec']['http']>['openapi']

/** A document in a file stands in the manifest once it is read. */
export function isRead(openapi: OpenApi): openapi is NonNullable<OpenApi> & OpenApiSource {
  return openapi?.document !== undefined
}

function authenticationOf({ spec }: ProtectedResource): HttpAuthentication {
  const { as = 'bearer', name = '', oauth2, aws } = spec.http?.authentication ?? {}
  switch (as) {
    case 'header':
    case 'query':
      return { as, name }
    case 'oauth2':
      return { as, tokenUrl: oauth2?.tokenUrl ?? '' }
    case 'aws':
      return { as, service: aws?.service ?? '', region: aws?.region ?? '' }
    default:
      return { as }
  }
}
