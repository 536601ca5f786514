/** What a sidecar may ask people for: only what its own agent does, by a policy that asks them. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { ApprovalRequest } from '@firebreak/crds'
import {
  compilePolicy,
  findOffer,
  type QualifiedName,
  type SignalRule,
  type Subject,
  seconds,
  signalApprovalSeconds,
  signalRules,
} from '@firebreak/policy'
import { toSpec } from '@firebreak/sidecar/approvals/requirements.ts'
import { objectionTo } from '@firebreak/sidecar/delegation/chain-rules.ts'
import type { AgentConfiguration } from '../compile/agent.ts'
import { managed } from '../containment/names.ts'
import type { Key } from '../watch/informer.ts'

export interface Asking {
  /** The pod that asks, as it was proven. */
  readonly pod: string
  /** Its AgentIdentity. */
  readonly agent: Key
  /** What the agent's sidecars have. */
  readonly configuration: AgentConfiguration
  readonly now: Date
}

type Spec = ApprovalRequest['spec']
type Requirement = Spec['requirements'][number]

export type Asked =
  | { readonly ok: true; readonly value: ApprovalRequest }
  | { readonly ok: false; readonly error: string }

/** @returns the request as it is to be written, with everything that says who asks, when and whom taken from what is known here. */
export function asked({ metadata: { name }, spec }: ApprovalRequest, asking: Asking): Asked {
  const { agent, configuration, pod, now } = asking
  const { namespace } = configuration
  const chain = chainOf(spec, asking)
  if (!chain) return no(`its chain does not begin with the agent ${agent} of this pod`)
  const objection = objectionTo(
    chain.map(({ identity }) => identity),
    { manifests: { ...configuration.objects, approvals: [] } },
  )
  if (objection) return no(objection.message)
  const identity = nameIn(chain.at(-1)?.identity ?? '')
  if (spec.identity !== identity || !isNameFor(name, identity)) return no('it is not named as its identity')
  // an identity is resumed as a whole
  const isOfAll = spec.kind === 'resumption' && spec.resource === '*' && spec.role === '*'
  if (!isOfAll && !configuration.objects.resources.some(({ metadata }) => metadata.name === spec.resource))
    return no(`the agent ${agent} has no resource ${spec.resource}`)
  const terms = termsOf(spec, chain, asking)
  if (!terms) return no('the policy in force does not ask that of these people')
  const { role, resource, kind, session, command, elevation, resumption, justification, requirements } = spec
  const { expiresAfterSeconds } = terms
  return {
    ok: true,
    value: {
      apiVersion: 'firebreak.dev/v1alpha1',
      kind: 'ApprovalRequest',
      metadata: { name, namespace, labels: { ...managed } },
      spec: {
        identity,
        chain: chain.map(({ identity: link, groups }) => ({
          identity: link,
          ...(groups.length > 0 && { groups: [...groups] }),
        })),
        resource,
        role,
        pod,
        kind,
        ...(session !== undefined && { session }),
        ...(command && { command }),
        ...(elevation && { elevation }),
        ...(resumption && { resumption }),
        ...(justification !== undefined && { justification }),
        requirements,
        requestedAt: now.toISOString(),
        ...(expiresAfterSeconds !== undefined && {
          expiresAt: new Date(now.getTime() + expiresAfterSeconds * 1_000).toISOString(),
        }),
      },
    },
  }
}

function no(error: string): Asked {
  return { ok: false, error }
}

/** The groups of the first link may be those of a token, which only the sidecar has seen; all others are in manifests. */
function chainOf({ chain }: Spec, { agent, configuration }: Asking): Subject['chain'] | undefined {
  const links = chain.map(({ identity, groups = [] }, index) => {
    const manifest = configuration.objects.identities.find(
      ({ metadata }) => `${metadata.namespace}/${metadata.name}` === identity,
    )
    const claimed = index === 0 && manifest?.spec.authentication.oidc !== undefined
    return { identity: identity as QualifiedName, groups: claimed ? groups : (manifest?.spec.groups ?? []) }
  })
  const [first, ...rest] = links
  return first?.identity === agent ? [first, ...rest] : undefined
}

