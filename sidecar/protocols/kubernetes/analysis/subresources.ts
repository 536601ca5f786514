/** What subresources do, beside or instead of what the verb says. */
import { everyName, type Touch } from '@firebreak/policy'
import type { KubernetesAction } from './actions.ts'
import { remoteCommandOf, remoteCommandTouches } from './remote-command.ts'
import type { ResourceRequest, Verb } from './request-info.ts'
import { beside, noNamespace, type ObjectPath, touch } from './touches.ts'

const ofPods: Readonly<Record<string, KubernetesAction>> = {
  exec: 'k8s:exec',
  attach: 'k8s:attach',
  portforward: 'k8s:portForward',
  proxy: 'k8s:proxy',
  log: 'k8s:log',
  eviction: 'k8s:evict',
  binding: 'k8s:schedule',
  ephemeralcontainers: 'k8s:debug',
  resize: 'k8s:patch',
}

const ofOthers: Readonly<Record<string, KubernetesAction>> = {
  'services/proxy': 'k8s:proxy',
  'nodes/proxy': 'k8s:proxy',
  'serviceaccounts/token': 'k8s:token',
  'certificatesigningrequests/approval': 'k8s:approve',
  'namespaces/finalize': 'k8s:finalize',
}

const reading: ReadonlySet<Verb> = new Set(['get', 'list', 'watch'])

/** @param kind as rules name it: subresources of other groups' kinds mean what their makers want. */
export function subresourceTouches(
  request: ResourceRequest,
  kind: string,
  path: ObjectPath,
  verbAction: KubernetesAction,
): readonly Touch[] {
  const { subresource, verb } = request
  const action = kind === 'pods' ? own(ofPods, subresource) : own(ofOthers, `${kind}/${subresource}`)
  const remote = remoteCommandOf(request)
  if (remote && (action === 'k8s:exec' || action === 'k8s:attach'))
    return [...remoteCommandTouches(action, path, remote), ...impliedBy(action, kind, path)]
  if (action !== undefined) return [touch(action, path), ...impliedBy(action, kind, path)]
  // of every kind these mean the same
  if (subresource === 'status' || subresource === 'scale') {
    if (reading.has(verb)) return [touch('k8s:get', path)]
    return [touch(subresource === 'scale' ? 'k8s:scale' : 'k8s:status', path, 'direct', [verbAction])]
  }
  return [touch('k8s:subresource', path), touch(verbAction, path)]
}

function own<Value>(record: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined
}

export function impliedBy(action: KubernetesAction, kind: string, path: ObjectPath): readonly Touch[] {
  const anyPod = [everyName, 'pods', everyName]
  switch (action) {
    case 'k8s:exec':
    case 'k8s:attach':
    case 'k8s:shell':
    case 'k8s:debug':
      // a program in a pod reads what the pod was given
      return [touch('k8s:get', beside(path, 'secrets', everyName), 'implied')]
    case 'k8s:evict':
      return [touch('k8s:delete', path, 'implied')]
    case 'k8s:proxy':
      // a kubelet runs programs in its pods, and shows what they write
      return kind === 'nodes'
        ? [touch('k8s:exec', anyPod, 'implied'), touch('k8s:log', anyPod, 'implied')]
        : []
    case 'k8s:token':
      return [touch('k8s:actAs', path, 'implied')]
    default:
      return []
  }
}

/** A pod is put on a node also by an object of its own. */
export function bindingTouches(namespace: string, pod: string, node: string | undefined): readonly Touch[] {
  return [
    touch('k8s:schedule', [namespace, 'pods', pod]),
    touch('k8s:schedule', [noNamespace, 'nodes', node ?? everyName], 'implied'),
  ]
}
