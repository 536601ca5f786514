/** What a delegation passed on, asked per command. */
import type { Classification } from './classification.ts'
import { actionFamilies, type Command, type Touch } from './command.ts'
import type { Principal, QualifiedName } from './decision.ts'
import { describeTouch } from './describe.ts'
import { type CompiledRule, compileGrant, coversTouch } from './rule.ts'

export class CompiledScope {
  readonly #identity: QualifiedName
  readonly #actionPatterns: readonly string[] | undefined
  /** Actions on objects, for what the command itself asks for. */
  readonly #whole: CompiledRule
  /** Actions alone: what definitions of the system's owner do with other objects is no widening, another action is. */
  readonly #actions: CompiledRule

  constructor({ identity, scope = {} }: Principal) {
    const reference = { policy: identity, rule: 'scope' }
    this.#identity = identity
    this.#actionPatterns = scope.actions
    this.#whole = compileGrant(reference, scope.actions, scope.objects)
    this.#actions = compileGrant(reference, scope.actions, undefined)
  }

  /** @returns why a command goes beyond the scope, or undefined. */
  excludes(command: Command, classification: Classification): string | undefined {
    if (this.#holdsAllOf(command)) return undefined
    const [opaque] = command.opaque
    if (opaque !== undefined)
      return `${opaque}, which can't be proven to stay in the scope that ${this.#identity} was given`
    const outside = command.touches.find((touch) => !this.#covers(touch, classification))
    return outside && `${describeTouch(outside)} is outside the scope that ${this.#identity} was given`
  }

  /** `ssh:*` is everything of another protocol, and nothing of this one. */
  #holdsAllOf({ resourceType }: Command): boolean {
    const everything = ['*', `${actionFamilies[resourceType]}:*`]
    const patterns = this.#actionPatterns
    return this.#whole.unrestricted && (!patterns || patterns.some((pattern) => everything.includes(pattern)))
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
