/** What changes besides decisions: limits and the like of sessions, what may be asked for, and fields of the manifests. */
import type { ManifestSet } from '@firebreak/crds'
import type { ElevationOffer } from '@firebreak/policy'
import { type Asker, askersOf, subjectOf } from './askers.ts'
import type { Draft } from './sentences.ts'
import { Conditions, type Side, sideOf } from './side.ts'

export interface FieldChange {
  /** `ProtectedResource agents/orders-db`. */
  readonly object: string
  readonly text: string
}

/** Of those who have a session on both sides. */
export function compareSessions(before: ManifestSet, after: ManifestSet): readonly Draft[] {
  const conditions = new Conditions()
  const [old, now] = [sideOf(before, conditions), sideOf(after, conditions)]
  return askersOf(before, after).flatMap((asker) => {
    const subjects = [subjectOf(asker, before), subjectOf(asker, after)] as const
    if (old.snapshot.refusal(subjects[0]) ?? now.snapshot.refusal(subjects[1])) return []
    return [...compareTerms(asker, old, now), ...compareOffers(asker, old, now)]
  })
}

function compareTerms(asker: Asker, old: Side, now: Side): Draft[] {
  const of = ({ snapshot, manifests }: Side): Map<string, string> => {
    // whether anything is masked is told column by column
    const { revision: _revision, masks: _masks, ...terms } = snapshot.termsFor(subjectOf(asker, manifests))
    return flat(terms)
  }
  return fieldsOf(of(old), of(now)).map(({ path, before, after }) => {
    const limit = path.startsWith('limits.')
    const relaxed = Number(after ?? Number.POSITIVE_INFINITY) > Number(before ?? Number.POSITIVE_INFINITY)
    return {
      asker,
      gives: limit ? (relaxed ? 'more' : 'less') : 'other',
      text: `${limit ? 'limit' : 'setting'} ${path.replace('limits.', '')}: ${change(before, after)}`,
    }
  })
}

function compareOffers(asker: Asker, old: Side, now: Side): Draft[] {
  const of = ({ snapshot, manifests }: Side): readonly ElevationOffer[] =>
    snapshot.elevationsFor(subjectOf(asker, manifests))
  const named = (offers: readonly ElevationOffer[]): Map<string, string> =>
    new Map(offers.map((offer) => [`${offer.rule.policy}/${offer.rule.rule}`, offerInWords(offer)]))
  return fieldsOf(named(of(old)), named(of(now))).map(({ path, before, after }): Draft => {
    const name = path.split('/').at(-1)
    if (before === undefined) return { asker, gives: 'more', text: `may ask for ${name} now: ${after}` }
    if (after === undefined)
      return { asker, gives: 'less', text: `may not ask for ${name} any more: ${before}` }
    return { asker, gives: 'other', text: `may ask for ${name}: ${after} (before: ${before})` }
  })
}

function offerInWords({
  roles,
  actions,
  objects,
  maxDuration,
  requirement,
  breakGlass,
  expiresAfterSeconds,
}: ElevationOffer): string {
  const what = [
    ...(roles ? [`role ${roles.join(', ')}`] : []),
    ...(actions ? [`${actions.join(', ')} on ${objects?.join(', ') ?? 'everything'}`] : []),
  ]
  const { groups, quorum } = requirement
  const who = breakGlass
    ? 'asking nobody'
    : `by ${quorum} of ${groups.length > 0 ? groups.join(', ') : 'anybody with the right'} within ${expiresAfterSeconds} s`
  return `${what.join(' and ')} for ${maxDuration}, ${who}`
}

/** Fields that say who may do what are told in what they do. */
const told: Readonly<Record<string, readonly string[]>> = {
  AgentIdentity: ['access', 'groups', 'suspend'],
  ProtectedResource: ['classification'],
}

export function compareFields(before: ManifestSet, after: ManifestSet): readonly FieldChange[] {
  const of = (set: ManifestSet): Map<string, Map<string, string>> =>
    new Map(
      [...set.identities, ...set.resources].map(({ kind, metadata, spec }) => [
        `${kind} ${metadata.namespace}/${metadata.name}`,
        flat(
          Object.fromEntries(Object.entries(spec).filter(([name]) => !told[kind]?.includes(name))),
          'spec',
        ),
      ]),
    )
  const [old, now] = [of(before), of(after)]
  const found: FieldChange[] = []
  for (const object of new Set([...old.keys(), ...now.keys()])) {
    const [first, second] = [old.get(object), now.get(object)]
    if (!first) found.push({ object, text: 'is new' })
    else if (!second) found.push({ object, text: 'is gone' })
    else
      for (const { path, before: was, after: is } of fieldsOf(first, second))
        found.push({ object, text: `${path}: ${change(was, is)}` })
  }
  return found
}

function change(before: string | undefined, after: string | undefined): string {
  return `${before ?? 'none'} → ${after ?? 'none'}`
}

function fieldsOf(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): { readonly path: string; readonly before: string | undefined; readonly after: string | undefined }[] {
  return [...new Set([...before.keys(), ...after.keys()])]
    .map((path) => ({ path, before: before.get(path), after: after.get(path) }))
    .filter((field) => field.before !== field.after)
}

/** Leaves by their paths; items with names by these, so that an order means nothing. */
function flat(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null) return new Map([[path, String(value)]])
  const items = Array.isArray(value)
    ? value.map((item: unknown, index): [string, unknown] => [`[${nameOf(item) ?? index}]`, item])
    : Object.entries(value).map(([name, inner]): [string, unknown] => [
        `${path === '' ? '' : '.'}${name}`,
        inner,
      ])
  return new Map(items.flatMap(([step, inner]) => [...flat(inner, `${path}${step}`)]))
}

function nameOf(item: unknown): string | undefined {
  const { name } = typeof item === 'object' && item !== null ? (item as { name?: unknown }) : {}
  return typeof name === 'string' ? name : undefined
}
