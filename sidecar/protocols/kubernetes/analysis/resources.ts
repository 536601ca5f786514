/** The kinds of objects that the API server has by itself, and what of them matters here. */

/** By API group, as kube-apiserver 1.34 says itself (`kubectl api-resources`); a test compares them. */
const builtin = {
  '': {
    namespaced: [
      'bindings',
      'configmaps',
      'endpoints',
      'events',
      'limitranges',
      'persistentvolumeclaims',
      'pods',
      'podtemplates',
      'replicationcontrollers',
      'resourcequotas',
      'secrets',
      'serviceaccounts',
      'services',
    ],
    cluster: ['componentstatuses', 'namespaces', 'nodes', 'persistentvolumes'],
  },
  'admissionregistration.k8s.io': {
    namespaced: [],
    cluster: [
      'mutatingadmissionpolicies',
      'mutatingadmissionpolicybindings',
      'mutatingwebhookconfigurations',
      'validatingadmissionpolicies',
      'validatingadmissionpolicybindings',
      'validatingwebhookconfigurations',
    ],
  },
  'apiextensions.k8s.io': { namespaced: [], cluster: ['customresourcedefinitions'] },
  'apiregistration.k8s.io': { namespaced: [], cluster: ['apiservices'] },
  apps: {
    namespaced: ['controllerrevisions', 'daemonsets', 'deployments', 'replicasets', 'statefulsets'],
    cluster: [],
  },
  'authentication.k8s.io': { namespaced: [], cluster: ['selfsubjectreviews', 'tokenreviews'] },
  'authorization.k8s.io': {
    namespaced: ['localsubjectaccessreviews'],
    cluster: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews', 'subjectaccessreviews'],
  },
  autoscaling: { namespaced: ['horizontalpodautoscalers'], cluster: [] },
  batch: { namespaced: ['cronjobs', 'jobs'], cluster: [] },
  'certificates.k8s.io': { namespaced: [], cluster: ['certificatesigningrequests'] },
  'coordination.k8s.io': { namespaced: ['leasecandidates', 'leases'], cluster: [] },
  'discovery.k8s.io': { namespaced: ['endpointslices'], cluster: [] },
  'events.k8s.io': { namespaced: ['events'], cluster: [] },
  'flowcontrol.apiserver.k8s.io': { namespaced: [], cluster: ['flowschemas', 'prioritylevelconfigurations'] },
  'internal.apiserver.k8s.io': { namespaced: [], cluster: ['storageversions'] },
  'networking.k8s.io': {
    namespaced: ['ingresses', 'networkpolicies'],
    cluster: ['ingressclasses', 'ipaddresses', 'servicecidrs'],
  },
  'node.k8s.io': { namespaced: [], cluster: ['runtimeclasses'] },
  policy: { namespaced: ['poddisruptionbudgets'], cluster: [] },
  'rbac.authorization.k8s.io': {
    namespaced: ['rolebindings', 'roles'],
    cluster: ['clusterrolebindings', 'clusterroles'],
  },
  'resource.k8s.io': {
    namespaced: ['podschedulingcontexts', 'resourceclaims', 'resourceclaimtemplates'],
    cluster: ['deviceclasses', 'devicetaintrules', 'resourceslices'],
  },
  'scheduling.k8s.io': { namespaced: [], cluster: ['priorityclasses'] },
  'storage.k8s.io': {
    namespaced: ['csistoragecapacities'],
    cluster: ['csidrivers', 'csinodes', 'storageclasses', 'volumeattachments', 'volumeattributesclasses'],
  },
} as const

interface GroupKinds {
  readonly namespaced: readonly string[]
  readonly cluster: readonly string[]
}

const byGroup: ReadonlyMap<string, GroupKinds> = new Map(Object.entries<GroupKinds>(builtin))

const inTemplate: readonly string[] = ['spec', 'template', 'spec']

/**
 * Kinds whose objects hold pods to be, or files of nodes, by where those are described. Of other builtin kinds the fields of pods
 * aren't looked for.
 */
const holdingPods = new Map<string, readonly string[]>([
  ['pods', ['spec']],
  ['podtemplates', ['template', 'spec']],
  ['replicationcontrollers', inTemplate],
  ['replicasets', inTemplate],
  ['deployments', inTemplate],
  ['statefulsets', inTemplate],
  ['daemonsets', inTemplate],
  ['controllerrevisions', ['data']],
  ['jobs', inTemplate],
  ['cronjobs', ['spec', 'jobTemplate', ...inTemplate]],
  ['persistentvolumes', ['spec']],
])

/** Of these an update makes the object where there is none (`AllowCreateOnUpdate` of the API server's strategies). */
const madeByUpdate = new Set([
  'runtimeclasses',
  'roles',
  'rolebindings',
  'clusterroles',
  'clusterrolebindings',
  'leases',
  'leasecandidates',
  'limitranges',
  'events',
  'services',
  'endpoints',
])

export interface Kind {
  /** As rules name it: `deployments`, and `widgets.example.com` for what the API server doesn't have by itself. */
  readonly label: string
  /** Undefined where only the API server knows. */
  readonly namespaced: boolean | undefined
  readonly isBuiltin: boolean
  readonly mayHoldPods: boolean
  /** The names that lead to what describes a pod in an object of it; undefined where none is known. */
  readonly podsAt: readonly string[] | undefined
  readonly madeByUpdate: boolean
}

export function kindOf(group: string, resource: string): Kind {
  const known = byGroup.get(group)
  const namespaced = known?.namespaced.includes(resource)
  const isBuiltin = namespaced === true || known?.cluster.includes(resource) === true
  return {
    label: isBuiltin || group === '' ? resource : `${resource}.${group}`,
    namespaced: isBuiltin ? namespaced : undefined,
    isBuiltin,
    mayHoldPods: !isBuiltin || holdingPods.has(resource),
    podsAt: isBuiltin ? holdingPods.get(resource) : undefined,
    madeByUpdate: isBuiltin && madeByUpdate.has(resource),
  }
}

/** @param label of a kind: those of other groups' kinds have a dot. */
export function podsAtOf(label: string): Kind['podsAt'] {
  return holdingPods.get(label)
}

/** The builtin kinds, as `[group, resource, namespaced]`. */
export function* builtinKinds(): Generator<readonly [group: string, resource: string, namespaced: boolean]> {
  for (const [group, { namespaced, cluster }] of byGroup) {
    for (const resource of namespaced) yield [group, resource, true]
    for (const resource of cluster) yield [group, resource, false]
  }
}
