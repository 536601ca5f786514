/** Two sets of manifests → what is decided otherwise, for whom, by what stands for everything that could be asked. */
import type { ManifestSet, ProtectedResource } from '@firebreak/crds'
import { compileGlob, type Decision, type MaskStrategy, type Subject } from '@firebreak/policy'
import { vocabulary } from '@firebreak/sidecar/protocols/vocabulary.ts'
import { type Asker, askersOf, subjectOf } from './askers.ts'
import { type Ask, asksAbout, aspectOf, commandOf, namesOf } from './asks.ts'
import { objectRepresentatives } from './representatives.ts'
import { Conditions, isOpen, type Side, sideOf } from './side.ts'
import { type World, whenInWords, worldsOf } from './worlds.ts'

export interface Verdict {
  readonly effect: Decision['effect']
  /** Of a column that is read. */
  readonly mask?: MaskStrategy
  readonly approval?: string
  readonly alert: boolean
}

export interface Change {
  readonly asker: Asker
  readonly ask: Ask
  readonly before: Verdict
  readonly after: Verdict
  /** In words; absent: always. */
  readonly when?: string
  /** The names of all objects that the same was asked about. */
  readonly among: readonly string[]
}

/** A session as such. */
export interface AccessChange {
  readonly asker: Asker
  /** Why there is none, on the side where there is none. */
  readonly refusal: string
  readonly gained: boolean
}

export interface Comparison {
  readonly access: readonly AccessChange[]
  readonly changes: readonly Change[]
  /** Conditions that are too many to try all combinations, with the one who asks. */
  readonly incomplete: readonly Asker[]
}

export function compare(before: ManifestSet, after: ManifestSet): Comparison {
  const conditions = new Conditions()
  const [old, now] = [sideOf(before, conditions), sideOf(after, conditions)]
  const access: AccessChange[] = []
  const changes: Change[] = []
  const incomplete: Asker[] = []
  for (const asker of askersOf(before, after)) {
    if (concerning(asker, old) === concerning(asker, now)) continue
    const refusals = [refusalOf(asker, old), refusalOf(asker, now)] as const
    const refusal = refusals[0] ?? refusals[1]
    if (refusals[0] !== undefined && refusals[1] !== undefined) continue
    if (refusal !== undefined) access.push({ asker, refusal, gained: refusals[1] === undefined })
    if (refusals[1] !== undefined) continue
    const found = compareFor(asker, old, now, conditions)
    const told = refusal === undefined ? found.changes : found.changes.filter((change) => !comesAlong(change))
    changes.push(...told)
    if (!found.complete) incomplete.push(asker)
  }
  return { access, changes, incomplete }
}

/** What comes with a session is not said besides the session. */
function comesAlong({ ask, after }: Change): boolean {
  return ask.kind === 'action' && vocabulary.baseline.includes(ask.action) && after.effect === 'allow'
}

