/** The policies of one namespace as they can be in force: a broken one never takes effect, and never silently drops out. */
import type { GuardrailPolicy, ManifestSet } from '@firebreak/crds'
import { compilePolicy, type PolicyProblem } from '@firebreak/policy'

export type Objects = Omit<ManifestSet, 'approvals'>

export interface CompiledNamespace {
  /** With the last good version in place of each broken policy. */
  readonly objects: Objects
  /** By the policy's name; those of broken policies. */
  readonly problems: ReadonlyMap<string, readonly PolicyProblem[]>
  /** Broken policies without a good version: what they apply to must not be configured without them. */
  readonly missing: readonly GuardrailPolicy[]
}

/**
 * Compiles namespaces and remembers the last good version of each policy.
 *
 * It remembers in memory only. After a restart a policy that is broken is {@link CompiledNamespace.missing}: sidecars
 * keep what they have, and new ones wait.
 */
export class NamespaceCompiler {
  /** By `namespace/name`. */
  readonly #lastGood = new Map<string, GuardrailPolicy>()
  /** Of policies that haven't changed since: a namespace is compiled with every change of anything in it. */
  readonly #problems = new WeakMap<GuardrailPolicy, readonly PolicyProblem[]>()

  compile(objects: Objects): CompiledNamespace {
    const problems = new Map<string, readonly PolicyProblem[]>()
    const policies: GuardrailPolicy[] = []
    const missing: GuardrailPolicy[] = []
    for (const policy of objects.policies) {
      const key = `${policy.metadata.namespace}/${policy.metadata.name}`
      const found = this.#problemsOf(policy)
      if (found.length === 0) {
        this.#lastGood.set(key, policy)
        policies.push(policy)
        continue
      }
      problems.set(policy.metadata.name, found)
      const good = this.#lastGood.get(key)
      if (good) policies.push(good)
      else missing.push(policy)
    }
    return { objects: { ...objects, policies }, problems, missing }
  }

  #problemsOf(policy: GuardrailPolicy): readonly PolicyProblem[] {
    const known = this.#problems.get(policy)
    if (known) return known
    const compiled = compilePolicy({
      identities: [],
      resources: [],
      policies: [policy],
      approvals: [],
      secrets: [],
    })
    const found = compiled.ok ? [] : compiled.problems
    this.#problems.set(policy, found)
    return found
  }

  forget(namespace: string, name: string): void {
    this.#lastGood.delete(`${namespace}/${name}`)
  }
}
