/**
 * GraphQL: one request may do many things, and each is a touch of its own, `graphql:mutation.deleteUser`. What a field is
 * called follows the answer, without aliases: `$.data.user.email`.
 */
import type { Fact, IndirectUse, Touch } from '@firebreak/policy'
import type { HttpRequest, RequestAnalysis, RequestHead, Understanding } from '../../request.ts'
import { ServedPaths } from '../served-paths.ts'
import { namesInArguments } from './arguments.ts'
import { type GraphqlOperation, readOperations } from './request.ts'
import { type Selection, selectionsOf } from './selections.ts'

/** One for each field that an operation begins with. */
export const graphqlActions: readonly string[] = [
  'graphql:query.*',
  'graphql:mutation.*',
  'graphql:subscription.*',
]

/** What conditions see as `command.graphql.<name>`. */
export const graphqlFacts = {
  operations: 'what is asked for, as `query.user`, each once',
  fields: 'all fields that are selected, as `user.orders.total`, each once; aliases don’t count',
  depth: 'how deep the selection goes; 1 for values alone',
  batch: 'how many operations the request holds',
} as const

type GraphqlFact = keyof typeof graphqlFacts

/** A document, its variables, and a batch of them; a larger body is refused. */
const maximumBodyBytes = 1024 * 1024
/** These come with every answer. */
const typeName = '__typename'

export class GraphqlAnalysis implements RequestAnalysis {
  readonly #endpoints: ServedPaths

  /** @param endpoints paths at and below which GraphQL is served, `/graphql`. */
  constructor(endpoints: readonly string[]) {
    this.#endpoints = new ServedPaths(endpoints)
  }

  needs({ method, path }: RequestHead): number | undefined {
    return method !== 'OPTIONS' && this.#endpoints.has(path) ? maximumBodyBytes : undefined
  }

  understand(request: HttpRequest): Understanding {
    const operations = readOperations(request)
    if (!operations.ok) return opaque(operations.error)
    const seen: Seen = { touches: [], indirectUses: [], fields: new Set(), operations: new Set(), depth: 0 }
    for (const operation of operations.value) {
      const selections = selectionsOf(operation)
      if (!selections.ok) return opaque(selections.error)
      for (const selection of selections.value.values()) addRoot(operation, selection, seen)
    }
    const facts: Record<GraphqlFact, Fact> = {
      operations: [...seen.operations],
      fields: [...seen.fields],
      depth: seen.depth,
      batch: operations.value.length,
    }
    return { touches: seen.touches, opaque: [], indirectUses: seen.indirectUses, facts: { graphql: facts } }
  }
}

function opaque(reason: string): Understanding {
  return { touches: [], opaque: [reason], indirectUses: [], facts: {} }
}

interface Seen {
  readonly touches: Touch[]
  readonly indirectUses: IndirectUse[]
  readonly fields: Set<string>
  readonly operations: Set<string>
  depth: number
}

function addRoot(operation: GraphqlOperation, selection: Selection, seen: Seen): void {
  const kind = operation.operation.operation
  const called = `${kind}.${selection.name}`
  seen.operations.add(called)
  const touch = (path: readonly string[], parts: readonly string[]): void => {
    const origin = selection.name === typeName ? 'baseline' : 'direct'
    seen.touches.push({ action: `graphql:${called}`, object: { kind: 'document', path, parts }, origin })
  }
  if (selection.children.size === 0) touch(['$', 'data'], [selection.name])
  addFields(operation, selection, [selection.name], seen, touch)
}

function addFields(
  operation: GraphqlOperation,
  { nodes, children }: Selection,
  path: readonly string[],
  seen: Seen,
  touch: (path: readonly string[], parts: readonly string[]) => void,
): void {
  seen.fields.add(path.join('.'))
  seen.depth = Math.max(seen.depth, path.length)
  const values = [...children.values()].filter((child) => child.children.size === 0)
  if (children.size > 0)
    touch(
      ['$', 'data', ...path],
      values.map(({ name }) => name).filter((name) => name !== typeName),
    )
  // what a mutation is given is written, what a query is given is looked for
  if (operation.operation.operation !== 'mutation')
    for (const name of namesInArguments(nodes, operation)) addIndirect(name, children, path, seen)
  for (const child of children.values()) addFields(operation, child, [...path, child.name], seen, touch)
}

/** An argument may be about any object of the answer below its field. */
function addIndirect(
  part: string,
  children: ReadonlyMap<string, Selection>,
  path: readonly string[],
  seen: Seen,
): void {
  seen.indirectUses.push({
    source: { path: ['$', 'data', ...path], part },
    through: `an argument of ${path.join('.')}`,
  })
  for (const child of children.values())
    if (child.children.size > 0) addIndirect(part, child.children, [...path, child.name], seen)
}
