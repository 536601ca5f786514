/** Whom a test is about: names in it → the subject that is decided for, as a sidecar would prove it. */
import { type AgentIdentity, closest, type ManifestSet } from '@firebreak/crds'
import type { Elevation, PolicySnapshot, Principal, QualifiedName, Scope, Subject } from '@firebreak/policy'
import type { Given, PassedOn } from './test-file.ts'

/** A name that leads nowhere: a test with it would only seem to say something. */
export interface Mistake {
  /** In `given`. */
  readonly field: string
  readonly message: string
}

export type SubjectResult =
  | { readonly ok: true; readonly subject: Subject }
  | { readonly ok: false; readonly mistake: Mistake }

class NameError extends Error {
  readonly mistake: Mistake

  constructor(field: string, message: string) {
    super(message)
    this.mistake = { field, message }
  }
}

export function subjectOf(given: Given, manifests: ManifestSet, snapshot: PolicySnapshot): SubjectResult {
  try {
    return { ok: true, subject: subject(given, manifests, snapshot) }
  } catch (error) {
    if (error instanceof NameError) return { ok: false, mistake: error.mistake }
    throw error
  }
}

function subject(given: Given, manifests: ManifestSet, snapshot: PolicySnapshot): Subject {
  const namespace = given.namespace ?? 'default'
  const near = <Kind extends { metadata: { namespace: string } }>(all: readonly Kind[]): Kind[] =>
    all.filter(({ metadata }) => metadata.namespace === namespace)
  const identities = near(manifests.identities)
  const identityNamed = (name: string | undefined, field: string): AgentIdentity =>
    named(identities, name, field, `AgentIdentity in namespace ${namespace}`)
  const identity = identityNamed(given.identity, 'identity')
  const resource = named(
    near(manifests.resources),
    given.resource,
    'resource',
    `ProtectedResource in namespace ${namespace}`,
  )
  const roles = resource.spec.roles.map(({ name }) => name)
  const own = identity.spec.access?.find((access) => access.resource === given.resource)?.roles[0]
  const role = given.role ?? own
  if (role === undefined)
    throw new NameError('role', `${given.identity} has no role of ${given.resource}; say which one is tried`)
  if (!roles.includes(role)) throw unknown('role', `role of ${given.resource}`, role, roles)
  const links = [
    ...(given.chain ?? []).map((link, index) => ({
      ...link,
      manifest: identityNamed(link.identity, `chain[${index}].identity`),
    })),
    { groups: given.groups, scope: given.scope, manifest: identity },
  ].map(
    ({ groups = [], scope, manifest }): Principal => ({
      identity: `${namespace}/${manifest.metadata.name}`,
      groups: [...(manifest.spec.groups ?? []), ...groups],
      ...(scope && { scope: scopeIn(namespace, scope) }),
    }),
  )
  const base = { resource: `${namespace}/${resource.metadata.name}` as const, role }
  const [first, ...others] = links
  if (!first) throw new Error('a chain has at least the identity itself')
  const plain: Subject = { ...base, chain: [first, ...others] }
  const elevations = (given.elevations ?? []).map((name, index) =>
    elevationNamed(name, `elevations[${index}]`, snapshot, plain),
  )
  if (elevations.length === 0) return plain
  const last = { ...(others.pop() ?? first), elevations }
  return { ...base, chain: links.length === 1 ? [last] : [first, ...others, last] }
}

function named<Kind extends { metadata: { name: string } }>(
  all: readonly Kind[],
  name: string | undefined,
  field: string,
  what: string,
): Kind {
  if (name === undefined) throw new NameError('', `missing field ${field}, here or for all tests of the file`)
  const found = all.find(({ metadata }) => metadata.name === name)
  if (found) return found
  throw unknown(
    field,
    what,
    name,
    all.map(({ metadata }) => metadata.name),
  )
}

function unknown(field: string, what: string, name: string, known: readonly string[]): NameError {
  const near = closest(name, known)
  const help = near
    ? `did you mean ${near}?`
    : known.length > 0
      ? `there is ${known.join(', ')}`
      : 'there is none'
  return new NameError(field, `there is no ${what} named ${name}; ${help}`)
}

function scopeIn(namespace: string, { resources, ...rest }: PassedOn): Scope {
  return {
    ...rest,
    ...(resources && { resources: resources.map((name): QualifiedName => `${namespace}/${name}`) }),
  }
}

/** An elevation as it is when people have granted all that the policy offers. */
function elevationNamed(name: string, field: string, snapshot: PolicySnapshot, subject: Subject): Elevation {
  const offers = snapshot.elevationsFor(subject)
  const offer = offers.find(({ rule }) => rule.rule === name)
  if (!offer)
    throw unknown(
      field,
      'elevation for this identity',
      name,
      offers.map(({ rule }) => rule.rule),
    )
  const { rule, actions, objects, roles } = offer
  return {
    request: 'test',
    rule,
    ...(roles?.includes(subject.role) && { role: subject.role }),
    ...(actions && { actions }),
    ...(objects && { objects }),
  }
}
