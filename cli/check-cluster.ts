/** Manifests held against a cluster that they are not in yet: what its version knows, and what they refer to there. Only reads. */
import {
  fieldPath,
  isRecord,
  type Location,
  loadManifests,
  type ManifestFile,
  type ManifestProblem,
  type ManifestSet,
  problem,
  type RequestSchema,
  readDocuments,
  schemaCheck,
} from '@firebreak/crds'
import type { KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import { agentIdentities, type KubernetesObject } from '@firebreak/operator/kubernetes/objects.ts'
import {
  compileConfiguration,
  type LoadedConfiguration,
  manifestFiles,
} from '@firebreak/sidecar/configuration/configuration.ts'
import { readManifests } from './cluster.ts'

const { apiVersion } = agentIdentities
/** Where an object is that no file has. */
const inCluster = 'the cluster'

export async function checkAgainst(
  client: KubernetesClient,
  directory: string,
): Promise<LoadedConfiguration> {
  const files = manifestFiles(directory)
  if ('severity' in files) return { configuration: undefined, problems: [files] }
  const { manifests: own } = loadManifests(files)
  const schemas = schemasIn(await client.openApi(apiVersion))
  if (schemas.size === 0)
    return failed(
      problem(
        { file: directory, line: 0, column: 0, source: '' },
        '',
        '',
        `the cluster does not serve ${apiVersion}: Firebreak is not installed there, or in another version`,
      ),
    )
  const unknown = files.flatMap((file) => unknownIn(file, schemas))
  const there = await readManifests(client, namespacesOf(own))
  const elsewhere = objectsOf(there).filter((object) => !objectsOf(own).some((mine) => isSame(mine, object)))
  const { configuration, problems } = compileConfiguration([...files, ...elsewhere.map(asFile)], directory)
  const all = [...unknown, ...problems.flatMap(ofOthers)]
  const isValid = all.every(({ severity }) => severity === 'warning')
  return {
    configuration: configuration && isValid ? { ...configuration, manifests: own } : undefined,
    problems: all,
  }
}

function failed(why: ManifestProblem): LoadedConfiguration {
  return { configuration: undefined, problems: [why] }
}

/** By kind, what stands under `spec`. */
function schemasIn(document: unknown): ReadonlyMap<string, RequestSchema> {
  const { components } = isRecord(document) ? document : {}
  const { schemas } = isRecord(components) ? components : {}
  return new Map(
    Object.values(isRecord(schemas) ? schemas : {}).flatMap((schema): [string, RequestSchema][] => {
      if (!isRecord(schema) || !isRecord(schema.properties)) return []
      const [kind] = Array.isArray(schema[kindsOf]) ? (schema[kindsOf] as { kind: string }[]) : []
      const { spec } = schema.properties
      return kind && isRecord(spec) ? [[kind.kind, spec as unknown as RequestSchema]] : []
    }),
  )
}

const kindsOf = 'x-kubernetes-group-version-kind'

/** What the cluster's version of a kind would drop without a word, or refuse. */
function unknownIn(file: ManifestFile, schemas: ReadonlyMap<string, RequestSchema>): ManifestProblem[] {
  return readDocuments(file).documents.flatMap(({ value, locate }) => {
    if (!isRecord(value) || value.apiVersion !== apiVersion) return []
    const schema = schemas.get(String(value.kind))
    const object = isRecord(value.metadata)
      ? `${value.kind} ${value.metadata.namespace ?? 'default'}/${value.metadata.name}`
      : ''
    if (!schema)
      return [problem(locate(['kind'], true), object, 'kind', `the cluster's version has no ${value.kind}`)]
    return schemaCheck(schema)(value.spec).map(({ path, onKey, message }) => {
      const at = ['spec', ...path]
      return problem(locate(at, onKey), object, fieldPath(at), `in the cluster's version: ${message}`)
    })
  })
}

function namespacesOf(set: ManifestSet): readonly string[] {
  return [...new Set(objectsOf(set).map(({ metadata }) => metadata.namespace))]
}

type ManifestObject = KubernetesObject & {
  readonly metadata: { readonly namespace: string }
  readonly spec: unknown
}

function objectsOf({ identities, resources, policies }: ManifestSet): ManifestObject[] {
  return [...identities, ...resources, ...policies] as ManifestObject[]
}

function isSame(a: ManifestObject, b: ManifestObject): boolean {
  return (
    a.kind === b.kind && a.metadata.namespace === b.metadata.namespace && a.metadata.name === b.metadata.name
  )
}

function asFile({ kind, metadata: { namespace, name }, spec }: ManifestObject): ManifestFile {
  const text = JSON.stringify({ apiVersion, kind, metadata: { namespace, name }, spec })
  return { path: inCluster, text }
}

/** What is wrong there by itself is not the directory's; but what can't be read at all can't be checked against. */
function ofOthers(found: ManifestProblem): ManifestProblem[] {
  const isThere = (location: Location): boolean => location.file === inCluster
  if (!isThere(found.location)) return [found]
  if (found.severity === 'warning') return []
  const location = { file: inCluster, line: 0, column: 0 }
  return [{ ...found, location, source: '' }]
}
