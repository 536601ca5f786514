/** What the manifests in force say of a chain. Pure. */
import type { AgentIdentity } from '@firebreak/crds'
import { type QualifiedName, seconds } from '@firebreak/policy'
import type { Configuration as WholeConfiguration } from '../configuration/configuration.ts'
import { nameOf } from '../configuration/name.ts'
import type { Holder } from './narrow.ts'

type Configuration = Pick<WholeConfiguration, 'manifests'>

/** Why identities can't stand in a chain in this order. `beyond`: somebody delegates who may not, or not so far, or not to that one. */
export interface Objection {
  readonly code: 'unfit' | 'beyond'
  readonly message: string
}

export function objectionTo(
  chain: readonly QualifiedName[],
  configuration: Configuration,
): Objection | undefined {
  for (const [index, name] of chain.entries()) {
    const identity = find(name, configuration)
    if (!identity) return { code: 'unfit', message: `there is no AgentIdentity ${name}` }
    if (identity.spec.suspend) return { code: 'unfit', message: `${name} is suspended` }
    const next = chain[index + 1]
    if (next === undefined) return undefined
    const { delegation } = identity.spec
    const after = chain.length - 1 - index
    if (!delegation || after > delegation.maxDepth)
      return {
        code: 'beyond',
        message: `${name} may have ${delegation?.maxDepth ?? 0} links after it (spec.delegation.maxDepth), and this would be ${after}`,
      }
    if (delegation.to && !delegation.to.includes(next.slice(next.indexOf('/') + 1)))
      return { code: 'beyond', message: `${name} may not delegate to ${next} (spec.delegation.to)` }
  }
  return undefined
}

/** What somebody may use by its manifest. */
export function holderOf(name: QualifiedName, configuration: Configuration): Holder {
  const namespace = name.slice(0, name.indexOf('/'))
  const access = find(name, configuration)?.spec.access ?? []
  return {
    identity: name,
    access: access.map(({ resource, roles }) => ({ resource: `${namespace}/${resource}`, roles })),
  }
}

export function groupsOf(name: QualifiedName, configuration: Configuration): readonly string[] {
  return find(name, configuration)?.spec.groups ?? []
}

/** How long somebody's sessions may live. In milliseconds. */
export function longestSessionOf(name: QualifiedName, configuration: Configuration): number {
  return seconds(find(name, configuration)?.spec.session.maxDuration ?? '0s') * 1_000
}

function find(name: QualifiedName, { manifests }: Configuration): AgentIdentity | undefined {
  return manifests.identities.find((identity) => nameOf(identity) === name)
}
