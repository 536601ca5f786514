/** Changes → sentences, each about as many actions and objects as it can be. */
import { type MaskStrategy, nameCovers } from '@firebreak/policy'
import { vocabulary } from '@firebreak/sidecar/protocols/vocabulary.ts'
import type { Asker } from './askers.ts'
import type { AccessChange, Change, Comparison, Verdict } from './compare.ts'
import { shownName } from './representatives.ts'

/** Whether somebody may do more or less than before; `other` where that can't be said. */
export type Gives = 'more' | 'less' | 'other'

export interface Sentence {
  readonly agent: string
  /** That its token has to prove. */
  readonly group?: string
  readonly resource: string
  /** Of the resource. */
  readonly roles: readonly string[]
  readonly gives: Gives
  /** In words, from the agent on. */
  readonly text: string
}

/** One thing that is different about one ask. */
interface Aspect {
  readonly gives: Gives
  readonly say: (actions: string, objects: string) => string
  /** Aspects of the same key are one sentence. */
  readonly key: string
}

export function sentencesOf({ access, changes }: Comparison): readonly Sentence[] {
  const byAsker = Map.groupBy(changes, ({ asker }) => JSON.stringify(asker))
  const own = [...byAsker].flatMap(([, ofAsker]) => {
    const [first] = ofAsker
    return first ? sentencesFor(first.asker, ofAsker) : []
  })
  return merged(withoutRepeated([...access.map(accessSentence), ...own]))
}

/** What is said of sessions as such. */
export function sessionSentences(changes: readonly Draft[]): readonly Sentence[] {
  return merged(withoutRepeated(changes))
}

/** For one role. */
export interface Draft {
  readonly asker: Asker
  readonly gives: Gives
  readonly text: string
}

function accessSentence({ asker, refusal, gained }: AccessChange): Draft {
  return gained
    ? { asker, gives: 'more', text: 'can connect now' }
    : { asker, gives: 'less', text: `can't connect any more: ${refusal}` }
}

function sentencesFor(asker: Asker, changes: readonly Change[]): Draft[] {
  const aspects = changes.flatMap((change) => aspectsOf(change).map((aspect) => ({ change, aspect })))
  return [...Map.groupBy(aspects, ({ aspect }) => aspect.key).values()].flatMap((same) => {
    const [first] = same
    if (!first) return []
    return groupsOf(same.map(({ change }) => change)).map(({ actions, objects }) => ({
      asker,
      gives: first.aspect.gives,
      text: `${first.aspect.say(actions, objects)}${first.change.when === undefined ? '' : `, ${first.change.when}`}`,
    }))
  })
}

const severity = { allow: 0, hold: 1, deny: 2 } as const

const verbs: Readonly<Record<string, string>> = {
  'deny allow': 'gains',
  'allow deny': 'loses',
  'allow hold': 'needs approval now for',
  'hold allow': 'needs no approval any more for',
  'hold deny': 'loses, even with approval,',
  'deny hold': 'gains, with approval,',
}

function aspectsOf({ ask, before, after, when }: Change): Aspect[] {
  const found: Aspect[] = []
  const add = (gives: Gives, key: string, say: Aspect['say']): void => {
    found.push({ gives, key: JSON.stringify([ask.kind, key, when]), say })
  }
  const verb = verbs[`${before.effect} ${after.effect}`]
  if (verb !== undefined) {
    const tail = before.effect === 'deny' ? terms(after) : after.effect === 'hold' ? approval(after) : ''
    const gives = severity[after.effect] < severity[before.effect] ? 'more' : 'less'
    add(gives, `${verb}${tail}`, (actions, objects) => `${verb} ${phrase(ask.kind, actions, objects)}${tail}`)
  }
  if (before.effect !== 'deny' && after.effect !== 'deny') {
    const masks = [before.mask, after.mask].map((mask) => mask && maskInWords(mask))
    const [old, now] = masks
    if (old !== now)
      add(
        old === undefined ? 'less' : now === undefined ? 'more' : 'other',
        `mask ${old} ${now}`,
        (_actions, objects) => `sees ${objects} ${maskChange(old, now)}`,
      )
    if (before.effect === 'hold' && after.effect === 'hold' && before.approval !== after.approval)
      add(
        'other',
        `approval ${before.approval} ${after.approval}`,
        (actions, objects) =>
          `needs approval for ${phrase(ask.kind, actions, objects)} by ${after.approval} (before: ${before.approval})`,
      )
  }
  if (before.alert !== after.alert)
    add(after.alert ? 'less' : 'more', `alert ${after.alert}`, (actions, objects) =>
      after.alert
        ? `raises an alert now with ${phrase(ask.kind, actions, objects)}`
        : `raises no alert any more with ${phrase(ask.kind, actions, objects)}`,
    )
  return found
}

