/** Masks of answers to GraphQL: what the answer calls by an alias is masked as what it is. */
import type { FieldMask } from '@firebreak/policy'
import { openBodyMask } from '../../bodies/open.ts'
import type { MaskOf, OpenBodyMask } from '../../request.ts'
import { readOperations } from './request.ts'
import { type Selection, selectionsOf } from './selections.ts'

export const openGraphqlMask: OpenBodyMask = (request, response, terms) => {
  const operations = readOperations(request)
  if (!operations.ok) return operations
  const roots: ReadonlyMap<string, Selection>[] = []
  for (const operation of operations.value) {
    const selections = selectionsOf(operation)
    if (!selections.ok) return selections
    roots.push(selections.value)
  }
  return openBodyMask(request, response, { ...terms, maskOf: withoutAliases(roots, terms.maskOf) })
}

/** Of several fields that the answer may call the same, one mask is enough. */
function withoutAliases(roots: readonly ReadonlyMap<string, Selection>[], maskOf: MaskOf): MaskOf {
  return (path) => {
    // messages of a protocol around it may have the answer further down
    const data = path.indexOf('data')
    const root = path[data + 1]
    const isSelected = roots.some((children) =>
      [...children.values()].some(({ answeredAs }) => root !== undefined && answeredAs.has(root)),
    )
    if (data < 0 || !isSelected) return maskOf(path)
    for (const names of namesOf(roots, path.slice(data + 1))) {
      const mask: FieldMask | undefined = maskOf(['data', ...names])
      if (mask) return mask
    }
    return undefined
  }
}

/** @returns every path of names that an answer's path may stand for. What nobody asked for stands for itself. */
function namesOf(
  selected: readonly ReadonlyMap<string, Selection>[],
  [key, ...rest]: readonly string[],
): readonly (readonly string[])[] {
  if (key === undefined) return [[]]
  const matching = selected.flatMap((children) =>
    [...children.values()].filter(({ answeredAs }) => answeredAs.has(key)),
  )
  // a value may be a document of its own, with names that only the server knows
  if (matching.length === 0) return [[key, ...rest]]
  return matching.flatMap((selection) =>
    namesOf([selection.children], rest).map((names) => [selection.name, ...names]),
  )
}
