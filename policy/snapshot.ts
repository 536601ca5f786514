/** Resources of the API → one immutable snapshot that decides. */
import { createHash } from 'node:crypto'
import type { AgentIdentity, GuardrailPolicy, ManifestSet, ProtectedResource } from '@firebreak/crds'
import { Classification } from './classification.ts'
import type { Command, Source } from './command.ts'
import type {
  Decision,
  ElevationOffer,
  FieldMask,
  PolicySnapshot,
  Principal,
  QualifiedName,
  SessionTerms,
  SignalScope,
  Subject,
} from './decision.ts'
import { offersOf } from './elevation.ts'
import { mergeApprovals } from './holding.ts'
import { type CompiledRule, compileRule } from './rule.ts'
import { RuleSet } from './rule-set.ts'
import { type SignalRule, signalRules, unknownTimeZones } from './signals.ts'
import { combineTerms } from './terms.ts'

export interface PolicyProblem {
  readonly policy: QualifiedName
  /** As in `spec.rules[0].match.condition`. */
  readonly field: string
  readonly message: string
}

export type Compilation =
  | { readonly ok: true; readonly snapshot: PolicySnapshot }
  | { readonly ok: false; readonly problems: readonly PolicyProblem[] }

export interface CompiledPolicy {
  readonly name: QualifiedName
  readonly manifest: GuardrailPolicy
  readonly rules: readonly CompiledRule[]
  readonly signals: readonly SignalRule[]
}

/** Compiles all that can be wrong in a policy now, so that a broken one is refused instead of failing on a command. */
export function compilePolicy(manifests: ManifestSet): Compilation {
  const problems: PolicyProblem[] = []
  const policies = manifests.policies.map((manifest): CompiledPolicy => {
    const name = nameOf(manifest)
    const rules = (manifest.spec.rules ?? []).flatMap((spec, index) => {
      try {
        return [compileRule(name, spec)]
      } catch (error) {
        problems.push({
          policy: name,
          field: `spec.rules[${index}].match.condition`,
          message: `the condition is not valid: ${error instanceof Error ? error.message : String(error)}`,
        })
        return []
      }
    })
    problems.push(...unknownTimeZones(manifest.spec).map((problem) => ({ policy: name, ...problem })))
    return { name, manifest, rules, signals: signalRules(name, manifest.spec) }
  })
  if (problems.length > 0) return { ok: false, problems }
  return { ok: true, snapshot: new Snapshot(manifests, policies) }
}

/** The rules of one session, by link of its chain; or why it has no right to exist. */
type Grant =
  | {
      readonly links: readonly RuleSet[]
      readonly classification: Classification
      readonly terms: SessionTerms
      readonly decisions: WeakMap<Command, Decision>
    }
  | { readonly refusal: string }

class Snapshot implements PolicySnapshot {
  readonly revision: string
  readonly #identities: ReadonlyMap<QualifiedName, AgentIdentity>
  readonly #resources: ReadonlyMap<QualifiedName, ProtectedResource>
  readonly #policies: readonly CompiledPolicy[]
  readonly #classifications = new Map<QualifiedName, Classification>()
  /** By subject object first, which is a session's for its life; sessions of equal subjects share a grant. */
  readonly #bySubject = new WeakMap<Subject, Grant>()
  readonly #grants = new Map<string, Grant>()

  constructor(manifests: ManifestSet, policies: readonly CompiledPolicy[]) {
    this.#identities = new Map(manifests.identities.map((manifest) => [nameOf(manifest), manifest]))
    this.#resources = new Map(manifests.resources.map((manifest) => [nameOf(manifest), manifest]))
    this.#policies = [...policies].sort((a, b) => compare(a.name, b.name))
    this.revision = digest([...manifests.identities, ...manifests.resources, ...manifests.policies])
  }

  refusal(subject: Subject): string | undefined {
    for (const principal of subject.chain) {
      const refusal = this.#refusal(principal, subject)
      if (refusal !== undefined) return refusal
    }
    return undefined
  }

