/** What is valid and yet can't be meant: words in policies that nothing will ever match. */
import {
  closest,
  type GuardrailPolicy,
  type LoadedManifests,
  type ManifestProblem,
  type ManifestSet,
} from '@firebreak/crds'
import { actionFamilies, compileGlob, globsMeet, lookupsOf, type ResourceType } from '@firebreak/policy'
import type { Vocabulary } from '../protocols/vocabulary.ts'
import { maskDoubt } from './mask-doubts.ts'
import { openApiOfResource } from './openapi.ts'

/**
 * @param vocabulary of the protocols that are spoken; others' words are not judged
 * @returns errors for actions and facts that don't exist, since a deny rule for such an action would deny nothing, and one
 * with such a condition everything; warnings for actions that only a system of its own kind could have, and for operations, tags and groups that nothing and nobody carries, which others may bring later.
 */
export function doubts(
  { manifests, locate }: Pick<LoadedManifests, 'manifests' | 'locate'>,
  vocabulary: Vocabulary,
): readonly ManifestProblem[] {
  const problems: ManifestProblem[] = []
  for (const policy of manifests.policies) {
    const object = `GuardrailPolicy ${policy.metadata.namespace}/${policy.metadata.name}`
    const report = (field: string, message: string, severity: ManifestProblem['severity']): void => {
      const { source, ...location } = locate(object, field)
      problems.push({ severity, location, object, field, message, source })
    }
    const { tags, groups, operations, types } = knownTo(policy, manifests)
    policy.spec.appliesTo.groups?.forEach((group, index) => {
      if (groups && !groups.includes(group))
        report(
          `spec.appliesTo.groups[${index}]`,
          unknown('no identity is in the group', group, groups),
          'warning',
        )
    })
    policy.spec.rules?.forEach(({ match, effect }, rule) => {
      match.actions?.forEach((action, index) => {
        if (isStrange(action, vocabulary))
          report(
            `spec.rules[${rule}].match.actions[${index}]`,
            unknownAction(action, vocabulary),
            vocabulary.extended.includes(familyOf(action)) ? 'warning' : 'error',
          )
        const operation = operationOf(action)
        if (operation !== undefined && !operations.some(compileGlob(operation)))
          report(
            `spec.rules[${rule}].match.actions[${index}]`,
            unknown('no OpenAPI document has the operation', operation, operations),
            'warning',
          )
      })
      for (const message of match.condition === undefined ? [] : strangeLookups(match.condition, vocabulary))
        report(`spec.rules[${rule}].match.condition`, message, 'error')
      if (effect === 'mask')
        match.objects?.forEach((masked, index) => {
          const doubt = maskDoubt(masked, types)
          if (doubt) report(`spec.rules[${rule}].match.objects[${index}]`, doubt.message, doubt.severity)
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
  { metadata: { namespace }, spec: { appliesTo } }: GuardrailPolicy,
  { resources, identities }: ManifestSet,
): {
  readonly tags: string[]
  readonly groups: string[] | undefined
  /** Names of OpenAPI documents. */
  readonly operations: string[]
  readonly types: ResourceType[]
} {
  const near = <Kind extends { metadata: { namespace: string } }>(manifests: readonly Kind[]): Kind[] =>
    manifests.filter(({ metadata }) => metadata.namespace === namespace)
  const documents = near(resources).flatMap((resource) => {
    const document = openApiOfResource(resource)
    return document?.ok ? [{ name: resource.metadata.name, ...document.value }] : []
  })
  const tags = [
    ...near(resources).flatMap(({ spec }) => spec.classification ?? []),
    ...documents.flatMap(({ classification }) => classification),
  ].flatMap((entry) => entry.tags)
  const isMeant = (name: string): boolean => appliesTo.resources?.includes(name) ?? true
  const operations = documents
    .filter(({ name }) => isMeant(name))
    .flatMap((document) => document.operations.map((operation) => operation.name))
  const types = near(resources).flatMap(({ metadata, spec }) => (isMeant(metadata.name) ? [spec.type] : []))
  const groups = near(identities).flatMap(({ spec }) => spec.groups ?? [])
  const byToken = near(identities).some(({ spec }) => spec.authentication.oidc)
  return { tags: [...new Set(tags)], groups: byToken ? undefined : groups, operations, types }
}

function familyOf(action: string): string {
  return action.split(':', 1)[0] ?? ''
}

/** As an OpenAPI document names it. */
function operationOf(action: string): string | undefined {
  return familyOf(action) === 'openapi' ? action.slice('openapi:'.length) : undefined
}

function isStrange(action: string, { actions, spokenByRequests }: Vocabulary): boolean {
  const words = [...actions, ...spokenByRequests]
  const spoken = words.some((word) => familyOf(word) === familyOf(action))
  return spoken && !words.some((word) => globsMeet(action, word))
}

/** What a system gives names to is no part of the word that was meant. */
function unknownAction(action: string, { actions, spokenByRequests }: Vocabulary): string {
  const dot = action.indexOf('.')
  const [word, name] = dot < 0 ? [action, ''] : [action.slice(0, dot), action.slice(dot)]
  const words = [...actions, ...spokenByRequests.map((known) => known.replace('.*', ''))]
  const near = closest(word, words)
  return `there is no action ${action}${near ? `; did you mean ${near}${name}?` : ''}`
}

function unknown(what: string, word: string, known: readonly string[]): string {
  const near = closest(word, known)
  return `${what} ${word}${near ? `; did you mean ${near}?` : ''}`
}

/** What a condition asks for and no command has. One that is not valid is refused elsewhere. */
function strangeLookups(condition: string, { facts }: Vocabulary): readonly string[] {
  let lookups: ReturnType<typeof lookupsOf>
  try {
    lookups = lookupsOf(condition)
  } catch {
    return []
  }
  const families = [...new Set([...Object.values(actionFamilies), ...Object.keys(facts)])]
  const known = new Map([
    ['command', ['actions', 'objects', ...families]],
    ['identity', ['namespace', 'name', 'groups']],
    ...Object.entries(facts).map(([family, names]) => [`command.${family}`, names] as const),
  ])
  const messages = lookups.flatMap((path) =>
    path.flatMap((word, index) => {
      const outer = path.slice(0, index).join('.')
      const words = known.get(outer)
      const full = (name: string): string => `${outer}.${name}`
      return words && !words.includes(word) ? [unknown('there is no', full(word), words.map(full))] : []
    }),
  )
  return [...new Set(messages)]
}
