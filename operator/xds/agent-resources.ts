/** One agent's configuration as resources of the stream. */
import { gzipSync } from 'node:zlib'
import type { Secret } from '@firebreak/crds'
import type { SentCertificates } from '@firebreak/sidecar/control/certificates.ts'
import type { SentRecords } from '@firebreak/sidecar/control/records.ts'
import { byName, type Resources, typeUrls, type VersionedResource } from '@firebreak/xds'
import type { AgentConfiguration } from '../compile/agent.ts'
import { layout } from '../injection/layout.ts'
import { envoyResources } from './envoy.ts'

/** What stands in the resource, as JSON. */
export interface SentConfiguration {
  readonly namespace: string
  readonly name: string
  readonly revision: string
  /**
   * Each as it could stand in a directory of manifests; as JSON, gzip and base64. Compressed once for all sidecars of an agent: each
   * of thousands of connections keeps a buffer of the size of what went through it.
   */
  readonly manifests: string
  /** Not compressed with anything: the length would tell whether it has something in common with it. */
  readonly secrets: readonly object[]
  /** Absent: nothing goes anywhere but to the enforcer's standard output. */
  readonly records?: SentRecords | undefined
  /** Absent: clients can't come by TLS. */
  readonly certificates?: SentCertificates | undefined
}

/** Everything that an agent's sidecar gets, by type. @param guardedAddresses see {@link envoyResources}. */
export function agentResources(
  configuration: AgentConfiguration,
  guardedAddresses: readonly string[] | undefined,
  records: SentRecords | undefined,
  certificates: SentCertificates | undefined,
): ReadonlyMap<string, Resources> {
  const { identities } = configuration.objects
  const identity = identities.find(({ metadata }) => metadata.name === configuration.name)
  return new Map([
    [typeUrls.agentConfiguration, byName([sent(configuration, records, certificates)])],
    ...(identity ? envoyResources(identity, guardedAddresses, layout.runDirectory) : []),
  ])
}

/** For an agent that isn't one any more. */
export const nothing: ReadonlyMap<string, Resources> = new Map(
  Object.values(typeUrls).map((typeUrl) => [typeUrl, byName([])]),
)

function sent(
  configuration: AgentConfiguration,
  records: SentRecords | undefined,
  certificates: SentCertificates | undefined,
): VersionedResource {
  const { namespace, name, revision, objects } = configuration
  const body: SentConfiguration = {
    namespace,
    name,
    revision,
    manifests: compressed([
      ...objects.identities.map((identity) =>
        manifest(identity.metadata.name === name ? inPod(identity) : identity),
      ),
      ...objects.resources.map(manifest),
      ...objects.policies.map(manifest),
    ]),
    secrets: objects.secrets.map(secretManifest),
    records,
    certificates,
  }
  return {
    name: `${namespace}/${name}`,
    version: revision,
    packed: { typeUrl: typeUrls.agentConfiguration, value: Buffer.from(JSON.stringify(body)) },
  }
}

function compressed(manifests: readonly object[]): string {
  return gzipSync(JSON.stringify(manifests)).toString('base64')
}

/** The pod has proved by its service account token whose it is: its agent need not do so again. */
function inPod<T extends { readonly spec: { readonly authentication: { readonly kubernetes?: object } } }>(
  identity: T,
): T {
  if (!identity.spec.authentication.kubernetes) return identity
  return { ...identity, spec: { ...identity.spec, authentication: { loopback: {} } } }
}

interface Described {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace: string }
}

/** Without what the API server keeps books of. */
function manifest({
  apiVersion,
  kind,
  metadata: { name, namespace },
  ...rest
}: Described & { spec: object }) {
  return { apiVersion, kind, metadata: { name, namespace }, spec: rest.spec }
}

function secretManifest({ apiVersion, kind, metadata: { name, namespace }, data }: Secret) {
  return { apiVersion, kind, metadata: { name, namespace }, stringData: data }
}
