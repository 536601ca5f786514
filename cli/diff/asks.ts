/** Everything that could be asked of a resource, by what stands for it. */
import type { GuardrailPolicy, ProtectedResource } from '@firebreak/crds'
import { actionFamilies, type Command, type Touch } from '@firebreak/policy'
import { vocabulary } from '@firebreak/sidecar/protocols/vocabulary.ts'
import type { ObjectRepresentative } from './representatives.ts'
import type { World } from './worlds.ts'

/** What is asked: an action, or something that is none. */
export type Ask =
  | { readonly kind: 'action'; readonly action: string; readonly object: ObjectRepresentative }
  /** A look at a table that names no column: how many rows it has. */
  | { readonly kind: 'rows'; readonly object: ObjectRepresentative }
  /** A column in a condition, a sort order, a copy. */
  | { readonly kind: 'use'; readonly object: ObjectRepresentative }
  /** What can't be analysed. */
  | { readonly kind: 'opaque' }

type ResourceType = ProtectedResource['spec']['type']

/** Asks of the same aspect differ in their object only. */
export function aspectOf(ask: Ask): string {
  return ask.kind === 'action' ? ask.action : ask.kind
}

export function namesOf(asks: readonly Ask[] = []): readonly string[] {
  return asks.flatMap((ask) => (ask.kind === 'opaque' ? [] : [ask.object.name]))
}

export function asksAbout(
  objects: readonly ObjectRepresentative[],
  type: ResourceType,
  policies: readonly GuardrailPolicy[],
): Ask[] {
  const asks: Ask[] = []
  const columns = objects.filter(({ part }) => part !== undefined)
  const wholes = objects.filter(({ part }) => part === undefined)
  const tables = wholes.filter(({ kind }) => columns.some((column) => column.kind === kind))
  const others = wholes.filter((whole) => !tables.includes(whole))
  for (const action of actionsOf(type, policies))
    for (const object of vocabulary.aboutParts.includes(action) ? [...columns, ...others] : wholes)
      asks.push({ kind: 'action', action, object })
  for (const object of tables) asks.push({ kind: 'rows', object })
  for (const object of columns) asks.push({ kind: 'use', object })
  return [...asks, { kind: 'opaque' }]
}

/** All that are known of a protocol, what policies name besides, and one that they don't name. */
function actionsOf(type: ResourceType, policies: readonly GuardrailPolicy[]): readonly string[] {
  const family = `${actionFamilies[type]}:`
  const spoken = vocabulary.actions.filter((action) => action.startsWith(family))
  const named = policies
    .flatMap(({ spec }) => spec.rules ?? [])
    .flatMap(({ match }) => match.actions ?? [])
    .filter((action) => action.startsWith(family))
  return [...new Set(spoken.length > 0 ? spoken : [...named, `${family}*`])]
}

/** What an ask looks like to a policy, in a world. */
export function commandOf(ask: Ask, resourceType: ResourceType, world: World): Command {
  const base = { resourceType, text: '', facts: { open: world } }
  const nothing = { touches: [], opaque: [], fields: [], indirectUses: [] }
  if (ask.kind === 'opaque') return { ...base, ...nothing, opaque: ['it can not be analysed'] }
  const { kind, path, part } = ask.object
  const action = ask.kind === 'action' ? ask.action : 'sql:select'
  const parts = part !== undefined ? [part] : ask.kind === 'rows' ? [] : undefined
  const origin = vocabulary.baseline.includes(action) ? 'baseline' : 'direct'
  const touch: Touch = { action, object: { kind, path, ...(parts && { parts }) }, origin }
  if (part === undefined) return { ...base, ...nothing, touches: [touch] }
  const source = { path, part }
  if (ask.kind === 'use')
    return { ...base, ...nothing, touches: [touch], indirectUses: [{ source, through: 'WHERE' }] }
  const fields =
    action === 'sql:select' ? [{ label: part, sources: [source], derivation: 'copy' as const }] : []
  return { ...base, ...nothing, touches: [touch], fields }
}
