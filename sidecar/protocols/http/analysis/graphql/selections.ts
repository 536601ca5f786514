/** What an operation selects, with its fragments put in: names as the server knows them, and as the answer calls them. */
import { type FieldNode, Kind, type SelectionSetNode } from 'graphql'
import type { Result } from '../../../../session.ts'
import type { GraphqlOperation } from './request.ts'

/** A field that is selected, and what is selected of it; of several types, and several times, all in one. */
export interface Selection {
  readonly name: string
  /** Under which names the answer has it. */
  readonly answeredAs: Set<string>
  readonly nodes: FieldNode[]
  /** Empty for a value. */
  readonly children: Map<string, Selection>
}

/** Fragments in fragments multiply; nobody writes so much. */
const maximumFields = 10_000
/** What comes in pieces of their own is not where the document has it. */
const inPieces = new Set(['defer', 'stream'])

/** @returns the root's selections by name; or why they can't be seen, in words. */
export function selectionsOf({
  document,
  operation,
}: GraphqlOperation): Result<ReadonlyMap<string, Selection>, string> {
  const fragments = new Map(
    document.definitions.flatMap((definition) =>
      definition.kind === Kind.FRAGMENT_DEFINITION ? [[definition.name.value, definition] as const] : [],
    ),
  )
  const root = new Map<string, Selection>()
  let left = maximumFields
  const collect = (
    set: SelectionSetNode,
    into: Map<string, Selection>,
    within: readonly string[],
  ): string | undefined => {
    for (const node of set.selections) {
      if (left-- === 0) return 'the GraphQL document selects too much'
      if (node.directives?.some(({ name }) => inPieces.has(name.value)))
        return 'the answer to the GraphQL document comes in pieces'
      const problem =
        node.kind === Kind.FIELD
          ? collectField(node, into, within)
          : node.kind === Kind.INLINE_FRAGMENT
            ? collect(node.selectionSet, into, within)
            : collectFragment(node.name.value, into, within)
      if (problem !== undefined) return problem
    }
    return undefined
  }
  const collectField = (node: FieldNode, into: Map<string, Selection>, within: readonly string[]) => {
    const name = node.name.value
    const selection: Selection = into.get(name) ?? {
      name,
      answeredAs: new Set(),
      nodes: [],
      children: new Map(),
    }
    into.set(name, selection)
    selection.answeredAs.add(node.alias?.value ?? name)
    selection.nodes.push(node)
    return node.selectionSet ? collect(node.selectionSet, selection.children, within) : undefined
  }
  const collectFragment = (name: string, into: Map<string, Selection>, within: readonly string[]) => {
    const fragment = fragments.get(name)
    if (!fragment) return 'the GraphQL document has not all of its fragments'
    if (within.includes(name)) return 'a fragment of the GraphQL document holds itself'
    return collect(fragment.selectionSet, into, [...within, name])
  }
  const problem = collect(operation.selectionSet, root, [])
  return problem === undefined ? { ok: true, value: root } : { ok: false, error: problem }
}