function phrase(kind: Change['ask']['kind'], actions: string, objects: string): string {
  if (kind === 'opaque') return "commands that can't be analysed"
  if (kind === 'rows') return `counting rows of ${objects}`
  if (kind === 'use') return `the use of ${objects} in conditions, sorting and copies`
  return objects === everything ? actions : `${actions} on ${objects}`
}

function terms(verdict: Verdict): string {
  return `${verdict.mask ? `, masked (${maskInWords(verdict.mask)})` : ''}${approval(verdict)}`
}

function approval({ approval: words }: Verdict): string {
  return words === undefined ? '' : ` (${words})`
}

function maskChange(old: string | undefined, now: string | undefined): string {
  if (old === undefined) return `masked now (${now})`
  return now === undefined ? `no longer masked (before: ${old})` : `masked otherwise: ${now} (before: ${old})`
}

function maskInWords(mask: MaskStrategy): string {
  switch (mask.kind) {
    case 'partial':
      return `partial, the last ${mask.keepLast} stay`
    case 'format':
      return `format ${mask.format}`
    default:
      return mask.kind
  }
}

const everything = 'everything'

/** The actions that are about the same objects, together. */
function groupsOf(changes: readonly Change[]): { readonly actions: string; readonly objects: string }[] {
  const byAction = Map.groupBy(changes, ({ ask }) => (ask.kind === 'action' ? ask.action : ''))
  const lists = [...byAction].map(([action, about]) => ({
    action,
    objects: objectsInWords(
      about.flatMap(({ ask }) => (ask.kind === 'opaque' ? [] : [ask.object.name])),
      about[0]?.among ?? [],
    ),
  }))
  return [...Map.groupBy(lists, ({ objects }) => objects)].map(([objects, same]) => ({
    actions: actionsInWords(same.map(({ action }) => action)),
    objects,
  }))
}

function actionsInWords(actions: readonly string[]): string {
  const [family] = (actions[0] ?? '').split(':')
  const all = vocabulary.actions.filter(
    (action) => action.startsWith(`${family}:`) && !vocabulary.baseline.includes(action),
  )
  if (all.length > 0 && all.every((action) => actions.includes(action))) return everything
  return list(actions.map((action) => action.slice(action.indexOf(':') + 1)))
}

/**
 * Names that others cover are left out, and what such a name covers and is not meant is said to be excepted.
 *
 * @param among all names that were asked about.
 */
function objectsInWords(names: readonly string[], among: readonly string[]): string {
  const others = among.filter((name) => !names.includes(name))
  return list(phrasesFor(names, others))
}

function phrasesFor(names: readonly string[], others: readonly string[]): string[] {
  const tops = outermost(names).map((top) => ({
    top,
    exceptions: outermost(others.filter((other) => nameCovers(top, other))),
  }))
  const phrases = tops.map(({ top, exceptions }) => {
    const name = shownName(top)
    return exceptions.length === 0 ? name : `${name} but ${list(exceptions.map(shownName))}`
  })
  const excepted = tops.flatMap(({ exceptions }) => exceptions)
  const inside = names.filter(
    (name) =>
      !tops.some(({ top }) => top === name) && excepted.some((exception) => nameCovers(exception, name)),
  )
  return inside.length === 0 ? phrases : [...phrases, ...phrasesFor(inside, others)]
}

function outermost(names: readonly string[]): readonly string[] {
  return names.filter((name) => !names.some((wide) => wide !== name && nameCovers(wide, name)))
}

function list(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
}

/** What changes for whoever is an agent is not said again for those of it who are in a group. */
function withoutRepeated(drafts: readonly Draft[]): readonly Draft[] {
  const key = ({ asker: { group: _group, ...anybody }, text }: Draft): string =>
    JSON.stringify([anybody, text])
  const ofAnybody = new Set(drafts.filter(({ asker }) => asker.group === undefined).map(key))
  return drafts.filter((draft) => draft.asker.group === undefined || !ofAnybody.has(key(draft)))
}

/** The same for several roles is said once. */
function merged(drafts: readonly Draft[]): readonly Sentence[] {
  const key = ({ asker: { role: _role, ...who }, gives, text }: Draft): string =>
    JSON.stringify([who, gives, text])
  return [...Map.groupBy(drafts, key).values()].flatMap((same) => {
    const [first] = same
    if (!first) return []
    const { namespace, identity, group, resource } = first.asker
    return [
      {
        agent: `${namespace}/${identity}`,
        ...(group !== undefined && { group }),
        resource,
        roles: same.map(({ asker }) => asker.role),
        gives: first.gives,
        text: first.text,
      },
    ]
  })
}
