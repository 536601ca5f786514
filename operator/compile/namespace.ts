/** The policies of one namespace as they can be in force: a broken one never takes effect, and never silently drops out. */
import type { GuardrailPolicy, ManifestProblem, ManifestSet } from '@firebreak/crds'
import { compilePolicy, type PolicyProblem } from '@firebreak/policy'
import { doubts } from '@firebreak/sidecar/configuration/doubts.ts'
import { vocabulary } from '@firebreak/sidecar/protocols/vocabulary.ts'
import type { Key } from '../watch/informer.ts'

export type Objects = Omit<ManifestSet, 'approvals'>

export interface CompiledNamespace {
  /** With the last good version in place of each broken policy. */
  readonly objects: Objects
  /** By the policy's name; those of broken policies. */
  readonly problems: ReadonlyMap<string, readonly PolicyProblem[]>
  /** Broken policies without a good version: what they apply to must not be configured without them. */
  readonly missing: readonly GuardrailPolicy[]
  /** The version of where records go; undefined where they go nowhere but to the standard output. */
  readonly records: string | undefined
  /** The version of what is shown to clients that come by TLS; undefined where nothing is. */
  readonly certificates: string | undefined
}

/**
 * Compiles namespaces and remembers the last good version of each policy. There is one for all of a replica, so that
 * what sidecars are sent and what the status says of it is the same.
 *
 * It remembers in memory only. After a restart a policy that is broken is {@link CompiledNamespace.missing}: sidecars
 * keep what they have, and new ones wait.
 */
export class NamespaceCompiler {
  readonly #records: { readonly version: string } | undefined
  readonly #certificates: { readonly version: string } | undefined
  readonly #lastGood = new Map<Key, GuardrailPolicy>()
  /** Of policies that haven't changed since: a namespace is compiled with every change of anything in it. */
  readonly #problems = new WeakMap<GuardrailPolicy, readonly PolicyProblem[]>()

  /** @param records where those of all agents go. @param certificates for clients that come by TLS. */
  constructor(records?: { readonly version: string }, certificates?: { readonly version: string }) {
    this.#records = records
    this.#certificates = certificates
  }

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
    return {
      objects: { ...objects, policies },
      problems,
      missing,
      records: this.#records?.version,
      certificates: this.#certificates?.version,
    }
  }

  #problemsOf(policy: GuardrailPolicy): readonly PolicyProblem[] {
    const known = this.#problems.get(policy)
    if (known) return known
    const found = policyProblems(policy)
    this.#problems.set(policy, found)
    return found
  }

  /** @param key of a policy that is gone: one of the same name is another. */
  forget(key: Key): void {
    this.#lastGood.delete(key)
  }
}

/** Each with its field. */
export function inWords(problems: readonly PolicyProblem[]): string {
  return problems.map(({ field, message }) => `${field}: ${message}`).join('; ')
}

/** What keeps a policy from taking effect, whatever else there is: what a sidecar would refuse it for. */
export function policyProblems(policy: GuardrailPolicy): readonly PolicyProblem[] {
  const alone = { identities: [], resources: [], policies: [policy], approvals: [], secrets: [] }
  const compiled = compilePolicy(alone)
  if (!compiled.ok) return compiled.problems
  const { namespace, name } = policy.metadata
  return policyDoubts(policy, alone)
    .filter(({ severity }) => severity === 'error')
    .map(({ field, message }) => ({ policy: `${namespace}/${name}`, field, message }))
}

/** What is valid in a policy and yet can't be meant. @param around what there is besides. */
export function policyDoubts(
  policy: GuardrailPolicy,
  around: ManifestSet,
): readonly Pick<ManifestProblem, 'severity' | 'field' | 'message'>[] {
  const locate = () => ({ file: '', line: 0, column: 0, source: '' })
  return doubts({ manifests: { ...around, policies: [policy] }, locate }, vocabulary)
}
