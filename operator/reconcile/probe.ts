/** Tries a protected resource from where the operator is: are the credentials there, and does the system answer as a sidecar demands it? Nobody's credential is used. */
import { addressOf, type ProtectedResource } from '@firebreak/crds'
import type { TargetTls } from '@firebreak/sidecar'
import { reachOf } from '@firebreak/sidecar/protocols/reach.ts'
import type { World } from '../watch/world.ts'
import type { Finding } from './conditions.ts'

/** In milliseconds. */
const reachWithin = 5_000

export async function probeResource(resource: ProtectedResource, world: World): Promise<readonly Finding[]> {
  return [credentials(resource, world), await reachable(resource, world)]
}

function credentials({ metadata: { namespace }, spec }: ProtectedResource, world: World): Finding {
  const type = 'CredentialsResolved'
  if (!world.readsSecretsOf(namespace))
    return {
      type,
      status: 'False',
      reason: 'NotPermitted',
      message: `the operator may not read Secrets of namespace ${namespace}: it is not among the chart's secretNamespaces`,
    }
  const { oauth2 } = spec.http?.authentication ?? {}
  const wanted = [
    ...(oauth2?.ca?.secret ? [{ of: 'spec.http.authentication.oauth2.ca', ...oauth2.ca.secret }] : []),
    ...spec.roles.flatMap(secretsOf),
  ]
  const missing = wanted.flatMap(({ of, name, key }) => {
    const stored = world.secrets.get(`${namespace}/${name}`)
    if (!stored) return [`${of}: there is no Secret ${name}`]
    return stored.data?.[key] === undefined ? [`${of}: Secret ${name} has no key ${key}`] : []
  })
  return missing.length === 0
    ? { type, status: 'True', reason: 'Resolved', message: 'the credentials of all roles are there' }
    : { type, status: 'False', reason: 'Missing', message: missing.join('; ') }
}

interface WantedKey {
  /** What refers to it. */
  readonly of: string
  readonly name: string
  readonly key: string
}

/** What a role can't do without. */
function secretsOf({
  name: role,
  credential,
  clientCertificate,
}: ProtectedResource['spec']['roles'][number]): WantedKey[] {
  const of = `role ${role}`
  const { secret } = credential ?? {}
  const parts = [clientCertificate?.certificate.secret ?? [], clientCertificate?.key.secret ?? []].flat()
  return [
    ...(secret ? [{ of, name: secret.name, key: secret.passwordKey }] : []),
    ...parts.map((part) => ({ of, ...part })),
  ]
}

async function reachable(resource: ProtectedResource, world: World): Promise<Finding> {
  const type = 'Reachable'
  const { address, tls } = resource.spec
  const ways = tlsOf(resource, world)
  if (!ways.ok) return { ...ways.finding, type }
  const target = { ...addressOf(resource), tls: ways.tls }
  const failure = await reachOf(resource.spec.type)(target, AbortSignal.timeout(reachWithin))
  if (failure) {
    const { reason, message, hint } = failure
    return { type, status: 'False', reason, message: `${address} can't be reached: ${message}. ${hint}` }
  }
  const how = tls.mode === 'disable' ? '' : `, with TLS as ${tls.mode} demands`
  return { type, status: 'True', reason: 'Connected', message: `${address} answers${how}` }
}

/** As a sidecar connects; of authorities that only the sidecar can read nothing can be said here. */
function tlsOf(
  { spec, metadata: { namespace } }: ProtectedResource,
  world: World,
):
  | { readonly ok: true; readonly tls: TargetTls }
  | { readonly ok: false; readonly finding: Omit<Finding, 'type'> } {
  const { mode, ca, serverName } = spec.tls
  if (mode === 'disable') return { ok: true, tls: { mode } }
  const named = { mode, ...(serverName !== undefined && { serverName }) }
  if (!ca) return { ok: true, tls: named }
  if (!ca.secret) {
    const message = "spec.tls.ca is no Secret: the operator doesn't see it, and can't try the connection"
    return { ok: false, finding: { status: 'Unknown', reason: 'NotTried', message } }
  }
  const { name, key } = ca.secret
  const pem = world.secrets.get(`${namespace}/${name}`)?.data?.[key]
  if (pem === undefined) {
    const message = `spec.tls.ca: there is no Secret ${name} with a key ${key}`
    return { ok: false, finding: { status: 'False', reason: 'AuthorityMissing', message } }
  }
  return { ok: true, tls: { ...named, ca: Buffer.from(pem, 'base64').toString() } }
}
