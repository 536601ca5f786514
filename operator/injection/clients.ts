/** By what an agent's clients find its resources without being told: variables, and files that the enforcer writes. */
import { type AgentIdentity, isOwnCluster, type ProtectedResource } from '@firebreak/crds'
import type { V1Container, V1EnvVar, V1Volume, V1VolumeMount } from '@kubernetes/client-node'
import { isReachedByTls } from '../certificates/host-certificates.ts'
import { annotations } from '../containment/names.ts'
import { layout } from './layout.ts'

/** A resource, and the loopback port that stands for it. */
export interface ResourcePort {
  readonly resource: ProtectedResource
  readonly port: number
}

export interface ClientSettings {
  readonly environment: readonly V1EnvVar[]
  readonly mounts: readonly V1VolumeMount[]
  /** Whether what the API server gives the pod to reach its own API leads to the sidecar. */
  readonly account: boolean
}

/** In every container of the agent, unless the container has its own. */
export function clientSettings(identity: AgentIdentity, ports: readonly ResourcePort[]): ClientSettings {
  const kubernetes = ports.some(({ resource }) => resource.spec.type === 'kubernetes')
  const tls = ports.some(({ resource }) => isReachedByTls(resource))
  return {
    environment: [
      { name: 'FIREBREAK_API', value: `http://127.0.0.1:${layout.apiPort}` },
      ...ports.flatMap(addressOf),
      ...databaseVariables(identity, ports),
      ...(kubernetes ? [{ name: kubeconfigVariable, value: kubeconfigFile }] : []),
      ...(tls ? trustVariables.map((name) => ({ name, value: trustFile })) : []),
    ],
    mounts: kubernetes || tls ? [clientMount] : [],
    account: ports.some(({ resource }) => isOwnCluster(resource) && isReachedByTls(resource)),
  }
}

/** A container with them: its own variables stand, and so does a kubeconfig of its own. */
export function withSettings(
  container: V1Container,
  { environment, mounts, account }: ClientSettings,
): V1Container {
  const { env = [], volumeMounts = [] } = container
  const own = new Set(env.map(({ name }) => name))
  if (mountsKubeconfig(container)) own.add(kubeconfigVariable)
  const all = [...volumeMounts.map((mount) => (account ? guardedAccount(mount) : mount)), ...mounts]
  return {
    ...container,
    env: [...env, ...environment.filter(({ name }) => !own.has(name))],
    ...(all.length > 0 && { volumeMounts: all }),
  }
}

/**
 * What {@link withSettings} mounts in place of what the API server does: the agent's own token, which says nothing to the
 * sidecar, and what the sidecar's certificate is verified with.
 */
export const accountVolume: V1Volume = {
  name: layout.accountVolume,
  projected: {
    defaultMode: 0o644,
    sources: [
      { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
      {
        downwardAPI: {
          items: [
            { path: 'ca.crt', fieldRef: { fieldPath: `metadata.annotations['${annotations.authority}']` } },
            { path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } },
          ],
        },
      },
    ],
  },
}

/** What whoever makes a pod has to know about it, in words. */
export function clientWarnings(
  containers: readonly V1Container[],
  resources: readonly ProtectedResource[],
): string[] {
  if (!resources.some(({ spec }) => spec.type === 'kubernetes')) return []
  return containers
    .filter(
      (container) =>
        mountsKubeconfig(container) || container.env?.some(({ name }) => name === kubeconfigVariable),
    )
    .map(
      ({ name }) =>
        `container ${name} keeps its own kubeconfig: that of the protected clusters is ${kubeconfigFile}`,
    )
}

/** Whether a mount of an agent's container is one that it was given, and no other. */
export function isClientMount(mount: V1VolumeMount): boolean {
  const { name, mountPath, readOnly, recursiveReadOnly: _, ...others } = mount
  return (
    [clientMount, accountMount].some((given) => name === given.name && mountPath === given.mountPath) &&
    readOnly === true &&
    Object.keys(others).length === 0
  )
}

/** The names of the variables that say where an agent's container finds a resource. */
export function addressVariables({ metadata }: ProtectedResource): {
  readonly host: string
  readonly port: string
} {
  const name = metadata.name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')
  return { host: `FIREBREAK_${name}_HOST`, port: `FIREBREAK_${name}_PORT` }
}

const kubeconfigVariable = 'KUBECONFIG'
const kubeconfigFile = `${layout.clientDirectory}/${layout.kubeconfig}`
const trustFile = `${layout.clientDirectory}/${layout.trustBundle}`
/** Of OpenSSL and Go, Node, Python, curl, Git, Amazon's tools, and gRPC's own library below Python, C++, Ruby and PHP. */
const trustVariables = [
  'SSL_CERT_FILE',
  'NODE_EXTRA_CA_CERTS',
  'REQUESTS_CA_BUNDLE',
  'CURL_CA_BUNDLE',
  'GIT_SSL_CAINFO',
  'AWS_CA_BUNDLE',
  'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
]
const accountMount = {
  name: layout.accountVolume,
  mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
  readOnly: true,
}
const clientMount = { name: layout.clientVolume, mountPath: layout.clientDirectory, readOnly: true }

/** Only the one that the API server adds by itself; what a pod mounts of its own is its own. */
function guardedAccount(mount: V1VolumeMount): V1VolumeMount {
  return mount.name.startsWith('kube-api-access-') && mount.mountPath === accountMount.mountPath
    ? accountMount
    : mount
}

/** At ~/.kube, which the variable would hide. */
function mountsKubeconfig({ volumeMounts = [] }: V1Container): boolean {
  return volumeMounts.some(({ mountPath }) => mountPath.split('/').includes('.kube'))
}

function addressOf({ resource, port }: ResourcePort): V1EnvVar[] {
  const variables = addressVariables(resource)
  return [
    { name: variables.host, value: '127.0.0.1' },
    { name: variables.port, value: String(port) },
  ]
}

/** Those of PostgreSQL's clients, where there is no doubt which database they are about. */
function databaseVariables(identity: AgentIdentity, ports: readonly ResourcePort[]): V1EnvVar[] {
  const [only, ...others] = ports.filter(({ resource }) => resource.spec.type === 'postgresql')
  if (!only || others.length > 0) return []
  const { resource, port } = only
  const role = identity.spec.access?.find((access) => access.resource === resource.metadata.name)?.roles[0]
  return [
    { name: 'PGHOST', value: '127.0.0.1' },
    { name: 'PGPORT', value: String(port) },
    { name: 'PGSSLMODE', value: 'disable' },
    ...(role === undefined ? [] : [{ name: 'PGUSER', value: role }]),
    ...(resource.spec.database === undefined ? [] : [{ name: 'PGDATABASE', value: resource.spec.database }]),
  ]
}
