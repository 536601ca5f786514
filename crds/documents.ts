/** YAML text → its documents as plain values, every problem and every field with its place. */
import { type Document, isMap, isScalar, LineCounter, type ParsedNode, parseAllDocuments } from 'yaml'
import type { Location, ManifestProblem } from './manifest.ts'
import { describe, fieldPath, type Locate, problem } from './problem.ts'
import { type RequestSchema, schemaCheck } from './validate.ts'

export interface ManifestFile {
  /** As it is to be shown in problems. */
  readonly path: string
  readonly text: string
}

export interface YamlDocument {
  readonly value: unknown
  readonly locate: Locate
}

/** More aliases than any manifest needs; what a YAML bomb is made of. */
const maximumAliases = 100

/** @returns the documents that hold something; those that can't be read are problems instead. */
export function readDocuments(file: ManifestFile): {
  readonly documents: readonly YamlDocument[]
  readonly problems: readonly ManifestProblem[]
} {
  const lineCounter = new LineCounter()
  const lines = file.text.split('\n')
  const at = (offset: number): Location & { source: string } => {
    const { line, col } = lineCounter.linePos(offset)
    return { file: file.path, line, column: col, source: lines[line - 1] ?? '' }
  }
  const documents: YamlDocument[] = []
  const problems: ManifestProblem[] = []
  const parsed = parseAllDocuments(file.text, { lineCounter, uniqueKeys: true, prettyErrors: false })
  for (const document of Array.isArray(parsed) ? parsed : []) {
    const [error] = document.errors
    if (error) {
      problems.push(problem(at(error.pos[0]), '', '', `not valid YAML: ${error.message}`))
      continue
    }
    const locate: Locate = (path, onKey = false) => at(offsetOf(document, path, onKey))
    try {
      const value: unknown = document.toJS({ maxAliasCount: maximumAliases })
      if (value !== null && value !== undefined) documents.push({ value, locate })
    } catch (error) {
      problems.push(problem(locate([]), '', '', error instanceof Error ? error.message : String(error)))
    }
  }
  return { documents, problems }
}

/** Makes a check of documents that are no manifests of the API. Defaults are filled in, in place. */
export function documentCheck(schema: RequestSchema): (document: YamlDocument) => readonly ManifestProblem[] {
  const check = schemaCheck(schema)
  return ({ value, locate }) =>
    check(value).map(({ path, onKey, message }) =>
      problem(locate(path, onKey), describe(value), fieldPath(path), message),
    )
}

/** Offset of the deepest node on the path that exists; of its key when that is what is wrong. */
function offsetOf(document: Document.Parsed, path: readonly (string | number)[], onKey: boolean): number {
  for (let length = path.length; length > 0; length--) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true)
    const last = path[length - 1]
    if (onKey && isMap(parent)) {
      const pair = parent.items.find((item) => isScalar(item.key) && item.key.value === last)
      if (pair) return (pair.key as ParsedNode).range[0]
    }
    const node = document.getIn(path.slice(0, length), true) as ParsedNode | undefined
    if (node?.range) return node.range[0]
  }
  return document.contents?.range[0] ?? document.range[0]
}
