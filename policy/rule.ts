/** One rule of a policy, compiled: what it matches. */
import type { GuardrailPolicySpec } from '@firebreak/crds'
import type { Classification } from './classification.ts'
import { actionFamilies, type Command, everyName, type Source, type Touch } from './command.ts'
import { type Condition, type ConditionInput, compileCondition } from './condition.ts'
import type { QualifiedName, RuleReference } from './decision.ts'
import { describeTouch } from './describe.ts'
import { compileGlob, compileName, coverage, isPath, type NamePattern } from './names.ts'

export type RuleSpec = GuardrailPolicySpec['rules'] extends (infer Rule)[] | undefined ? Rule : never

export interface CompiledRule {
  readonly reference: RuleReference
  /** `policy/rule`, for an order that doesn't depend on how things were written. */
  readonly sortKey: string
  readonly spec: RuleSpec
  /** Nothing but the family of its actions narrows it: {@link allowsAll} asks for that too. */
  readonly unrestricted: boolean
  readonly actions: readonly ((action: string) => boolean)[] | undefined
  readonly objects: readonly NamePattern[] | undefined
  readonly tags: readonly ((tag: string) => boolean)[] | undefined
  readonly condition: Condition | undefined
}

/** @throws Error with a message for the policy's author when the condition is not valid. */
export function compileRule(policy: QualifiedName, spec: RuleSpec): CompiledRule {
  const { actions, objects, tags, condition } = spec.match
  const allActions =
    actions === undefined || actions.some((action) => action === '*' || /^[a-z0-9]+:\*$/.test(action))
  const allObjects = objects === undefined || objects.some((object) => object === '*' || object === '**')
  return {
    reference: { policy, rule: spec.name },
    sortKey: `${policy}/${spec.name}`,
    spec,
    unrestricted: allActions && allObjects && tags === undefined && condition === undefined,
    actions: (spec.effect === 'allow' ? actions : actions?.flatMap(withFoldedCall))?.map(compileGlob),
    objects: (spec.effect === 'allow' ? objects : objects?.flatMap(withFolded))?.map(compileName),
    tags: tags?.map(compileGlob),
    condition: condition === undefined ? undefined : compileCondition(condition),
  }
}

/** What is denied as `/Admin` is denied on systems that don't tell it from `/admin` as well, which requests are also read as. */
function withFolded(object: string): readonly string[] {
  const folded = object.toLowerCase()
  return isPath(object) && folded !== object ? [object, folded] : [object]
}

/** So are calls of gRPC: some servers take a method in any letters, and each call goes by its folded name as well. */
function withFoldedCall(action: string): readonly string[] {
  const folded = action.toLowerCase()
  return action.startsWith('grpc:') && folded !== action ? [action, folded] : [action]
}

/** Whether a rule matches whatever a command does. `ssh:*` is everything of another protocol, and nothing of this one. */
export function allowsAll({ unrestricted, actions }: CompiledRule, { resourceType }: Command): boolean {
  return unrestricted && (!actions || actions.some((matches) => matches(`${actionFamilies[resourceType]}:`)))
}

/** What was granted beside the rules, as an allow rule. */
export function compileGrant(
  { policy, rule }: RuleReference,
  actions: readonly string[] | undefined,
  objects: readonly string[] | undefined,
): CompiledRule {
  const match = { ...(actions && { actions: [...actions] }), ...(objects && { objects: [...objects] }) }
  return compileRule(policy, { name: rule, effect: 'allow', match })
}

interface Matching {
  /** Whether a pattern for a part is about the whole. */
  readonly partStandsForWhole: boolean
  /** Whether a pattern for one of the names that a path stands for is about the path. */
  readonly any: boolean
}

/** How a touch is matched: all of it, some of its parts, or not at all. */
type Match = 'all' | 'none' | readonly string[]

/**
 * What of a touch a deny, hold or alert rule is about.
 *
 * A touch without parts acts on the object as a whole (DELETE, TRUNCATE): a pattern for one of its parts matches it
 * too, and so do the tags of everything classified in it.
 */