  decide(subject: Subject, command: Command): Decision {
    const grant = this.#grant(subject)
    if ('refusal' in grant)
      return {
        effect: 'deny',
        reason: grant.refusal,
        matched: [],
        alerts: [],
        touchesMasked: true,
        revision: this.revision,
      }
    const known = grant.decisions.get(command)
    if (known) return known
    const decision = withUnmasked(
      grant.links.map((link) => link.decide(command)).reduce(strictest),
      command,
      grant.classification,
    )
    grant.decisions.set(command, decision)
    return decision
  }

  termsFor(subject: Subject): SessionTerms {
    const grant = this.#grant(subject)
    return 'refusal' in grant ? combineTerms([], [], false, [], this.revision) : grant.terms
  }

  elevationsFor(subject: Subject): readonly ElevationOffer[] {
    const principal = subject.chain.at(-1) ?? subject.chain[0]
    return this.#policies
      .filter((policy) => appliesTo(policy, principal, subject))
      .flatMap(({ name, manifest }) => offersOf(name, manifest.spec))
  }

  signalsFor({ identity, resource }: SignalScope): readonly SignalRule[] {
    const [namespace] = (identity ?? resource ?? '/').split('/')
    const groups = identity === undefined ? [] : (this.#identities.get(identity)?.spec.groups ?? [])
    return this.#policies.flatMap(({ manifest: { metadata, spec }, signals }) => {
      const { identities, groups: wanted, resources } = spec.appliesTo
      const mayApply =
        metadata.namespace === namespace &&
        (identity === undefined || !identities || identities.includes(identity.split('/')[1] ?? '')) &&
        (identity === undefined || !wanted || wanted.some((group) => groups.includes(group))) &&
        (resource === undefined || !resources || resources.includes(resource.split('/')[1] ?? ''))
      return mayApply ? signals : []
    })
  }

  #grant(subject: Subject): Grant {
    const known = this.#bySubject.get(subject)
    if (known) return known
    // agents choose scopes: what is made for one is forgotten with its sessions
    const scoped = subject.chain.some(({ scope }) => scope)
    const key = scoped ? undefined : JSON.stringify([subject.chain, subject.resource, subject.role])
    const grant = (key !== undefined && this.#grants.get(key)) || this.#makeGrant(subject)
    if (key !== undefined) this.#grants.set(key, grant)
    this.#bySubject.set(subject, grant)
    return grant
  }

  #makeGrant(subject: Subject): Grant {
    const links: RuleSet[] = []
    const applied = new Set<CompiledPolicy>()
    for (const principal of subject.chain) {
      const refusal = this.#refusal(principal, subject)
      if (refusal) return { refusal }
      const policies = this.#policies.filter((policy) => appliesTo(policy, principal, subject))
      if (policies.length === 0)
        return {
          refusal: `no policy applies to ${principal.identity} with role ${subject.role} of ${subject.resource}`,
        }
      for (const policy of policies) applied.add(policy)
      const rules = policies.flatMap((policy) => policy.rules).sort((a, b) => compare(a.sortKey, b.sortKey))
      links.push(
        new RuleSet(principal, subject, this.#classification(subject.resource), rules, this.revision),
      )
    }
    const masks = links.some((link) => link.masks)
    return {
      links,
      classification: this.#classification(subject.resource),
      terms: combineTerms(
        [...applied].map(({ manifest }) => manifest.spec),
        subject.chain.flatMap(({ scope }) => scope?.limits ?? []),
        masks,
        [...applied].flatMap(({ signals }) => signals),
        this.revision,
      ),
      decisions: new WeakMap(),
    }
  }

  #refusal(principal: Principal, subject: Subject): string | undefined {
    const identity = this.#identities.get(principal.identity)
    if (!identity) return `there is no identity ${principal.identity}`
    if (identity.spec.suspend) return `${principal.identity} is suspended`
    if (!this.#resources.has(subject.resource)) return `there is no resource ${subject.resource}`
    const { scope, elevations = [] } = principal
    if (scope?.resources && !scope.resources.includes(subject.resource))
      return `${subject.resource} is outside the scope that ${principal.identity} was given`
    if (scope?.roles && !scope.roles.includes(subject.role))
      return `role ${subject.role} is outside the scope that ${principal.identity} was given`
    const access = identity.spec.access?.find(
      ({ resource }) => `${identity.metadata.namespace}/${resource}` === subject.resource,
    )
    const elevated = elevations.some((elevation) => elevation.role === subject.role)
    if (!access || !(elevated || access.roles.includes(subject.role)))
      return `${principal.identity} has no access to role ${subject.role} of ${subject.resource}`
    const needed = access.roleGroups?.find(({ role }) => role === subject.role)?.groups
    if (elevated || !needed || needed.some((group) => principal.groups.includes(group))) return undefined
    return `role ${subject.role} of ${subject.resource} needs group ${needed.join(' or ')}, which ${principal.identity} has not`
  }

  #classification(resource: QualifiedName): Classification {
    let classification = this.#classifications.get(resource)
    if (!classification) {
      classification = new Classification(this.#resources.get(resource))
      this.#classifications.set(resource, classification)
    }
    return classification
  }
}

