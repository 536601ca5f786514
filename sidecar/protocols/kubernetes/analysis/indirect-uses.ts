/** Uses of fields that masking the response can't cover. */
import { everyName, type IndirectUse } from '@firebreak/policy'
import { type Document, leavesOf } from '../documents/document.ts'
import { keysOfSelector, type Parameters } from './parameters.ts'
import type { Change } from './patch.ts'
import type { ObjectPath } from './touches.ts'
import { writtenBack } from './written-back.ts'

/**
 * @param change what is sent, beside fields that a patch compares with values.
 * @param removes whether null in an element of a list takes a field away from it.
 * @param replaced the object that takes the place of the one there is: what its fields were masked as would be written
 *   into it.
 */
export function indirectUsesOf(
  parameters: Parameters,
  path: ObjectPath,
  { set, compared }: Change,
  removes: boolean,
  replaced: Document | undefined,
): readonly IndirectUse[] {
  const uses = [
    ...keysOf(parameters, 'labelSelector').map((key) =>
      use(path, ['metadata', 'labels', key], 'labelSelector'),
    ),
    ...keysOf(parameters, 'fieldSelector').map((key) => use(path, key.split('.'), 'fieldSelector')),
    ...compared.flatMap((names) =>
      spellings(names).map((spelling) => use(path, spelling, 'a test of the patch')),
    ),
  ]
  if (replaced === undefined) {
    const again = set.flatMap((document) => [...writtenBack(document, path[1], removes)]).flatMap(spellings)
    return [...uses, ...again.map((names) => use(path, names, 'a change with what was read masked'))]
  }
  const replacedFields = [...leavesOf(replaced)].filter(
    ([first]) => first !== 'apiVersion' && first !== 'kind',
  )
  return [...uses, ...replacedFields.map((names) => use(path, names, 'an update with what was read masked'))]
}

function keysOf(parameters: Parameters, name: string): readonly string[] {
  return (parameters.get(name) ?? []).flatMap((selector) => keysOfSelector(selector) ?? [everyName])
}

/** What is a number may be a place in a list, which is none of a field's names, or the name of a field. */
function spellings(names: readonly string[]): readonly (readonly string[])[] {
  const withoutPlaces = names.filter((name) => !/^([0-9]+|-)$/.test(name))
  return withoutPlaces.length === names.length || withoutPlaces.length === 0
    ? [names]
    : [names, withoutPlaces]
}

function use(path: ObjectPath, names: readonly string[], through: string): IndirectUse {
  return { source: { path: [...path, ...names.slice(0, -1)], part: names.at(-1) ?? everyName }, through }
}
