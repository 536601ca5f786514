/** More rights for a while: asked for, granted, and over. */
import type { ApprovalRequest } from '@firebreak/crds'
import {
  type Elevation,
  type ElevationAsk,
  type ElevationOffer,
  findOffer,
  type PolicySnapshot,
  type QualifiedName,
  type Subject,
} from '@firebreak/policy'
import type { Deadline } from '../clock.ts'
import type { Result } from '../session.ts'
import { windowOf } from './admission.ts'
import type { Entry } from './entry.ts'
import type { Registry } from './registry.ts'
import { bindingOfRequest, inTime, requestOf } from './request.ts'
import { inWords, toSpec } from './requirements.ts'

export interface AccessAsk extends ElevationAsk {
  /** Why, in the words of the one who asks. */
  readonly justification: string
  readonly breakGlass: boolean
}

export interface GrantedElevation extends Elevation {
  readonly window: Deadline
  /** In words: what is granted. */
  readonly grants: string
}

const maximumOpen = 32
const maximumJustification = 4_096

export class Elevations {
  readonly #registry: Registry

  constructor(registry: Registry) {
    this.#registry = registry
  }

  /**
   * Asks for more rights. @returns the request; that of break-glass is granted already. The same asked again is the same
   * request while it is open.
   */
  async request(
    subject: Subject,
    ask: AccessAsk,
    snapshot: PolicySnapshot,
    agentUser: string | undefined,
  ): Promise<Result<ApprovalRequest, string>> {
    const justification = ask.justification.trim()
    if (justification === '') return failed('a reason is needed')
    if (justification.length > maximumJustification)
      return failed(`the reason is longer than ${maximumJustification} characters`)
    if (ask.role === undefined && (ask.actions ?? []).length === 0)
      return failed('a role or actions have to be asked for')
    const offers = snapshot.elevationsFor(subject)
    const offer = findOffer(offers, ask, ask.breakGlass)
    if (!offer) return failed(notOffered(subject, offers))
    const request = requestFor(subject, { ...ask, justification }, offer, this.#registry.now)
    const same = this.#registry.boundTo(bindingOfRequest(request))
    if (same && agentUser !== undefined) same.askers.add(agentUser)
    if (same) return { ok: true, value: same.request }
    const { namespace } = request.metadata
    if (this.#registry.countOf(namespace, request.spec.identity) >= maximumOpen)
      return failed(
        `${namespace}/${request.spec.identity} has ${maximumOpen} open requests, and that is the most it may have`,
      )
    const entry = await this.#registry.add(request)
    if (agentUser !== undefined) entry.askers.add(agentUser)
    this.#registry.tell('requested', request)
    if (offer.breakGlass) this.#registry.tell('granted', entry.request, { reason: justification })
    return { ok: true, value: entry.request }
  }

  /** What is granted to the one who acts in a session, now. */
  grantedTo({ chain, resource, role }: Subject): readonly GrantedElevation[] {
    const asked = namesOf(chain)
    return [...this.#open(resource)]
      .filter(({ request: { spec } }) => namesOf(spec.chain) === asked)
      .filter(({ request: { spec } }) => role === spec.role || role === spec.elevation?.role)
      .flatMap((entry) => toElevation(entry))
  }

  of(chain: Subject['chain']): readonly ApprovalRequest[] {
    const asked = namesOf(chain)
    return [...this.#registry.open].flatMap(({ request }) =>
      request.spec.elevation && namesOf(request.spec.chain) === asked ? [request] : [],
    )
  }

  /** Roles of a resource that an identity may take for now. */
  rolesOf(identity: QualifiedName, resource: QualifiedName): readonly string[] {
    return [...this.#open(resource)].flatMap(({ request: { spec, metadata } }) =>
      spec.elevation?.role !== undefined && `${metadata.namespace}/${spec.identity}` === identity
        ? [spec.elevation.role]
        : [],
    )
  }

  /** A window ends when the policy doesn't offer it any more. */
  policyChanged(snapshot: PolicySnapshot): void {
    for (const entry of this.#registry.open) {
      const { spec, metadata } = entry.request
      const { elevation } = spec
      if (!elevation) continue
      const subject = subjectOf(entry.request)
      const [requirement] = spec.requirements
      const offers = snapshot
        .elevationsFor(subject)
        .filter(({ rule }) => rule.policy === requirement?.policy && rule.rule === requirement.rule)
      if (!findOffer(offers, elevation, elevation.breakGlass))
        this.#registry.end(
          entry,
          'Withdrawn',
          entry.window ? 'ended' : 'withdrawn',
          `the policy does not offer it to ${metadata.namespace}/${spec.identity} any more`,
        )
    }
  }

  *#open(resource: QualifiedName): Generator<Entry> {
    for (const entry of this.#registry.open) {
      const { metadata, spec } = entry.request
      if (!spec.elevation || !entry.window || entry.window.passed || entry.state !== 'Approved') continue
      if (`${metadata.namespace}/${spec.resource}` === resource) yield entry
    }
  }
}

function namesOf(chain: readonly { readonly identity: string }[]): string {
  return chain.map(({ identity }) => identity).join(' ')
}

function toElevation({ request, name, window }: Entry): GrantedElevation[] {
  const { elevation, requirements } = request.spec
  const [requirement] = requirements
  if (!elevation || !requirement || !window) return []
  const { role, actions, objects } = elevation
  return [
    {
      request: name,
      rule: { policy: requirement.policy as QualifiedName, rule: requirement.rule },
      ...(role !== undefined && { role }),
      ...(actions && { actions }),
      ...(objects && { objects }),
      window,
      grants: grantsInWords(elevation),
    },
  ]
}

function requestFor(subject: Subject, ask: AccessAsk, offer: ElevationOffer, now: Date): ApprovalRequest {
  const { role, actions, duration, justification } = ask
  const objects = ask.objects ?? offer.objects
  const request = requestOf({ subject, now }, offer.expiresAfterSeconds, {
    kind: 'elevation',
    elevation: {
      ...(role !== undefined && { role }),
      ...(actions && actions.length > 0 && { actions: [...actions] }),
      ...(actions && actions.length > 0 && objects && { objects: [...objects] }),
      breakGlass: offer.breakGlass,
      duration,
    },
    justification,
    requirements: [toSpec(offer.requirement)],
  })
  if (!offer.breakGlass) return request
  // nobody is asked
  return { ...request, status: { state: 'Approved', ...windowOf(request.spec, now) } }
}

function subjectOf({ metadata, spec }: ApprovalRequest): Subject {
  const links = spec.chain.map(({ identity, groups = [] }) => ({
    identity: identity as QualifiedName,
    groups,
  }))
  const [first = { identity: `${metadata.namespace}/${spec.identity}` as const, groups: [] }, ...rest] = links
  return { chain: [first, ...rest], resource: `${metadata.namespace}/${spec.resource}`, role: spec.role }
}

type Grants = Pick<NonNullable<ApprovalRequest['spec']['elevation']>, 'role' | 'actions' | 'objects'>

/** `role maintainer; sql:delete on public.carts`. */
export function grantsInWords({ role, actions, objects }: Grants): string {
  const parts = [
    ...(role === undefined ? [] : [`role ${role}`]),
    ...(actions ? [`${actions.join(', ')} on ${objects ? objects.join(', ') : 'everything'}`] : []),
  ]
  return parts.join('; ')
}

function notOffered({ chain, resource }: Subject, offers: readonly ElevationOffer[]): string {
  const { identity } = chain.at(-1) ?? chain[0]
  if (offers.length === 0) return `no policy lets ${identity} ask for more rights on ${resource}`
  const words = offers.map(({ rule, roles, actions, objects, maxDuration, requirement, breakGlass }) => {
    const what = [
      ...(roles ? [`role ${roles.join(' or ')}`] : []),
      ...(actions ? [`${actions.join(', ')} on ${objects ? objects.join(', ') : 'everything'}`] : []),
    ].join('; ')
    return `${rule.rule}: ${what}, for up to ${maxDuration} (${breakGlass ? 'break-glass' : `approvers: ${inWords([requirement])}`})`
  })
  return `no policy lets ${identity} ask for that on ${resource}. It may ask for: ${words.join('. ')}`
}

function failed(error: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error }
}

/** What a session is told of what it was granted. */
export function remainingInWords({ request, grants, window }: GrantedElevation): string {
  return `elevation ${request} is in force for ${inTime(window.remaining)}: ${grants}`
}
