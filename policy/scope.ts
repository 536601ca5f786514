/** What a delegation passed on, asked per command. */
import type { Classification } from './classification.ts'
import type { Command, Touch } from './command.ts'
import type { Principal, QualifiedName } from './decision.ts'
import { describeTouch } from './describe.ts'
import { allowsAll, type CompiledRule, compileGrant, coversTouch } from './rule.ts'

export class CompiledScope {
  readonly #identity: QualifiedName
  /** Actions on objects, for what the command itself asks for. */
  readonly #whole: CompiledRule
  /** Actions alone: what definitions of the system's owner do with other objects is no widening, another action is. */
  readonly #actions: CompiledRule

  constructor({ identity, scope = {} }: Principal) {
    const reference = { policy: identity, rule: 'scope' }
    this.#identity = identity
    this.#whole = compileGrant(reference, scope.actions, scope.objects)
    this.#actions = compileGrant(reference, scope.actions, undefined)
  }

  /** @returns why a command goes beyond the scope, or undefined. */
  excludes(command: Command, classification: Classification): string | undefined {
    if (allowsAll(this.#whole, command)) return undefined
    const [opaque] = command.opaque
    if (opaque !== undefined)
      return `${opaque}, which can't be proven to stay in the scope that ${this.#identity} was given`
    const outside = command.touches.find((touch) => !this.#covers(touch, classification))
    return outside && `${describeTouch(outside)} is outside the scope that ${this.#identity} was given`
  }

  #covers(touch: Touch, classification: Classification): boolean {
    if (touch.origin === 'baseline') return true
    const covered = coversTouch(
      touch.origin === 'direct' ? this.#whole : this.#actions,
      touch,
      classification,
    )
    return covered === 'all' || (covered !== 'none' && covered.length === touch.object.parts?.length)
  }
}