interface Terms {
  /** Absent: it waits until somebody decides. */
  readonly expiresAfterSeconds?: number
}

function termsOf(spec: Spec, chain: Subject['chain'], asking: Asking): Terms | undefined {
  switch (spec.kind) {
    case 'command':
      return commandTerms(spec, asking)
    case 'elevation':
      return elevationTerms(spec, chain, asking)
    case 'resumption':
      return resumptionTerms(spec, asking)
  }
}

/** @returns undefined when no signal of a policy takes just that, and lets just these people give it back. */
function resumptionTerms({ resumption, requirements }: Spec, { configuration }: Asking): Terms | undefined {
  const [requirement, ...more] = requirements
  if (!resumption || !requirement || more.length > 0) return undefined
  const signal = signalOf(requirement, resumption.action, configuration)
  return signal?.kind === resumption.signal ? {} : undefined
}

/** The signal of a policy that acts in this way, and asks just that of people. */
function signalOf(
  requirement: Requirement,
  action: 'suspend' | 'requireApproval',
  { namespace, objects }: AgentConfiguration,
): SignalRule | undefined {
  return objects.policies
    .flatMap(({ metadata, spec }) => signalRules(`${namespace}/${metadata.name}`, spec))
    .find(
      ({ action: acts, reference, groups }) =>
        acts === action && isDeepStrictEqual(toSpec({ rule: reference, groups, quorum: 1 }), requirement),
    )
}

function commandTerms({ requirements }: Spec, { configuration }: Asking): Terms | undefined {
  const lifetimes = requirements.map((requirement) => lifetimeOf(requirement, configuration))
  const known = lifetimes.filter((lifetime) => lifetime !== undefined)
  const asksSomebody = known.length > 0 && known.length === lifetimes.length
  return asksSomebody ? { expiresAfterSeconds: Math.min(...known) } : undefined
}

/** @returns for how long the rule that asks lets people be asked; undefined when there is none that asks just that. */
function lifetimeOf(requirement: Requirement, configuration: AgentConfiguration): number | undefined {
  const { namespace, objects } = configuration
  const policy = objects.policies.find(
    ({ metadata }) => `${namespace}/${metadata.name}` === requirement.policy,
  )
  const rule = policy?.spec.rules?.find(({ name }) => name === requirement.rule)
  if (!rule && signalOf(requirement, 'requireApproval', configuration)) return signalApprovalSeconds
  if (rule?.effect !== 'requireApproval') return undefined
  const { groups = [], quorum = 1, expiresAfter = '15m' } = rule.approval ?? {}
  const wanted = toSpec({
    rule: { policy: requirement.policy as QualifiedName, rule: requirement.rule },
    groups,
    quorum,
  })
  return isDeepStrictEqual(wanted, requirement) ? seconds(expiresAfter) : undefined
}

function elevationTerms(
  { elevation, resource, role, requirements }: Spec,
  chain: Subject['chain'],
  { configuration: { namespace, objects } }: Asking,
): Terms | undefined {
  const compiled = compilePolicy({ ...objects, approvals: [] })
  if (!compiled.ok || !elevation) return undefined
  const subject: Subject = { chain, resource: `${namespace}/${resource}`, role }
  if (compiled.snapshot.refusal(subject) !== undefined) return undefined
  const offers = compiled.snapshot
    .elevationsFor(subject)
    .filter(({ requirement }) => isDeepStrictEqual([toSpec(requirement)], requirements))
  return findOffer(offers, elevation, elevation.breakGlass)
}

function isNameFor(name: string, identity: string): boolean {
  return (
    /^[a-z0-9]{5}$/.test(name.slice(identity.slice(0, 240).length + 1)) &&
    name.startsWith(`${identity.slice(0, 240)}-`)
  )
}

function nameIn(identity: string): string {
  return identity.slice(identity.indexOf('/') + 1)
}
