/** What a parent may pass on. Pure. */
import { globCovers, type Limits, nameCovers, type QualifiedName, type Scope } from '@firebreak/policy'
import type { Result } from '../session.ts'

/** What is asked for a child. An absent list is what the parent has. */
export interface ScopeAsk {
  /** Names of resources of the parent's namespace. */
  readonly resources?: readonly string[]
  readonly roles?: readonly string[]
  readonly actions?: readonly string[]
  readonly objects?: readonly string[]
  readonly limits?: Limits
}

/** Resources and roles that somebody may use by the manifests. */
export interface Access {
  readonly resource: QualifiedName
  readonly roles: readonly string[]
}

export interface Holder {
  readonly identity: QualifiedName
  readonly access: readonly Access[]
}

/**
 * The scope of a child: what is asked, and what the parent's own scope says where nothing is.
 *
 * The decisions intersect the whole chain again on every command; this is so that a parent hears at once what it can't give.
 *
 * @param parent the scope that the parent itself was given; empty where it was given none.
 * @param holders the chain from its first link to the child: what none of them may use can't be passed on by it.
 * @returns what is asked beyond it, in words, otherwise.
 */
export function narrow(
  ask: ScopeAsk,
  parent: Scope,
  holders: readonly Holder[],
  namespace: string,
): Result<Scope, string> {
  const resources = ask.resources?.map((name): QualifiedName => `${namespace}/${name}`)
  const excess =
    beyond('resource', resources, parent.resources, (given, asked) => given === asked) ??
    beyond('role', ask.roles, parent.roles, (given, asked) => given === asked) ??
    beyond('action', ask.actions, parent.actions, globCovers) ??
    beyond('object', ask.objects, parent.objects, nameCovers) ??
    looser(ask.limits, parent.limits) ??
    notHeld(resources, ask.roles, resources ?? parent.resources, holders)
  if (excess !== undefined) return { ok: false, error: excess }
  return {
    ok: true,
    value: compact({
      resources: resources ?? parent.resources,
      roles: ask.roles ?? parent.roles,
      actions: ask.actions ?? parent.actions,
      objects: ask.objects ?? parent.objects,
      limits: ask.limits || parent.limits ? { ...parent.limits, ...ask.limits } : undefined,
    }),
  }
}

function beyond<Item extends string>(
  kind: string,
  asked: readonly Item[] | undefined,
  given: readonly Item[] | undefined,
  covers: (given: Item, asked: Item) => boolean,
): string | undefined {
  const excess = given && asked?.find((item) => !given.some((pattern) => covers(pattern, item)))
  return excess === undefined
    ? undefined
    : `${kind} ${excess} is beyond what the parent was given (${given?.join(', ')})`
}

function looser(asked: Limits = {}, given: Limits = {}): string | undefined {
  for (const name of Object.keys(given) as (keyof Limits)[]) {
    const [more, most] = [asked[name], given[name]]
    if (more !== undefined && most !== undefined && more > most)
      return `limit ${name} ${more} is beyond what the parent was given (${most})`
  }
  return undefined
}

function notHeld(
  askedResources: readonly QualifiedName[] | undefined,
  askedRoles: readonly string[] | undefined,
  resources: readonly QualifiedName[] | undefined,
  holders: readonly Holder[],
): string | undefined {
  for (const { identity, access } of holders) {
    const lacking = askedResources?.find((name) => !access.some(({ resource }) => resource === name))
    if (lacking !== undefined) return `${identity} itself has no access to ${lacking}`
    const usable = access.filter(({ resource }) => !resources || resources.includes(resource))
    const role = askedRoles?.find((name) => !usable.some(({ roles }) => roles.includes(name)))
    if (role !== undefined) return `${identity} itself has no role ${role}`
  }
  return undefined
}

/** Leaves out what is not said, so that it isn't in the token either. */
function compact(scope: { readonly [Name in keyof Scope]: Scope[Name] | undefined }): Scope {
  return Object.fromEntries(Object.entries(scope).filter(([, value]) => value !== undefined)) as Scope
}
