/** What holds for identities that a signal has acted on, until a person resumes them. */
import type { QualifiedName, SignalRule, Subject } from '@firebreak/policy'
import type { Restriction, Resumption } from '../approvals/resumptions.ts'
import type { ApprovalStation } from '../approvals/station.ts'

/** One that could not be written is tried again. In milliseconds. */
const tryAgainAfter = 5_000

export interface RestrictionsOptions {
  /** Where people are asked; absent while nobody can be. */
  readonly approvals: () => ApprovalStation | undefined
  /** Sessions look again. */
  readonly changed: () => void
  readonly resumed: (identity: QualifiedName) => void
}

const severity = { requireApproval: 1, suspend: 2 } as const

export class Restrictions {
  readonly #options: RestrictionsOptions
  /** Not on disk yet, or with nowhere to be written: they hold for as long as this process lives. */
  readonly #unsaved = new Set<Restriction>()
  #saved: readonly Restriction[] = []

  constructor(options: RestrictionsOptions) {
    this.#options = options
  }

  /** The strictest that holds for anybody of a chain. */
  on(chain: Subject['chain']): Restriction | undefined {
    let strictest: Restriction | undefined
    for (const restriction of [...this.#unsaved, ...this.#saved])
      if (
        chain.some(({ identity }) => identity === restriction.identity) &&
        (!strictest || severity[restriction.action] > severity[strictest.action])
      )
        strictest = restriction
    return strictest
  }

  /** Why a chain may have no session at all. */
  refusal(chain: Subject['chain']): string | undefined {
    const restriction = this.on(chain)
    return restriction?.action === 'suspend' ? inWords(restriction) : undefined
  }

  /** Whether it holds over a restart, or can't. Sessions are told then, and not before. */
  isSettled(restriction: Restriction): boolean {
    return restriction.request !== undefined || this.#options.approvals() === undefined
  }

  /** Looks at what waits for people: something may have been resumed, here or elsewhere. */
  refresh(): void {
    const before = this.#saved
    this.#saved = this.#options.approvals()?.restrictions ?? before
    const now = new Set(this.#saved.map(({ request }) => request))
    const gone = before.filter(({ request }) => !now.has(request))
    if (gone.length === 0 && this.#saved.length === before.length) return
    this.#options.changed()
    for (const { identity } of gone) this.#options.resumed(identity)
  }

  /**
   * It holds at once, before anything is written.
   *
   * @param agentUser the user of the system that the agent runs as, where that tells it apart from those who resume it.
   * @returns false when it holds already.
   */
  impose(
    chain: Subject['chain'],
    { kind, action, reference, groups }: SignalRule,
    seen: Pick<Resumption, 'explanation' | 'evidence'>,
    agentUser: Promise<string | undefined>,
  ): boolean {
    if (action === 'alert') return false
    const { identity } = chain.at(-1) ?? chain[0]
    const known = this.on([{ identity, groups: [] }])
    if (known && severity[known.action] >= severity[action]) return false
    const requirement = { rule: reference, groups, quorum: 1 }
    const restriction: Restriction = { identity, action, signal: kind, requirement }
    this.#unsaved.add(restriction)
    this.#options.changed()
    void this.#save(restriction, chain, { action, signal: kind, ...seen }, agentUser)
    return true
  }

  async #save(
    restriction: Restriction,
    chain: Subject['chain'],
    resumption: Resumption,
    agentUser: Promise<string | undefined>,
  ): Promise<void> {
    try {
      const station = this.#options.approvals()
      if (!station) throw new Error('there is nobody to ask')
      const user = await agentUser
      const asked = { ...resumption, ...(user !== undefined && { agentUser: user }) }
      await station.restrict(chain, asked, restriction.requirement)
      this.refresh()
      this.#unsaved.delete(restriction)
      this.#options.changed()
    } catch {
      setTimeout(() => void this.#save(restriction, chain, resumption, agentUser), tryAgainAfter).unref()
    }
  }
}

export function inWords({ identity, signal, request }: Restriction): string {
  const how = request === undefined ? '' : ` (approvalrequest/${request})`
  return `${identity} is suspended by signal ${signal}, until a person resumes it${how}`
}
