/** How objects of the API are named in rules: `namespace.kind.name`, as in `prod.secrets.db`. */
import { everyName, type Touch } from '@firebreak/policy'
import type { KubernetesAction } from './actions.ts'
import type { ResourceRequest } from './request-info.ts'
import { type Kind, kindOf } from './resources.ts'

/** Stands where the namespace does for what has none; no namespace can have this name. */
export const noNamespace = '-'

export type ObjectPath = readonly [namespace: string, kind: string, name: string]

export function touch(
  action: KubernetesAction,
  path: readonly string[],
  origin: Touch['origin'] = 'direct',
  also: readonly KubernetesAction[] = [],
): Touch {
  return { action, ...(also.length > 0 && { also }), object: { kind: 'object', path }, origin }
}

/** @param name of what is to be made, where the path has none. */
export function pathOf(request: ResourceRequest, kind: Kind, name = request.name): ObjectPath {
  return [namespaceOf(request, kind), kind.label, name === '' ? everyName : name]
}

function namespaceOf({ namespace, name, verb }: ResourceRequest, { namespaced }: Kind): string {
  if (namespaced === false) return noNamespace
  if (namespace !== '') return namespace
  // one object without a namespace has none; of a kind that only the API server knows, a list may be of all namespaces
  return namespaced === undefined && (name !== '' || verb === 'create') ? noNamespace : everyName
}

/** An object of the core group in the same namespace; of what has none, it may be in any. */
export function beside([namespace]: ObjectPath, kind: string, name: string): ObjectPath {
  return [namespace === noNamespace ? everyName : namespace, kindOf('', kind).label, name]
}
