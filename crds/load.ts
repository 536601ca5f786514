/** Reads manifests from YAML text: validated, defaulted, cross-checked, every problem with its place. */
import { crossCheck } from './cross-check.ts'
import { type ManifestFile, readDocuments, type YamlDocument } from './documents.ts'
import type { Manifest, ManifestProblem, ManifestSet, Secret } from './manifest.ts'
import { closest } from './near-match.ts'
import { describe, fieldPath, isRecord, type Locate, problem } from './problem.ts'
import { knownKinds, validate } from './validate.ts'

export interface LoadedManifests {
  /** Only what is valid. Meaningless for use when {@link problems} has an error. */
  readonly manifests: ManifestSet
  readonly problems: readonly ManifestProblem[]
  /** Finds the place of a field (`spec.rules[0].match`) of an object (`GuardrailPolicy agents/orders`), for problems found later. */
  readonly locate: (object: string, field: string) => ReturnType<Locate>
}

interface LoadedObject {
  readonly manifest: Manifest
  readonly locate: Locate
}

export function loadManifests(files: readonly ManifestFile[]): LoadedManifests {
  const problems: ManifestProblem[] = []
  const objects: LoadedObject[] = []
  for (const file of files) loadFile(file, objects, problems)
  refuseDuplicates(objects, problems)
  const manifests = sortByKind(objects.map((object) => object.manifest))
  const locators = new Map(objects.map((object) => [object.manifest, object.locate]))
  // what is wrong by itself is missing here, and names that lead to it would be called unknown
  if (problems.length === 0) problems.push(...crossCheck(manifests, (manifest) => locators.get(manifest)))
  const locate: LoadedManifests['locate'] = (object, field) => {
    const found = objects.find((candidate) => describe(candidate.manifest) === object)
    return found ? found.locate(splitField(field)) : { file: '', line: 1, column: 1, source: '' }
  }
  return { manifests, problems, locate }
}

function loadFile(file: ManifestFile, objects: LoadedObject[], problems: ManifestProblem[]): void {
  const read = readDocuments(file)
  problems.push(...read.problems)
  for (const document of read.documents) loadDocument(document, objects, problems)
}

function loadDocument(
  { value, locate }: YamlDocument,
  objects: LoadedObject[],
  problems: ManifestProblem[],
): void {
  if (isRecord(value) && value.kind === 'List' && Array.isArray(value.items)) {
    value.items.forEach((item, index) => {
      loadObject(item, (path, onKey) => locate(['items', index, ...path], onKey), objects, problems)
    })
    return
  }
  loadObject(value, locate, objects, problems)
}

function loadObject(
  value: unknown,
  locate: Locate,
  objects: LoadedObject[],
  problems: ManifestProblem[],
): void {
  const fail = (path: readonly (string | number)[], message: string): void => {
    problems.push(problem(locate(path), describe(value), path.join('.'), message))
  }
  if (!isRecord(value)) return fail([], `expected an object with apiVersion and kind, found ${typeof value}`)
  const { apiVersion, kind } = value
  if (kind === 'Secret' && apiVersion === 'v1') {
    const secret = readSecret(value)
    if (typeof secret === 'string') return fail(['data'], secret)
    objects.push({ manifest: secret, locate })
    return
  }
  const expected = typeof kind === 'string' ? knownKinds.get(kind) : undefined
  if (expected === undefined) {
    const near = typeof kind === 'string' ? closest(kind, [...knownKinds.keys(), 'Secret']) : undefined
    return fail(
      ['kind'],
      `unknown kind ${String(kind)}${near ? `, did you mean ${near}?` : `; known are ${[...knownKinds.keys()].join(', ')} and Secret`}`,
    )
  }
  if (apiVersion !== expected)
    return fail(['apiVersion'], `expected ${expected} for kind ${String(kind)}, found ${String(apiVersion)}`)
  const name = isRecord(value.metadata) ? value.metadata.name : undefined
  if (typeof name !== 'string' || !/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name)) {
    return fail(
      ['metadata', 'name'],
      `expected a lower-case DNS name in metadata.name, found ${JSON.stringify(name)}`,
    )
  }
  const findings = validate(String(kind), value)
  for (const finding of findings) {
    const place = locate(finding.path, finding.onKey)
    problems.push(problem(place, describe(value), fieldPath(finding.path), finding.message))
  }
  if (findings.length > 0) return
  const metadata = value.metadata as Record<string, unknown>
  metadata.namespace ??= 'default'
  objects.push({ manifest: value as unknown as Manifest, locate })
}

function readSecret(value: Record<string, unknown>): Secret | string {
  const metadata = isRecord(value.metadata) ? value.metadata : {}
  if (typeof metadata.name !== 'string') return 'expected metadata.name'
  const data: Record<string, string> = {}
  for (const [key, encoded] of Object.entries(isRecord(value.data) ? value.data : {})) {
    if (typeof encoded !== 'string') return `expected base64 text in data.${key}`
    data[key] = Buffer.from(encoded, 'base64').toString('utf8')
  }
  for (const [key, text] of Object.entries(isRecord(value.stringData) ? value.stringData : {})) {
    if (typeof text !== 'string') return `expected text in stringData.${key}`
    data[key] = text
  }
  const namespace = typeof metadata.namespace === 'string' ? metadata.namespace : 'default'
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: metadata.name, namespace }, data }
}

function refuseDuplicates(objects: readonly LoadedObject[], problems: ManifestProblem[]): void {
  const seen = new Map<string, LoadedObject>()
  for (const object of objects) {
    const name = describe(object.manifest)
    const first = seen.get(name)
    if (first) {
      const { file, line } = first.locate([])
      problems.push(
        problem(
          object.locate(['metadata', 'name']),
          name,
          'metadata.name',
          `defined twice, first in ${file}:${line}`,
        ),
      )
    } else seen.set(name, object)
  }
}

function sortByKind(manifests: readonly Manifest[]): ManifestSet {
  return {
    identities: manifests.filter((manifest) => manifest.kind === 'AgentIdentity'),
    resources: manifests.filter((manifest) => manifest.kind === 'ProtectedResource'),
    policies: manifests.filter((manifest) => manifest.kind === 'GuardrailPolicy'),
    approvals: manifests.filter((manifest) => manifest.kind === 'ApprovalRequest'),
    secrets: manifests.filter((manifest) => manifest.kind === 'Secret'),
  }
}

/** `spec.rules[0]` as `['spec', 'rules', 0]`. */
function splitField(field: string): (string | number)[] {
  return field
    .split(/[.[\]]+/)
    .filter((part) => part !== '')
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part))
}
