/** Everybody who could ask for anything, on either side. */
import type { AgentIdentity, ManifestSet } from '@firebreak/crds'
import type { Subject } from '@firebreak/policy'

export interface Asker {
  readonly namespace: string
  readonly identity: string
  /** That the token proves; absent: none but the identity's own. */
  readonly group?: string
  readonly resource: string
  readonly role: string
}

export function askersOf(before: ManifestSet, after: ManifestSet): readonly Asker[] {
  const both = [before, after]
  const found = new Map<string, Asker>()
  for (const side of both)
    for (const { metadata } of side.identities) {
      const { namespace, name } = metadata
      const known = both.flatMap(({ identities }) => identities.filter(same(namespace, name)))
      const groups = [undefined, ...groupsOfTokens(known, namespace, both)]
      for (const [resource, role] of rolesIn(namespace, both))
        for (const group of groups) {
          const asker = { namespace, identity: name, ...(group !== undefined && { group }), resource, role }
          found.set(JSON.stringify(asker), asker)
        }
    }
  return [...found.values()]
}

/** @returns who asks, with the groups that the identity has on this side. */
export function subjectOf(asker: Asker, { identities }: ManifestSet): Subject {
  const { namespace, identity, group, resource, role } = asker
  const own = identities.find(same(namespace, identity))?.spec.groups ?? []
  return {
    chain: [
      { identity: `${namespace}/${identity}`, groups: [...own, ...(group === undefined ? [] : [group])] },
    ],
    resource: `${namespace}/${resource}`,
    role,
  }
}

const same =
  (namespace: string, name: string) =>
  ({ metadata }: { metadata: { namespace: string; name: string } }): boolean =>
    metadata.namespace === namespace && metadata.name === name

/** Groups that policies name, and that a token of an OpenID provider could prove. */
function groupsOfTokens(
  identities: readonly AgentIdentity[],
  namespace: string,
  sides: readonly ManifestSet[],
): readonly string[] {
  if (!identities.some(({ spec }) => spec.authentication.oidc)) return []
  const own = identities.flatMap(({ spec }) => spec.groups ?? [])
  const named = [
    ...sides
      .flatMap(({ policies }) => policies.filter(({ metadata }) => metadata.namespace === namespace))
      .flatMap(({ spec }) => spec.appliesTo.groups ?? []),
    ...identities
      .flatMap(({ spec }) => spec.access ?? [])
      .flatMap(({ roleGroups }) => roleGroups ?? [])
      .flatMap(({ groups }) => groups),
  ]
  return [...new Set(named)].filter((group) => !own.includes(group))
}

function rolesIn(namespace: string, sides: readonly ManifestSet[]): readonly (readonly [string, string])[] {
  const names = sides
    .flatMap(({ resources }) => resources.filter(({ metadata }) => metadata.namespace === namespace))
    .flatMap(({ metadata, spec }) => spec.roles.map(({ name }) => [metadata.name, name] as const))
  return [...new Map(names.map((each) => [each.join('/'), each])).values()]
}
