/** What is valid and yet can't be meant: words in policies that nothing will ever match. */
import {
  closest,
  type GuardrailPolicy,
  type LoadedManifests,
  type ManifestProblem,
  type ManifestSet,
} from '@firebreak/crds'
import { compileGlob } from '@firebreak/policy'

/**
 * @param vocabulary the actions of the protocols that are spoken; others' are not judged
 * @returns errors for actions that don't exist, since a deny rule for one would deny nothing; warnings for tags and
 * groups that nobody carries, which others may bring later.
 */
export function doubts(
  { manifests, locate }: LoadedManifests,
  vocabulary: readonly string[],
): readonly ManifestProblem[] {
  const problems: ManifestProblem[] = []
  for (const policy of manifests.policies) {
    const object = `GuardrailPolicy ${policy.metadata.namespace}/${policy.metadata.name}`
    const report = (field: string, message: string, severity: ManifestProblem['severity']): void => {
      const { source, ...location } = locate(object, field)
      problems.push({ severity, location, object, field, message, source })
    }
    const { tags, groups } = knownTo(policy, manifests)
    policy.spec.appliesTo.groups?.forEach((group, index) => {
      if (groups && !groups.includes(group))
        report(
          `spec.appliesTo.groups[${index}]`,
          unknown('no identity is in the group', group, groups),
          'warning',
        )
    })
    policy.spec.rules?.forEach(({ match }, rule) => {
      match.actions?.forEach((action, index) => {
        if (isStrange(action, vocabulary))
          report(
            `spec.rules[${rule}].match.actions[${index}]`,
            unknown('there is no action', action, vocabulary),
            'error',
          )
      })
      match.tags?.forEach((tag, index) => {
        if (!tags.some(compileGlob(tag)))
          report(
            `spec.rules[${rule}].match.tags[${index}]`,
            unknown('nothing is classified as', tag, tags),
            'warning',
          )
      })
    })
  }
  return problems
}

/** The tags and groups that a policy can meet: those of its own namespace. Tokens bring groups that can't be known. */
function knownTo(
  { metadata: { namespace } }: GuardrailPolicy,
  { resources, identities }: ManifestSet,
): { readonly tags: string[]; readonly groups: string[] | undefined } {
  const near = <Kind extends { metadata: { namespace: string } }>(manifests: readonly Kind[]): Kind[] =>
    manifests.filter(({ metadata }) => metadata.namespace === namespace)
  const tags = near(resources).flatMap(
    ({ spec }) => spec.classification?.flatMap((entry) => entry.tags) ?? [],
  )
  const groups = near(identities).flatMap(({ spec }) => spec.groups ?? [])
  const byToken = near(identities).some(({ spec }) => spec.authentication.oidc)
  return { tags: [...new Set(tags)], groups: byToken ? undefined : groups }
}

function isStrange(action: string, vocabulary: readonly string[]): boolean {
  const [protocol] = action.split(':')
  const spoken = vocabulary.some((word) => word.startsWith(`${protocol}:`))
  return spoken && !vocabulary.some(compileGlob(action))
}

function unknown(what: string, word: string, known: readonly string[]): string {
  const near = closest(word, known)
  return `${what} ${word}${near ? `; did you mean ${near}?` : ''}`
}
