/** A directory of manifests → the policy in force, and what else the sidecar needs of it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import {
  type LoadedManifests,
  loadManifests,
  type ManifestFile,
  type ManifestProblem,
  type ManifestSet,
} from '@firebreak/crds'
import { compilePolicy, type PolicySnapshot } from '@firebreak/policy'
import { vocabulary } from '../protocols/vocabulary.ts'
import { inWords } from '../system-errors.ts'
import { doubts } from './doubts.ts'
import { withOpenApi } from './openapi.ts'

export interface Configuration {
  /** Relative paths in manifests start here. */
  readonly directory: string
  readonly manifests: ManifestSet
  /** Finds the place of a field of an object, for what is found wrong later. */
  readonly locate: LoadedManifests['locate']
  readonly snapshot: PolicySnapshot
}

export interface LoadedConfiguration {
  /** Undefined when something is wrong. */
  readonly configuration: Configuration | undefined
  readonly problems: readonly ManifestProblem[]
}

export function loadConfiguration(path: string): LoadedConfiguration {
  const directory = resolve(path)
  const files = manifestFiles(directory)
  if ('severity' in files) return { configuration: undefined, problems: [files] }
  return compileConfiguration(files, directory)
}

/** @param directory that relative paths in manifests start at. */
export function compileConfiguration(files: readonly ManifestFile[], directory: string): LoadedConfiguration {
  const loaded = loadManifests(files)
  if (loaded.problems.some(isError)) return { configuration: undefined, problems: loaded.problems }
  const { manifests, problems: inDocuments } = withOpenApi(loaded, directory)
  const problems = [
    ...loaded.problems,
    ...inDocuments,
    ...doubts({ manifests, locate: loaded.locate }, vocabulary),
  ]
  if (problems.some(isError)) return { configuration: undefined, problems }
  const compiled = compilePolicy(manifests)
  if (!compiled.ok)
    return {
      configuration: undefined,
      problems: [...problems, ...compiled.problems.map((problem) => policyProblem(loaded, problem))],
    }
  return {
    configuration: {
      directory,
      manifests,
      locate: loaded.locate,
      snapshot: compiled.snapshot,
    },
    problems,
  }
}

const isError = ({ severity }: ManifestProblem): boolean => severity === 'error'

/** @returns what is in the files, or why one of them or the directory can't be read. */
export function manifestFiles(directory: string): { path: string; text: string }[] | ManifestProblem {
  let at = directory
  try {
    const names = readdirSync(directory, { withFileTypes: true })
      .filter((entry) => !entry.name.startsWith('.') && /\.ya?ml$/.test(entry.name) && !entry.isDirectory())
      .map((entry) => entry.name)
    return names.sort().map((name) => {
      at = join(directory, name)
      return { path: name, text: readFileSync(at, 'utf8') }
    })
  } catch (error) {
    const location = { file: at, line: 0, column: 0 }
    const message = `it can't be read: ${inWords(error)}`
    return { severity: 'error', location, object: '', field: '', message, source: '' }
  }
}

/** What a policy can't be compiled with, at its place in the file. */
function policyProblem(
  { locate }: LoadedManifests,
  { policy, field, message }: { policy: string; field: string; message: string },
): ManifestProblem {
  const object = `GuardrailPolicy ${policy}`
  const { source, ...location } = locate(object, field)
  return { severity: 'error', location, object, field, message, source }
}