function appliesTo({ manifest }: CompiledPolicy, principal: Principal, subject: Subject): boolean {
  const [namespace, identity] = principal.identity.split('/')
  const [resourceNamespace, resource] = subject.resource.split('/')
  if (manifest.metadata.namespace !== namespace || manifest.metadata.namespace !== resourceNamespace)
    return false
  const { identities, groups, resources, roles } = manifest.spec.appliesTo
  return (
    (!identities || identities.includes(identity ?? '')) &&
    (!groups || groups.some((group) => principal.groups.includes(group))) &&
    (!resources || resources.includes(resource ?? '')) &&
    (!roles || roles.includes(subject.role))
  )
}

function withUnmasked(decision: Decision, command: Command, classification: Classification): Decision {
  if (decision.effect === 'deny') return decision
  const unmasked = command.fields.flatMap((field, index): readonly Source[] =>
    decision.masks[index]
      ? []
      : field.sources.filter(({ path, part }) => classification.tagsOf(path, part).length > 0),
  )
  return unmasked.length === 0 ? decision : { ...decision, unmasked }
}

const severity = { allow: 0, hold: 1, deny: 2 } as const

/** Of two links' decisions the stricter; where both let pass, masks of both. */
function strictest(a: Decision, b: Decision): Decision {
  if (severity[a.effect] !== severity[b.effect])
    return severity[a.effect] > severity[b.effect] ? withMasks(a, b) : withMasks(b, a)
  return withMasks(a, b)
}

function withMasks(stricter: Decision, other: Decision): Decision {
  const alerts = [...stricter.alerts, ...other.alerts]
  const touchesMasked = stricter.touchesMasked || other.touchesMasked
  if (stricter.effect === 'deny' || other.effect === 'deny') return { ...stricter, alerts, touchesMasked }
  const masks = mergeMasks(stricter.masks, other.masks)
  if (stricter.effect === 'hold' && other.effect === 'hold')
    return {
      ...stricter,
      alerts,
      touchesMasked,
      masks,
      approval: mergeApprovals(stricter.approval, other.approval),
    }
  return { ...stricter, alerts, touchesMasked, masks }
}

function mergeMasks(
  a: readonly (FieldMask | undefined)[],
  b: readonly (FieldMask | undefined)[],
): readonly (FieldMask | undefined)[] {
  if (a.length === 0) return b
  if (b.length === 0) return a
  return a.map((mask, index) => {
    const other = b[index]
    // two different masks on one value: neither link may see what the other's mask leaves, so nothing is left
    if (mask && other && JSON.stringify(mask.strategy) !== JSON.stringify(other.strategy))
      return { ...mask, strategy: { kind: 'redact' } }
    return mask ?? other
  })
}

function nameOf({ metadata }: { metadata: { name: string; namespace: string } }): QualifiedName {
  return `${metadata.namespace}/${metadata.name}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Twelve hex digits of SHA-256 over the specs, in an order that doesn't depend on files. */
function digest(manifests: readonly (AgentIdentity | ProtectedResource | GuardrailPolicy)[]): string {
  const texts = manifests
    .map(({ kind, metadata, spec }) => JSON.stringify([kind, metadata.namespace, metadata.name, spec]))
    .sort(compare)
  return createHash('sha256').update(texts.join('\n')).digest('hex').slice(0, 12)
}
