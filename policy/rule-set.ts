/** The rules that apply to one link of a chain in one session, and what they say about a command. */
import type { Classification } from './classification.ts'
import type { Command, Field, Touch } from './command.ts'
import type { ConditionInput } from './condition.ts'
import type { Decision, FieldMask, MaskStrategy, Principal, RuleReference, Subject } from './decision.ts'
import { describeSource, describeTouch } from './describe.ts'
import { approvalTerms } from './holding.ts'
import {
  allowsAll,
  type CompiledRule,
  compileGrant,
  coversTouch,
  matchesInWords,
  matchesSource,
  matchTouch,
  touchesRule,
} from './rule.ts'
import { CompiledScope } from './scope.ts'

export class RuleSet {
  readonly #principal: Principal
  readonly #subject: Subject
  readonly #classification: Classification
  readonly #revision: string
  readonly #rules: Readonly<Record<CompiledRule['spec']['effect'], readonly CompiledRule[]>>
  /** The elevations in force, as allow rules. */
  readonly #elevations: readonly CompiledRule[]
  readonly #scope: CompiledScope | undefined

  /** @param rules sorted by their key, so that the deciding rule never depends on the order of writing. */
  constructor(
    principal: Principal,
    subject: Subject,
    classification: Classification,
    rules: readonly CompiledRule[],
    revision: string,
  ) {
    const withEffect = (effect: CompiledRule['spec']['effect']): CompiledRule[] =>
      rules.filter((rule) => rule.spec.effect === effect)
    this.#principal = principal
    this.#subject = subject
    this.#classification = classification
    this.#revision = revision
    this.#elevations = (principal.elevations ?? []).flatMap(({ rule, actions, objects }) =>
      actions ? [compileGrant(rule, actions, objects)] : [],
    )
    this.#scope = principal.scope && new CompiledScope(principal)
    this.#rules = {
      allow: [...withEffect('allow'), ...this.#elevations],
      deny: withEffect('deny'),
      requireApproval: withEffect('requireApproval'),
      mask: withEffect('mask').filter((rule) => canMask(rule, classification)),
      alert: withEffect('alert'),
    }
  }

  /** Whether any mask rule could apply to anything here. */
  get masks(): boolean {
    return this.#rules.mask.length > 0
  }

  decide(command: Command): Decision {
    const input: ConditionInput = { command, principal: this.#principal, subject: this.#subject }
    const alerts = this.#matching(this.#rules.alert, input).map(({ rule }) => rule.reference)
    const touchesMasked = this.#rules.mask.some(
      (rule) =>
        command.opaque.length > 0 ||
        command.touches.some((touch) => touchesRule(rule, touch, this.#classification)),
    )
    const common = { alerts, touchesMasked, revision: this.#revision }
    const deny = this.#denied(command, input)
    if (deny) return { effect: 'deny', ...deny, ...common }
    const masks = this.#masksFor(command, input)
    const held = this.#matching(this.#rules.requireApproval, input).filter(
      ({ rule }) => !this.#elevated(rule, command),
    )
    const [first] = held
    if (first) {
      const { rule, words } = first
      return {
        effect: 'hold',
        ...explain(rule, reasonFor(rule, command, words, 'needs approval'), words),
        approval: approvalTerms(held.map((match) => match.rule)),
        masks,
        ...common,
      }
    }
    const covering = this.#coveringRule(command, input)
    const matched = command.touches.map((touch) => describeTouch(touch))
    return {
      effect: 'allow',
      ...(covering && { rule: covering }),
      reason: 'every action is allowed',
      matched,
      masks,
      ...common,
    }
  }

  #matching(
    rules: readonly CompiledRule[],
    input: ConditionInput,
  ): { rule: CompiledRule; words: string[] }[] {
    return rules
      .map((rule) => ({ rule, words: matchesInWords(rule, input.command, this.#classification, input) }))
      .filter(({ words }) => words.length > 0)
  }

  #denied(command: Command, input: ConditionInput): Explanation | undefined {
    const [match] = this.#matching(this.#rules.deny, input)
    if (match)
      return explain(match.rule, reasonFor(match.rule, command, match.words, 'is denied'), match.words)
    return this.#deniedByMask(command, input) ?? this.#outOfScope(command) ?? this.#notAllowed(command, input)
  }

  #outOfScope(command: Command): Explanation | undefined {
    const reason = this.#scope?.excludes(command, this.#classification)
    return reason === undefined ? undefined : { reason, matched: [reason] }
  }

  /** Whether people have granted for a while all that a rule wants to ask them about. */
  #elevated(rule: CompiledRule, command: Command): boolean {
    if (this.#elevations.some((elevation) => allowsAll(elevation, command))) return true
    if (command.opaque.length > 0) return false
    const asked = command.touches.filter((touch) => matchTouch(rule, touch, this.#classification) !== 'none')
    return asked.length > 0 && asked.every((touch) => this.#covered(touch, this.#elevations))
  }

  /** What a mask rule stands for but masking can't keep: opaque results and indirect uses. */
  #deniedByMask(command: Command, input: ConditionInput): Explanation | undefined {
    const [opaque] = command.opaque
    const [maskRule] = this.#rules.mask
    if (opaque !== undefined && maskRule) {
      const reason = `${opaque}, so masked data in it can't be recognized`
      return { ...explain(maskRule, reason, [`opaque: ${opaque}`]), byMask: true }
    }
    for (const { source, through } of command.indirectUses) {
      const rule = this.#rules.mask.find(
        (candidate) =>
          candidate.spec.mask?.indirectUse === 'deny' &&
          matchesSource(candidate, source, this.#classification) &&
          holds(candidate, input),
      )
      if (rule) {
        const column = describeSource(source)
        const reason = `${column} is masked, and may not be used this way (${through})`
        return { ...explain(rule, reason, [`${through}: ${column}`]), byMask: true }
      }
    }
    return undefined
  }

  #notAllowed(command: Command, input: ConditionInput): Explanation | undefined {
    const [opaque] = command.opaque
    if (opaque !== undefined) {
      if (this.#rules.allow.some((rule) => allowsAll(rule, command))) return undefined
      return {
        reason: `${opaque}; what can't be analysed is allowed only by a rule that allows everything`,
        matched: [`opaque: ${opaque}`],
      }
    }
    const usable = this.#rules.allow.filter((rule) => rule.condition?.(input, false) ?? true)
    const uncovered = command.touches.filter(
      (touch) => touch.origin === 'direct' && !this.#covered(touch, usable),
    )
    if (uncovered.length === 0) return undefined
    const matched = uncovered.map((touch) => describeTouch(touch))
    return { reason: `no rule allows ${matched[0]}`, matched }
  }

  #covered(touch: Touch, rules: readonly CompiledRule[]): boolean {
    let open: readonly string[] = touch.object.parts ?? []
    for (const rule of rules) {
      const covered = coversTouch(rule, touch, this.#classification)
      if (covered === 'all') return true
      if (covered !== 'none') open = open.filter((part) => !covered.includes(part))
      if (open.length === 0 && touch.object.parts && touch.object.parts.length > 0) return true
    }
    return false
  }

  #coveringRule(command: Command, input: ConditionInput): RuleReference | undefined {
    const [touch] = command.touches.filter((candidate) => candidate.origin === 'direct')
    const covers = (rule: CompiledRule): boolean =>
      touch === undefined
        ? allowsAll(rule, command)
        : coversTouch(rule, touch, this.#classification) !== 'none' &&
          (rule.condition?.(input, false) ?? true)
    return this.#rules.allow.find(covers)?.reference
  }

  #masksFor(command: Command, input: ConditionInput): readonly (FieldMask | undefined)[] {
    if (this.#rules.mask.length === 0 || command.fields.length === 0) return unmasked
    const rules = this.#rules.mask.filter((rule) => holds(rule, input))
    const masks = command.fields.map((field) => this.#maskFor(field, rules))
    return masks.some((mask) => mask !== undefined) ? masks : unmasked
  }

  #maskFor(field: Field, rules: readonly CompiledRule[]): FieldMask | undefined {
    const matching =
      field.derivation === 'unproven'
        ? rules
        : rules.filter((rule) =>
            field.sources.some((source) => matchesSource(rule, source, this.#classification)),
          )
    if (matching.length === 0) return undefined
    return matching
      .map((rule) => ({
        strategy: field.derivation === 'copy' ? strategyOf(rule) : redact,
        rule: rule.reference,
      }))
      .reduce((a, b) => (strictness(b.strategy) > strictness(a.strategy) ? b : a))
  }
}

const unmasked: readonly undefined[] = []
const redact: MaskStrategy = { kind: 'redact' }

interface Explanation {
  readonly rule?: RuleReference
  readonly reason: string
  readonly hint?: string
  readonly matched: readonly string[]
  readonly byMask?: true
}

function explain(rule: CompiledRule, reason: string, matched: readonly string[]): Explanation {
  const { message } = rule.spec
  return { rule: rule.reference, reason, matched, ...(message !== undefined && { hint: message }) }
}

function reasonFor(rule: CompiledRule, command: Command, words: readonly string[], verdict: string): string {
  const [opaque] = command.opaque
  if (opaque === undefined) return `${words[0]} ${verdict}`
  const verbs = rule.spec.match.actions
    ?.map((action) => action.slice(action.indexOf(':') + 1))
    .filter((verb) => !verb.includes('*'))
  return `${opaque}, which can't be proven not to ${verbs?.length ? orList(verbs) : 'do what the rule is about'}`
}

function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

/** A mask rule whose condition can't be evaluated masks. */
function holds(rule: CompiledRule, input: ConditionInput): boolean {
  return rule.condition?.(input, true) ?? true
}

function canMask(rule: CompiledRule, classification: Classification): boolean {
  return (
    rule.tags === undefined ||
    classification.anyTag((tag) => rule.tags?.some((matches) => matches(tag)) ?? false)
  )
}

function strategyOf({ spec: { mask } }: CompiledRule): MaskStrategy {
  switch (mask?.strategy) {
    case 'partial':
      return { kind: 'partial', keepLast: mask.keepLast ?? 0 }
    case 'format':
      return mask.format ? { kind: 'format', format: mask.format } : redact
    case 'hash':
    case 'null':
      return { kind: mask.strategy }
    default:
      return redact
  }
}

/** Higher shows less. */
function strictness(strategy: MaskStrategy): number {
  return strategy.kind === 'partial'
    ? 1 / (strategy.keepLast + 1)
    : { null: 5, redact: 4, hash: 3, format: 2 }[strategy.kind]
}
