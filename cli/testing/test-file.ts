/** Files of policy tests: what they may say, and where each thing stands. docs/policy-tests.md */
import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import {
  documentCheck,
  type ManifestProblem,
  type RequestSchema,
  readDocuments,
  type YamlDocument,
} from '@firebreak/crds'
import { schema } from './schema.ts'

/** Who asks for what. */
export interface Given {
  readonly namespace?: string
  readonly identity?: string
  /** That the token proves, besides the identity's own. */
  readonly groups?: readonly string[]
  readonly resource?: string
  readonly role?: string
  /** Those on whose behalf the identity acts, the first one first. */
  readonly chain?: readonly Delegator[]
  /** What the last of them passed on, where that is less than all. */
  readonly scope?: PassedOn
  /** Names of elevations that are open. */
  readonly elevations?: readonly string[]
  readonly searchPath?: readonly string[]
}

export interface Delegator {
  readonly identity: string
  readonly groups?: readonly string[]
  readonly scope?: PassedOn
}

export interface PassedOn {
  readonly resources?: readonly string[]
  readonly roles?: readonly string[]
  readonly actions?: readonly string[]
  readonly objects?: readonly string[]
}

export interface Expected {
  readonly decision: 'allow' | 'deny' | 'hold'
  /** `rule`, or `policy/rule`. */
  readonly rule?: string
  /** By the column's label: exactly the ones that are masked. */
  readonly masks?: Readonly<Record<string, string>>
  readonly message?: string
}

export interface PolicyTestCase {
  readonly name: string
  readonly given: Given
  readonly command: string
  readonly expect: Expected
}

export interface SchemaSource {
  readonly file?: string
  readonly sql?: string
}

export interface PolicyTestSuite {
  readonly manifests: string
  /** By the resource's name. */
  readonly schemas: Readonly<Record<string, SchemaSource>>
  readonly given: Given
  readonly tests: readonly PolicyTestCase[]
}

/** One document of a file. */
export interface LoadedSuite extends PolicyTestSuite {
  /** As it is to be shown. */
  readonly file: string
  readonly locate: YamlDocument['locate']
  /** Where what the suite refers to starts. */
  readonly directory: string
}

const kind = 'PolicyTest'
const check = documentCheck(schema as RequestSchema)

/**
 * @param paths files of tests, and directories in which they are looked for at any depth, among other YAML.
 * @throws the system's error when one of them can't be read.
 */
export function loadSuites(paths: readonly string[]): {
  readonly suites: readonly LoadedSuite[]
  readonly problems: readonly ManifestProblem[]
} {
  const suites: LoadedSuite[] = []
  const problems: ManifestProblem[] = []
  for (const path of paths) {
    const searched = statSync(path).isDirectory()
    for (const file of searched ? yamlFiles(path) : [path]) {
      const text = readFileSync(file, 'utf8')
      // what can't be read may be a template of something else
      if (searched && !text.includes(kind)) continue
      const shown = relative('', resolve(file))
      const read = readDocuments({ path: shown, text })
      problems.push(...read.problems)
      const isSuite = ({ value }: YamlDocument): boolean => (value as { kind?: unknown }).kind === kind
      const documents = searched && !read.documents.some(isSuite) ? [] : read.documents
      for (const document of documents) {
        const wrong = check(document)
        problems.push(...wrong)
        if (wrong.length === 0)
          suites.push({
            ...(document.value as PolicyTestSuite),
            file: shown,
            locate: document.locate,
            directory: dirname(resolve(file)),
          })
      }
    }
  }
  return { suites, problems }
}

function yamlFiles(directory: string): string[] {
  const among = (entry: Dirent): string[] => {
    const path = join(directory, entry.name)
    if (entry.name.startsWith('.') || entry.name === 'node_modules') return []
    if (entry.isDirectory()) return yamlFiles(path)
    return /\.ya?ml$/.test(entry.name) ? [path] : []
  }
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(among)
}
