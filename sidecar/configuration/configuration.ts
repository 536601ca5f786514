/** A directory of manifests → the policy in force, and what else the sidecar needs of it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type LoadedManifests, loadManifests, type ManifestProblem, type ManifestSet } from '@firebreak/crds'
import { compilePolicy, type PolicySnapshot } from '@firebreak/policy'

export interface Configuration {
  /** Relative paths in manifests start here. */
  readonly directory: string
  readonly manifests: ManifestSet
  readonly snapshot: PolicySnapshot
}

export interface LoadedConfiguration {
  /** Undefined when something is wrong. */
  readonly configuration: Configuration | undefined
  readonly problems: readonly ManifestProblem[]
}

/** @throws Error when the directory can't be read. */
export function loadConfiguration(path: string): LoadedConfiguration {
  const directory = resolve(path)
  const loaded = loadManifests(manifestFiles(directory))
  if (loaded.problems.some((problem) => problem.severity === 'error'))
    return { configuration: undefined, problems: loaded.problems }
  const compiled = compilePolicy(loaded.manifests)
  if (!compiled.ok)
    return {
      configuration: undefined,
      problems: [
        ...loaded.problems,
        ...compiled.problems.map((problem) => conditionProblem(loaded, problem)),
      ],
    }
  return {
    configuration: { directory, manifests: loaded.manifests, snapshot: compiled.snapshot },
    problems: loaded.problems,
  }
}

function manifestFiles(directory: string): { path: string; text: string }[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => !entry.name.startsWith('.') && /\.ya?ml$/.test(entry.name) && !entry.isDirectory())
    .map((entry) => entry.name)
    .sort()
    .map((name) => ({ path: name, text: readFileSync(join(directory, name), 'utf8') }))
}

/** A condition that CEL refuses, at its place in the file. */
function conditionProblem(
  { locate }: LoadedManifests,
  { policy, field, message }: { policy: string; field: string; message: string },
): ManifestProblem {
  const object = `GuardrailPolicy ${policy}`
  const { source, ...location } = locate(object, field)
  return {
    severity: 'error',
    location,
    object,
    field,
    message: `the condition is not valid: ${message}`,
    source,
  }
}
