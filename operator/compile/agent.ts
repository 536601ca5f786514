/** What one agent's sidecar gets: its part of a namespace, and the credentials that it may use, and nothing else. */
import { createHash } from 'node:crypto'
import type { AgentIdentity, GuardrailPolicy, ProtectedResource, Secret } from '@firebreak/crds'
import { isReachedByTls } from '../certificates/host-certificates.ts'
import type { CompiledNamespace, Objects } from './namespace.ts'

export interface AgentConfiguration {
  /** Of the AgentIdentity. */
  readonly namespace: string
  readonly name: string
  /** Changes with anything in it, and says nothing about what a secret holds. */
  readonly revision: string
  /** In the shape of a standalone sidecar's directory. */
  readonly objects: Objects
}

export type AgentCompilation =
  | { readonly kind: 'compiled'; readonly configuration: AgentConfiguration }
  /** Something is broken: the sidecars keep what they have. In words for the status. */
  | { readonly kind: 'withheld'; readonly reason: string }

/** A role beyond those of the identity's access. */
export interface GrantedRole {
  readonly resource: string
  readonly role: string
}

/** @param granted what people let the agent have for now. */
export function compileAgent(
  identity: AgentIdentity,
  namespace: CompiledNamespace,
  granted: readonly GrantedRole[] = [],
): AgentCompilation {
  const all = withDelegates(identity, namespace.objects.identities)
  const missing = namespace.missing.find((policy) => mayApply(policy, all))
  if (missing)
    return { kind: 'withheld', reason: `GuardrailPolicy ${missing.metadata.name} is not valid and never was` }
  // a chain never has a right that its first link has not, so no credential of a delegate is needed
  const resources = namespace.objects.resources.flatMap((resource) => usablePart(resource, identity, granted))
  const identities = all.map((each) => narrowed(each, resources))
  const names = new Set(resources.map(({ metadata }) => metadata.name))
  const policies = namespace.objects.policies.filter(
    (policy) =>
      mayApply(policy, identities) &&
      (policy.spec.appliesTo.resources?.some((resource) => names.has(resource)) ?? true),
  )
  const secrets = referredSecrets([...identities, ...resources], namespace.objects.secrets)
  const objects = { identities, resources, policies, secrets }
  return {
    kind: 'compiled',
    configuration: {
      namespace: identity.metadata.namespace,
      name: identity.metadata.name,
      revision: revisionOf(objects, {
        records: namespace.records,
        certificates: resources.some(isReachedByTls) ? namespace.certificates : undefined,
      }),
      objects,
    },
  }
}

/** The identity itself, and whom it may delegate to, as deep as it may. */
function withDelegates(identity: AgentIdentity, all: readonly AgentIdentity[]): AgentIdentity[] {
  const reached = new Map([[identity.metadata.name, identity]])
  let layer = [identity]
  for (let depth = identity.spec.delegation?.maxDepth ?? 0; depth > 0 && layer.length > 0; depth--) {
    layer = all.filter(
      (candidate) =>
        !reached.has(candidate.metadata.name) &&
        layer.some(
          ({ spec: { delegation } }) =>
            delegation &&
            delegation.maxDepth > 0 &&
            (delegation.to?.includes(candidate.metadata.name) ?? true),
        ),
    )
    for (const next of layer) reached.set(next.metadata.name, next)
  }
  return [...reached.values()]
}

function mayApply({ spec: { appliesTo } }: GuardrailPolicy, identities: readonly AgentIdentity[]): boolean {
  // groups are not looked at: those of a token are known in the sidecar only
  return identities.some(({ metadata }) => appliesTo.identities?.includes(metadata.name) ?? true)
}

/** A resource with only the roles that an identity may use; nothing if there are none. */
function usablePart(
  resource: ProtectedResource,
  { spec: { access } }: AgentIdentity,
  granted: readonly GrantedRole[],
): ProtectedResource[] {
  const usable = [
    ...(access?.find((candidate) => candidate.resource === resource.metadata.name)?.roles ?? []),
    ...granted.filter((each) => each.resource === resource.metadata.name).map(({ role }) => role),
  ]
  const roles = resource.spec.roles.filter(({ name }) => usable.includes(name))
  return roles.length === 0 ? [] : [{ ...resource, spec: { ...resource.spec, roles } }]
}

/** An identity with only the access that leads to something that is there: the sidecar refuses names that lead nowhere. */
function narrowed(identity: AgentIdentity, resources: readonly ProtectedResource[]): AgentIdentity {
  const access = identity.spec.access?.flatMap(({ resource, roles, ...rest }) => {
    const there = resources.find(({ metadata }) => metadata.name === resource)?.spec.roles ?? []
    const usable = roles.filter((role) => there.some(({ name }) => name === role))
    return usable.length === 0 ? [] : [{ ...rest, resource, roles: usable }]
  })
  return access ? { ...identity, spec: { ...identity.spec, access } } : identity
}

/** Only the keys that are referred to, of only the Secrets that are referred to. */
function referredSecrets(
  manifests: readonly (AgentIdentity | ProtectedResource)[],
  secrets: readonly Secret[],
): Secret[] {
  const wanted = new Map<string, Set<string>>()
  const collect = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    for (const [name, inner] of Object.entries(value)) {
      if (name === 'secret') {
        const { name: secret, key, usernameKey, passwordKey } = inner as Record<string, string | undefined>
        const keys = wanted.get(secret ?? '') ?? new Set()
        for (const each of [key, usernameKey, passwordKey]) if (each !== undefined) keys.add(each)
        wanted.set(secret ?? '', keys)
      } else collect(inner)
    }
  }
  for (const { spec } of manifests) collect(spec)
  return secrets.flatMap((secret) => {
    const keys = wanted.get(secret.metadata.name)
    if (!keys) return []
    const data = Object.fromEntries(Object.entries(secret.data).filter(([key]) => keys.has(key)))
    return [{ ...secret, data }]
  })
}

/** Twelve hex digits. Secrets go in by their version: a digest of what they hold could be guessed at. */
function revisionOf(
  { identities, resources, policies, secrets }: Objects,
  more: Readonly<Record<string, string | undefined>>,
): string {
  const specs = [...identities, ...resources, ...policies].map(({ kind, metadata: { name }, spec }) =>
    JSON.stringify([kind, name, spec]),
  )
  const versions = secrets.map(({ kind, metadata: { name, uid, resourceVersion } }) =>
    JSON.stringify([kind, name, uid, resourceVersion]),
  )
  const others = Object.entries(more).flatMap(([what, version]) =>
    version === undefined ? [] : [`${what} ${version}`],
  )
  return createHash('sha256')
    .update([...specs, ...versions, ...others].sort().join('\n'))
    .digest('hex')
    .slice(0, 12)
}
