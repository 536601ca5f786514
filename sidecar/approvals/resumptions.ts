/** What was taken from identities because of a signal, until a person gives it back. */
import type { ApprovalRequest } from '@firebreak/crds'
import type { ApprovalRequirement, QualifiedName, Subject } from '@firebreak/policy'
import type { Registry } from './registry.ts'
import { requestOf } from './request.ts'
import { toSpec } from './requirements.ts'

export type Resumption = NonNullable<ApprovalRequest['spec']['resumption']>

/** What holds for an identity until it is resumed. */
export interface Restriction {
  readonly identity: QualifiedName
  readonly action: Resumption['action']
  /** Kind of the signal. */
  readonly signal: string
  /** Who may resume it, and approve its commands meanwhile. */
  readonly requirement: ApprovalRequirement
  /** Name of the ApprovalRequest by which it is resumed; absent where there is nobody to ask. */
  readonly request?: string
}

/** Of all resources and roles: an identity is resumed as a whole. */
const all = '*'

export class Resumptions {
  readonly #registry: Registry
  /** Why the last one could not be written. */
  #unsaved: string | undefined

  constructor(registry: Registry) {
    this.#registry = registry
  }

  /** What nobody has given back yet. */
  get restrictions(): readonly Restriction[] {
    return [...this.#registry.open].flatMap(({ state, request }) =>
      state === 'Pending' ? restrictionOf(request) : [],
    )
  }

  /** @returns once it is on disk. @throws the system's error. */
  async add(
    chain: Subject['chain'],
    resumption: Resumption,
    requirement: ApprovalRequirement,
  ): Promise<void> {
    const [namespace = ''] = chain[0].identity.split('/')
    const subject: Subject = { chain, resource: `${namespace}/${all}`, role: all }
    const request = requestOf({ subject, now: this.#registry.now }, undefined, {
      kind: 'resumption',
      resumption,
      requirements: [toSpec(requirement)],
    })
    const entry = await this.#registry.add(request).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error)
      // it is tried again and again
      if (reason !== this.#unsaved) this.#registry.tell('unsaved', request, { reason })
      this.#unsaved = reason
      throw error
    })
    this.#unsaved = undefined
    const reference = resumption.evidence?.at(-1)
    this.#registry.tell('requested', entry.request, { ...(reference !== undefined && { reference }) })
  }

  /** What people have agreed to is given back, and the requests are over. */
  finish(): void {
    for (const entry of [...this.#registry.open])
      if (entry.request.spec.resumption && entry.state === 'Approved')
        this.#registry
          .use(entry)
          .catch((error: Error) => this.#registry.tell('unsaved', entry.request, { reason: error.message }))
  }
}

function restrictionOf({ metadata, spec }: ApprovalRequest): Restriction[] {
  const { resumption, requirements, identity } = spec
  const [requirement] = requirements
  if (!resumption || !requirement) return []
  return [
    {
      identity: `${metadata.namespace}/${identity}`,
      action: resumption.action,
      signal: resumption.signal,
      requirement: {
        rule: { policy: requirement.policy as QualifiedName, rule: requirement.rule },
        groups: requirement.groups ?? [],
        quorum: requirement.quorum,
      },
      request: metadata.name,
    },
  ]
}
