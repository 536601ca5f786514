/** The delegations that have not ended. In memory only: a restart ends them all. */
import type { QualifiedName } from '@firebreak/policy'
import { misused, type Proof, type Rejection } from '../identity/proof.ts'
import { chainOf, type Delegation, type Delegator, path } from './delegation.ts'

export class OpenDelegations implements Iterable<Delegation> {
  readonly #byId = new Map<string, Delegation>()

  get size(): number {
    return this.#byId.size
  }

  /** The oldest first; some may be taken out meanwhile. */
  [Symbol.iterator](): IterableIterator<Delegation> {
    return this.#byId.values()
  }

  get(id: string): Delegation | undefined {
    return this.#byId.get(id)
  }

  add(delegation: Delegation): void {
    this.#byId.set(delegation.id, delegation)
  }

  /** Takes it out, and those below it. @param reason for whoever still holds one of them. */
  end(delegation: Delegation, reason: string): void {
    for (const other of this)
      if (path(other).includes(delegation)) {
        other.ended ??= reason
        this.#byId.delete(other.id)
      }
  }

  countOf(root: QualifiedName): number {
    return [...this].filter((delegation) => delegation.root.identity === root).length
  }

  /** Those that were issued by somebody, and those below. */
  below(by: Delegator): readonly Delegation[] {
    return [...this].filter((delegation) => isBelow(delegation, by))
  }

  /** Whether somebody stands before a child of this name in the chain of a delegation. */
  isAncestor(ancestor: QualifiedName, child: QualifiedName): boolean {
    return [...this].some(
      (delegation) =>
        !delegation.window.passed &&
        delegation.identity === child &&
        ancestor !== child &&
        chainOf(delegation).includes(ancestor),
    )
  }

  /**
   * Why a client can't be who it proves to be, by the user of this system that it is.
   *
   * @param user asked only where a parent has said who its child runs as; undefined where it can't be told.
   */
  contradiction(proof: Proof, user: () => number | undefined): Rejection | undefined {
    const bound = [...this].filter((delegation) => delegation.user !== undefined && !delegation.window.passed)
    if (bound.length === 0) return undefined
    const actual = user()
    const own = proof.kind === 'delegation' ? path(proof.delegation) : []
    const wanted = own.at(-1)?.user
    if (wanted !== undefined && wanted !== actual)
      return misused(
        'otherUser',
        `the delegation is for user ${wanted} of this system, not for ${actual ?? "one that can't be told"}`,
      ).error
    const child = bound.find(
      (delegation) =>
        delegation.user === actual &&
        !own.includes(delegation) &&
        chainOf(delegation).slice(0, -1).includes(proof.identity),
    )
    if (!child) return undefined
    return misused(
      'parentsToken',
      `user ${actual} of this system runs ${child.identity}, and presents itself as ${proof.identity}, which has delegated to it`,
    ).error
  }
}

export function isBelow(delegation: Delegation, by: Delegator): boolean {
  if (by.kind === 'child') return delegation !== by.delegation && path(delegation).includes(by.delegation)
  return delegation.root.identity === by.proof.identity
}
