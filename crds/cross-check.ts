/** Problems between manifests: names that lead nowhere. */
import type { Manifest, ManifestProblem, ManifestSet } from './manifest.ts'
import { closest } from './near-match.ts'
import { describe, fieldPath, type Locate, problem } from './problem.ts'

export function crossCheck(
  set: ManifestSet,
  locateIn: (manifest: Manifest) => Locate | undefined,
): ManifestProblem[] {
  const problems: ManifestProblem[] = []
  const report = (
    manifest: Manifest,
    path: readonly (string | number)[],
    message: string,
    severity: 'error' | 'warning',
  ): void => {
    const locate = locateIn(manifest)
    if (locate) problems.push(problem(locate(path), describe(manifest), fieldPath(path), message, severity))
  }
  const named = (manifests: readonly Manifest[], namespace: string): string[] =>
    manifests
      .filter((manifest) => manifest.metadata.namespace === namespace)
      .map((manifest) => manifest.metadata.name)

  for (const identity of set.identities) {
    const resources = set.resources.filter(
      (resource) => resource.metadata.namespace === identity.metadata.namespace,
    )
    identity.spec.access?.forEach((access, index) => {
      const resource = resources.find((candidate) => candidate.metadata.name === access.resource)
      if (!resource) {
        const known = resources.map((candidate) => candidate.metadata.name)
        report(
          identity,
          ['spec', 'access', index, 'resource'],
          unknown('ProtectedResource', access.resource, known),
          'error',
        )
        return
      }
      const roles = resource.spec.roles.map((role) => role.name)
      access.roles.forEach((role, position) => {
        if (!roles.includes(role))
          report(
            identity,
            ['spec', 'access', index, 'roles', position],
            unknown(`role of ${access.resource}`, role, roles),
            'error',
          )
      })
    })
  }
  for (const policy of set.policies) {
    const { namespace } = policy.metadata
    const { identities, resources } = policy.spec.appliesTo
    const check = (
      list: 'identities' | 'resources',
      kind: string,
      wanted: readonly string[] | undefined,
      known: string[],
    ): void =>
      wanted?.forEach((name, index) => {
        if (!known.includes(name))
          report(policy, ['spec', 'appliesTo', list, index], unknown(kind, name, known), 'warning')
      })
    check('identities', 'AgentIdentity', identities, named(set.identities, namespace))
    check('resources', 'ProtectedResource', resources, named(set.resources, namespace))
  }
  return problems
}

function unknown(kind: string, name: string, known: readonly string[]): string {
  const near = closest(name, known)
  const help = near
    ? `did you mean ${near}?`
    : known.length > 0
      ? `there is ${known.join(', ')}`
      : 'there is none in this namespace'
  return `no ${kind} is named ${name}; ${help}`
}
