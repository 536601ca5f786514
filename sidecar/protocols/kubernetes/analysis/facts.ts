/** The closed vocabulary of what conditions may ask of a request, as `command.k8s.<name>`. */
import type { Fact } from '@firebreak/policy'

export const kubernetesFacts = {
  verb: 'as for RBAC: `get`, `list`, `deletecollection` …',
  group: 'the API group; empty for the core group',
  version: 'the version of the group',
  resource: 'the kind in the plural: `deployments`',
  subresource: 'as in `scale`; empty where there is none',
  namespace: 'empty for what has none, and for all namespaces',
  name: 'the name of the object; empty where it is about several, or not known yet',
  dryRun: 'whether nothing is changed',
  force: 'whether server-side apply takes fields from other managers',
  patch: 'the kind of patch: `json`, `merge`, `strategic`, `apply`',
  selectors: 'label and field selectors, as sent',
  images: 'images of the containers in the object sent',
  replicas: 'how many replicas the object sent asks for',
  command: 'the program of an exec, and its arguments',
  stdin: 'whether the program of an exec or attach is given input',
  tty: 'whether it has a terminal',
  ports: 'of a pod that are connected to, as text: `8080`; kubectl names none at first, and then one by one',
  paths: 'files that kubectl cp reads or writes',
  container: 'the container of an exec, attach or log; absent for the default one',
  orphans: 'whether a deletion leaves behind what belongs to the object',
} as const

export type KubernetesFact = keyof typeof kubernetesFacts
export type KubernetesFacts = Partial<Record<KubernetesFact, Fact>>
