/** What comes of an object when it is written: more than the verb says. */
import { everyName, type Touch } from '@firebreak/policy'
import { at, type Document, elementsOf, textAt } from '../documents/document.ts'
import type { KubernetesAction } from './actions.ts'
import type { PodNeeds } from './pods.ts'
import type { ResourceRequest } from './request-info.ts'
import type { Kind } from './resources.ts'
import { beside, noNamespace, type ObjectPath, touch } from './touches.ts'

const admissionKinds = new Set([
  'mutatingwebhookconfigurations',
  'validatingwebhookconfigurations',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
])

const ours = 'firebreak.dev'

/** Of writing or removing an object of a kind, whatever is in it. */
export function consequencesOfKind(
  { group, resource }: ResourceRequest,
  { isBuiltin }: Kind,
  path: ObjectPath,
): Touch[] {
  const actions: KubernetesAction[] = []
  if (group === 'rbac.authorization.k8s.io') actions.push('k8s:grant')
  if (isBuiltin && admissionKinds.has(resource)) actions.push('k8s:admission')
  if (group === 'apiextensions.k8s.io' || group === 'apiregistration.k8s.io') actions.push('k8s:extend')
  // what is generated, and the objects of the installation, are called so
  if (group === ours || group.endsWith(`.${ours}`) || /(^|[.:-])firebreak($|[.:-])/.test(path[2]))
    actions.push('k8s:changeFirebreak')
  return actions.map((action) => touch(action, path))
}

/** @param set objects that hold no more than what is written. */
export function consequencesOfContent(
  request: ResourceRequest,
  set: readonly Document[],
  path: ObjectPath,
): Touch[] {
  const touches: Touch[] = []
  for (const document of set) {
    touches.push(...ofMetadata(request, document, path))
    const isCore = request.group === ''
    if (isCore && request.resource === 'nodes' && changesScheduling(document))
      touches.push(touch('k8s:cordon', path))
    if (isCore && request.resource === 'secrets') touches.push(...ofToken(document, path))
    if (isCore && request.resource === 'bindings')
      touches.push(
        touch('k8s:schedule', [path[0], 'pods', textAt(document, 'metadata', 'name') ?? everyName]),
      )
  }
  return touches
}

function ofMetadata({ resource, group }: ResourceRequest, document: Document, path: ObjectPath): Touch[] {
  const touches: Touch[] = []
  const metadata = at(document, 'metadata')
  // what has owners is removed with them, and at once where there are none
  if (elementsOf(at(metadata, 'ownerReferences')).length > 0)
    touches.push(touch('k8s:delete', path, 'implied'))
  const names = ['labels', 'annotations'].flatMap((map) => namesIn(at(metadata, map)))
  if (names.some((name) => isOurs(name)) || managedByUs(metadata))
    touches.push(touch('k8s:changeFirebreak', path))
  if (group === '' && resource === 'namespaces' && names.some((name) => name.startsWith('pod-security.')))
    touches.push(touch('k8s:admission', path))
  return touches
}

/** https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/controller/deployment/rollback.go */
const rollback = 'deprecated.deployment.rollback.to'

/** @returns why it can't be told what comes of an object: the controller of Deployments puts back a template that it kept. */
export function unknownOf({ resource }: ResourceRequest, set: readonly Document[]): readonly string[] {
  if (resource !== 'deployments') return []
  const revisions = set.map((document) => at(document, 'metadata', 'annotations', rollback))
  return revisions.some((revision) => revision !== undefined && revision !== null && revision !== '')
    ? [`the annotation ${rollback} brings back an earlier template, which is not looked into`]
    : []
}

function isOurs(name: string): boolean {
  const [domain = ''] = name.split('/')
  return domain === ours || domain.endsWith(`.${ours}`)
}

function managedByUs(metadata: Document | undefined): boolean {
  return textAt(metadata, 'labels', 'app.kubernetes.io/managed-by') === 'firebreak'
}

function namesIn(map: Document | undefined): readonly string[] {
  return map instanceof Map ? [...map.keys()] : []
}

function changesScheduling(node: Document): boolean {
  const spec = at(node, 'spec')
  return spec instanceof Map && (spec.has('unschedulable') || spec.has('taints'))
}

/** A Secret of this type is filled with a token of the service account that it names. */
function ofToken(secret: Document, path: ObjectPath): Touch[] {
  const account = textAt(secret, 'metadata', 'annotations', 'kubernetes.io/service-account.name')
  const isToken = textAt(secret, 'type') === 'kubernetes.io/service-account-token'
  return isToken || account !== undefined
    ? [touch('k8s:token', beside(path, 'serviceaccounts', account ?? everyName))]
    : []
}

export function touchesOfPods(needs: PodNeeds, path: ObjectPath): Touch[] {
  const touches: Touch[] = []
  if (needs.privileged) touches.push(touch('k8s:privileged', path))
  if (needs.hostAccess) touches.push(touch('k8s:hostAccess', path))
  for (const node of needs.nodes) touches.push(touch('k8s:schedule', [noNamespace, 'nodes', node]))
  for (const account of needs.serviceAccounts)
    touches.push(touch('k8s:actAs', beside(path, 'serviceaccounts', account)))
  for (const secret of needs.secrets) {
    const object = beside(path, 'secrets', secret)
    touches.push(touch('k8s:mount', object), touch('k8s:get', object, 'implied'))
  }
  for (const map of needs.configMaps)
    touches.push(touch('k8s:get', beside(path, 'configmaps', map), 'implied'))
  return touches
}

/** Removing a namespace removes all that is in it. */
export function consequencesOfDeletion(
  { group, resource }: ResourceRequest,
  [, , name]: ObjectPath,
): Touch[] {
  if (group !== '' || resource !== 'namespaces') return []
  return [touch('k8s:delete', [name, everyName, everyName], 'implied')]
}

/** How many replicas an object asks for; undefined where it says nothing of that. */
export function replicasIn(set: readonly Document[]): number | undefined {
  for (const document of set) {
    const replicas = at(document, 'spec', 'replicas')
    if (typeof replicas === 'number') return replicas
  }
  return undefined
}
