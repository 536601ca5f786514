/** OpenAPI documents of resources: what they add to the manifests, and what keeps them from being gone by. */
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { LoadedManifests, ManifestProblem, ManifestSet, ProtectedResource } from '@firebreak/crds'
import { isRead } from '../listen/target.ts'
import { openApiOf } from '../protocols/http/analysis/of-target.ts'
import type { OpenApiDocument } from '../protocols/http/analysis/openapi/document.ts'
import type { Result } from '../session.ts'
import { inWords } from '../system-errors.ts'

/** As the manifest's own text may be. */
const maximumBytes = 512 * 1024

type Problem = Pick<ManifestProblem, 'severity' | 'field' | 'message'>

/** @returns undefined where the resource has none, or where it stands in a file that nobody has read. */
export function openApiOfResource({
  spec: { http },
}: ProtectedResource): Result<OpenApiDocument, string> | undefined {
  return isRead(http?.openapi) ? openApiOf(http.openapi) : undefined
}

/** What is wrong with a resource's document as it stands in the API. */
export function openApiProblems(resource: ProtectedResource): readonly Problem[] {
  if (resource.spec.http?.openapi?.file)
    return [error('file', 'a pod has no files of manifests: let the document stand in document')]
  return problemsOf(resource, 'document')
}

/** The manifests with the documents that stand in files, and with what documents say of the data. */
export function withOpenApi(
  { manifests, locate }: LoadedManifests,
  directory: string,
): { readonly manifests: ManifestSet; readonly problems: readonly ManifestProblem[] } {
  const problems: ManifestProblem[] = []
  const resources = manifests.resources.map((resource) => {
    const { openapi } = resource.spec.http ?? {}
    if (!openapi) return resource
    const { namespace, name } = resource.metadata
    const object = `ProtectedResource ${namespace}/${name}`
    const tell = (problem: Problem): void => {
      const { source, ...location } = locate(object, problem.field)
      problems.push({ ...problem, location, object, source })
    }
    const read = openapi.file ? withFile(resource, resolve(directory, openapi.file.path)) : undefined
    if (read && !read.ok) {
      tell(error('file', read.error))
      return resource
    }
    const whole = read?.value ?? resource
    for (const problem of problemsOf(whole, openapi.file ? 'file' : 'document')) tell(problem)
    return classified(whole)
  })
  return { manifests: { ...manifests, resources }, problems }
}

function withFile(resource: ProtectedResource, path: string): Result<ProtectedResource, string> {
  const { spec } = resource
  try {
    if (statSync(path).size > maximumBytes)
      return { ok: false, error: `it has more than ${maximumBytes} bytes` }
    const openapi = { document: readFileSync(path, 'utf8') }
    // the manifest had http, or there would be no file
    const http = { ...(spec.http as NonNullable<typeof spec.http>), openapi }
    return { ok: true, value: { ...resource, spec: { ...spec, http } } }
  } catch (cause) {
    return { ok: false, error: `it can't be read: ${inWords(cause)}` }
  }
}

function problemsOf(resource: ProtectedResource, place: 'document' | 'file'): readonly Problem[] {
  const document = openApiOfResource(resource)
  if (!document) return []
  if (!document.ok) return [error(place, document.error)]
  const [first, ...others] = document.value.unnamed
  if (first === undefined) return []
  const more = others.length === 0 ? '' : `, nor have ${others.length} others`
  const message = `${first} has no operationId that a rule could speak of${more}: only wildcards match it`
  return [{ severity: 'warning', field: `spec.http.openapi.${place}`, message }]
}

function error(place: 'document' | 'file', message: string): Problem {
  return { severity: 'error', field: `spec.http.openapi.${place}`, message }
}

function classified(resource: ProtectedResource): ProtectedResource {
  const document = openApiOfResource(resource)
  if (!document?.ok || document.value.classification.length === 0) return resource
  const { spec } = resource
  const found = document.value.classification.map(({ field, tags }) => ({ tags: [...tags], fields: [field] }))
  return { ...resource, spec: { ...spec, classification: [...(spec.classification ?? []), ...found] } }
}