/** Everything that decides about somebody: where that is the same, so are all decisions. */
function concerning(asker: Asker, side: Side): string {
  const { identities, resources } = side.manifests
  const named = <M extends { metadata: { name: string; namespace: string } }>(
    all: readonly M[],
    name: string,
  ) => all.find(({ metadata }) => metadata.name === name && metadata.namespace === asker.namespace)
  const identity = named(identities, asker.identity)?.spec
  const resource = named(resources, asker.resource)?.spec
  return JSON.stringify([
    identity && { access: identity.access, suspend: identity.suspend, groups: identity.groups },
    resource && {
      type: resource.type,
      classification: resource.classification,
      roles: resource.roles.map(({ name }) => name),
    },
    side.manifests.policies
      .filter(({ metadata }) => metadata.namespace === asker.namespace)
      .map(({ metadata, spec: { appliesTo, rules } }) => ({ name: metadata.name, appliesTo, rules }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  ])
}

/** Why there is no session at all. */
function refusalOf(asker: Asker, { manifests, snapshot }: Side): string | undefined {
  const subject = subjectOf(asker, manifests)
  const refusal = snapshot.refusal(subject)
  if (refusal !== undefined) return refusal
  const applies = manifests.policies.some((policy) => appliesTo(policy, asker, subject))
  return applies ? undefined : 'no policy applies'
}

type Policy = ManifestSet['policies'][number]

function appliesTo({ metadata, spec: { appliesTo } }: Policy, asker: Asker, subject: Subject): boolean {
  const { identities, groups, resources, roles } = appliesTo
  return (
    metadata.namespace === asker.namespace &&
    (identities?.includes(asker.identity) ?? true) &&
    (groups?.some((group) => subject.chain[0].groups.includes(group)) ?? true) &&
    (resources?.includes(asker.resource) ?? true) &&
    (roles?.includes(asker.role) ?? true)
  )
}

function compareFor(
  asker: Asker,
  old: Side,
  now: Side,
  conditions: Conditions,
): { readonly changes: readonly Change[]; readonly complete: boolean } {
  const sides = [old, now] as const
  const policies = sides.flatMap((side) =>
    side.manifests.policies.filter((policy) => appliesTo(policy, asker, subjectOf(asker, side.manifests))),
  )
  const resources = sides.flatMap((side) =>
    side.manifests.resources.filter(
      ({ metadata }) => metadata.name === asker.resource && metadata.namespace === asker.namespace,
    ),
  )
  const type = resources.at(-1)?.spec.type ?? 'postgresql'
  const objects = objectRepresentatives({ policies, resources }, asker.resource)
  const changes: Change[] = []
  let complete = true
  const asks = asksAbout(objects, type, policies)
  const among = Map.groupBy(asks, aspectOf)
  for (const ask of asks) {
    const facts = openFacts(ask, policies, conditions)
    const worlds = worldsOf(facts)
    complete &&= worlds.complete
    for (const change of compareAsk(asker, ask, type, old, now, facts, worlds.all, conditions))
      changes.push({ ...change, among: namesOf(among.get(aspectOf(ask))) })
  }
  return { changes: withoutEchoes(changes), complete }
}

/** Conditions of rules that may be about what is asked. */
function openFacts(ask: Ask, policies: readonly Policy[], conditions: Conditions): readonly string[] {
  const action = ask.kind === 'action' ? ask.action : undefined
  const texts = policies
    .flatMap(({ spec }) => spec.rules ?? [])
    .filter(
      ({ effect, match: { actions } }) =>
        action === undefined ||
        effect === 'mask' ||
        (actions?.some((glob) => compileGlob(glob)(action)) ?? true),
    )
    .flatMap(({ match: { condition } }) => (condition !== undefined && isOpen(condition) ? [condition] : []))
  // what can't be analysed is decided without looking at conditions
  return ask.kind === 'opaque' ? [] : [...new Set(texts)].map((text) => conditions.factOf(text))
}

function compareAsk(
  asker: Asker,
  ask: Ask,
  type: ProtectedResource['spec']['type'],
  old: Side,
  now: Side,
  facts: readonly string[],
  worlds: readonly World[],
  conditions: Conditions,
): Omit<Change, 'among'>[] {
  const decided = worlds.map((world) => {
    const command = commandOf(ask, type, world)
    const verdict = ({ snapshot, manifests }: Side): Verdict =>
      verdictOf(snapshot.decide(subjectOf(asker, manifests), command))
    const after = verdict(now)
    const before = beforeLoss(verdict(old), after)
    return { world, before, after, key: JSON.stringify([before, after]) }
  })
  const differing = decided.filter(({ before, after }) => JSON.stringify(before) !== JSON.stringify(after))
  return [...Map.groupBy(differing, ({ key }) => key)].flatMap(([key, [first]]): Omit<Change, 'among'>[] => {
    if (!first) return []
    const where = new Set(decided.filter((each) => each.key === key).map(({ world }) => world))
    const when = whenInWords(
      facts,
      worlds,
      (world) => where.has(world),
      (fact) => conditions.textOf(fact),
    )
    return [{ asker, ask, before: first.before, after: first.after, ...(when !== undefined && { when }) }]
  })
}

/** What is lost is lost, whether it needed approval or not. */
function beforeLoss(before: Verdict, after: Verdict): Verdict {
  return after.effect === 'deny' && before.effect === 'hold'
    ? { effect: 'allow', alert: before.alert }
    : before
}

function verdictOf(decision: Decision): Verdict {
  const alert = decision.alerts.length > 0
  if (decision.effect === 'deny') return { effect: 'deny', alert }
  const mask = decision.masks[0]?.strategy
  return {
    effect: decision.effect,
    ...(mask && { mask }),
    ...(decision.effect === 'hold' && { approval: approvalInWords(decision.approval) }),
    alert,
  }
}

type Approval = Extract<Decision, { effect: 'hold' }>['approval']

function approvalInWords({ requirements, expiresAfterSeconds, whileWaiting, boundTo }: Approval): string {
  const people = requirements
    .map(
      ({ groups, quorum }) =>
        `${quorum} of ${groups.length > 0 ? groups.join(', ') : 'anybody with the right'}`,
    )
    .sort()
  const terms = [
    `within ${expiresAfterSeconds} s`,
    ...(whileWaiting === 'fail' ? ['without waiting'] : []),
    ...(boundTo === 'session' ? ['for one session'] : []),
  ]
  return `${[...new Set(people)].join(' and ')}, ${terms.join(', ')}`
}

/** What changes for reading changes for using and counting, too: that is not said again. */
function withoutEchoes(changes: readonly Change[]): readonly Change[] {
  const transition = ({ before, after, when }: Change): string =>
    JSON.stringify([before.effect, after.effect, when])
  const read = new Set(
    changes.flatMap((change) =>
      change.ask.kind === 'action' && change.ask.action === 'sql:select'
        ? [
            `use ${change.ask.object.name} ${transition(change)}`,
            `rows ${change.ask.object.path.join('.')} ${transition(change)}`,
          ]
        : [],
    ),
  )
  return changes.filter((change) => {
    const { ask } = change
    if (ask.kind === 'use') return !read.has(`use ${ask.object.name} ${transition(change)}`)
    return ask.kind !== 'rows' || !read.has(`rows ${ask.object.path.join('.')} ${transition(change)}`)
  })
}
