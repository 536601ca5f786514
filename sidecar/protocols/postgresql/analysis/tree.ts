/** Typed access to the parser's tree: every node is an object with its tag as the only key. */
import type { Node } from 'libpg-query'

export type Tag = Node extends infer Each ? (Each extends unknown ? keyof Each : never) : never
export type Body<Name extends Tag> = Extract<Node, Record<Name, unknown>>[Name &
  keyof Extract<Node, Record<Name, unknown>>]
export type { Node }

/** The only key of a node; undefined for the empty object that stands for "nothing" in lists. */
export function tagOf(node: Node): Tag | undefined {
  for (const tag in node) return tag as Tag
  return undefined
}

export function bodyOf<Name extends Tag>(node: Node, tag: Name): Body<Name> {
  return (node as Record<Tag, unknown>)[tag] as Body<Name>
}

export function is<Name extends Tag>(
  node: Node | undefined,
  tag: Name,
): node is Extract<Node, Record<Name, unknown>> {
  return node !== undefined && tag in node
}

/** Texts of a list of String nodes; `*` for a star. */
export function strings(nodes: readonly Node[] | undefined): string[] {
  return (nodes ?? []).map((node) =>
    is(node, 'String') ? (node.String.sval ?? '') : is(node, 'A_Star') ? '*' : '',
  )
}

/** Items of a List node. */
export function listItems(node: Node | undefined): Node[] {
  return is(node, 'List') ? (node.List.items ?? []) : []
}
