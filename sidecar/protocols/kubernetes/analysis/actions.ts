/** The closed vocabulary of what requests to a Kubernetes API do. Policies are written in these words. */

export const kubernetesActions = {
  'k8s:get': 'reads an object',
  'k8s:list': 'reads all objects of a kind, or those that a selector selects',
  'k8s:watch': 'reads objects of a kind, and follows how they change',
  'k8s:create': 'makes an object; also by server-side apply, and for an update of kinds that it makes',
  'k8s:update': 'replaces an object',
  'k8s:patch': 'changes an object, by any kind of patch',
  'k8s:delete': 'removes an object; also by giving it an owner',
  'k8s:deletecollection': 'removes all objects of a kind, or those that a selector selects',
  'k8s:dryRun': 'tries a change, which changes nothing and answers with the object',
  'k8s:log': 'reads what a container writes',
  'k8s:exec': 'runs a program in a container; kubectl cp as well',
  'k8s:stdin': 'gives a program in a container its input, whatever that is',
  'k8s:shell': 'gives a line to a shell in a container, where lines are decided one by one',
  'k8s:copyFrom': 'is what kubectl cp runs to read files of a container; k8s:exec as well',
  'k8s:copyTo': 'is what kubectl cp runs to write files of a container; k8s:exec and k8s:stdin as well',
  'k8s:attach': 'takes part in what a container reads and writes',
  'k8s:portForward': 'connects to a port of a pod',
  'k8s:proxy': 'sends HTTP requests to a pod, a service or a kubelet',
  'k8s:debug': 'adds a container to a running pod',
  'k8s:evict': 'evicts a pod, as draining a node does',
  'k8s:schedule': 'puts a pod on a node, past the scheduler',
  'k8s:cordon': 'changes whether pods are put on a node: unschedulable and taints',
  'k8s:scale': 'changes how many replicas there are',
  'k8s:status': 'changes the status of an object',
  'k8s:subresource': 'uses another subresource',
  'k8s:token': 'obtains a token of a service account',
  'k8s:actAs': 'runs pods as a service account other than the default one',
  'k8s:mount': 'gives a Secret to a pod, as a file or in its environment',
  'k8s:approve': 'approves or denies a certificate signing request',
  'k8s:finalize': 'ends what keeps a namespace from being removed',
  'k8s:privileged': 'runs containers with more than the baseline Pod Security Standard lets them have',
  'k8s:hostAccess': 'uses namespaces, files or ports of the node',
  'k8s:grant': 'changes roles or who has them',
  'k8s:admission':
    'changes what is asked before objects are taken: webhooks, admission policies, Pod Security labels',
  'k8s:extend': 'changes what the API itself is: custom resources and aggregated APIs',
  'k8s:changeFirebreak': 'changes objects of Firebreak, or what it goes by',
  'k8s:nonResource': 'uses a path of the API server that is none of an object: /metrics, /logs',
  'k8s:discover': 'asks what there is: kinds, schemas, versions, health, and what one may do oneself',
} as const

export type KubernetesAction = keyof typeof kubernetesActions

/** What comes with having a session at all. */
export const baselineKubernetesActions: readonly KubernetesAction[] = ['k8s:discover']