export function matchTouch(rule: CompiledRule, touch: Touch, classification: Classification): Match {
  return match(rule, touch, classification, {
    partStandsForWhole: touch.object.parts === undefined,
    any: true,
  })
}

/**
 * What of a touch an allow rule covers. The other way round than {@link matchTouch}: a rule for a part does not
 * cover the whole, only a look at the object that names none of its parts (`count(*)`).
 */
export function coversTouch(rule: CompiledRule, touch: Touch, classification: Classification): Match {
  return match(rule, touch, classification, {
    partStandsForWhole: touch.object.parts?.length === 0,
    any: false,
  })
}

function match(rule: CompiledRule, touch: Touch, classification: Classification, how: Matching): Match {
  if (rule.actions && !rule.actions.some((matches) => matches(touch.action) || touch.also?.some(matches)))
    return 'none'
  const { kind, path, parts } = touch.object
  const byObject = rule.objects ? matchObjects(rule.objects, kind, path, parts, how) : 'all'
  if (byObject === 'none' || !rule.tags) return byObject
  if (how.partStandsForWhole) return carriesTag(rule, classification.tagsBelow(path)) ? 'all' : 'none'
  const candidates = byObject === 'all' ? (parts ?? []) : byObject
  return allOrNone(candidates.filter((part) => carriesTag(rule, classification.tagsOf(path, part))))
}

function matchObjects(
  patterns: readonly NamePattern[],
  kind: string,
  path: readonly string[],
  parts: readonly string[] | undefined,
  { partStandsForWhole, any }: Matching,
): Match {
  const matching = new Set<string>()
  for (const pattern of patterns) {
    const covered = coverage(pattern, kind, path, any)
    if (covered === 'all') return 'all'
    if (covered === 'none') continue
    if (partStandsForWhole) return 'all'
    for (const part of parts ?? []) if ((any && part === everyName) || covered(part)) matching.add(part)
  }
  return allOrNone([...matching])
}

function allOrNone(parts: readonly string[]): Match {
  return parts.length === 0 ? 'none' : parts
}

function carriesTag(rule: CompiledRule, tags: readonly string[]): boolean {
  return tags.some((tag) => rule.tags?.some((matches) => matches(tag)))
}

/** Whether a mask rule is about a source of data. Actions don't narrow masks: a value is masked however it is read. */
export function matchesSource(rule: CompiledRule, source: Source, classification: Classification): boolean {
  const how = { partStandsForWhole: false, any: true }
  if (rule.objects && matchObjects(rule.objects, 'table', source.path, [source.part], how) === 'none')
    return false
  return !rule.tags || carriesTag(rule, classification.tagsOf(source.path, source.part))
}

/** Whether an object holds anything that a mask rule is about, touched or not. */
export function touchesRule(
  rule: CompiledRule,
  { object: { kind, path } }: Touch,
  classification: Classification,
): boolean {
  const how = { partStandsForWhole: true, any: true }
  if (rule.objects && matchObjects(rule.objects, kind, path, undefined, how) === 'none') return false
  return !rule.tags || carriesTag(rule, classification.tagsBelow(path))
}

/** What of a command a deny, hold or alert rule matches, in words; empty when nothing. */
export function matchesInWords(
  rule: CompiledRule,
  command: Command,
  classification: Classification,
  input: ConditionInput,
): string[] {
  if (command.opaque.length > 0) return command.opaque.map((reason) => `opaque: ${reason}`)
  const words: string[] = []
  for (const touch of command.touches) {
    const match = matchTouch(rule, touch, classification)
    if (match !== 'none') words.push(describeTouch(touch, match === 'all' ? undefined : match))
  }
  if (words.length === 0 && (rule.actions || rule.objects || rule.tags)) return []
  if (rule.condition && !rule.condition(input, true)) return []
  return words.length > 0 ? words : ['every command']
}
