/** What in an agent's pod would undo its containment. */
import { posix } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type AgentIdentity, addressOf, type ProtectedResource } from '@firebreak/crds'
import type {
  V1Container,
  V1EphemeralContainer,
  V1PodSpec,
  V1PodStatus,
  V1SecurityContext,
  V1Volume,
} from '@kubernetes/client-node'
import { annotations, labels } from '../containment/names.ts'
import { isClientMount } from './clients.ts'
import { type AdmittedPod, droppedCapabilities, type InjectionContext, inject, type Uids } from './inject.ts'
import { layout, uidRange } from './layout.ts'

/** Capabilities that leave a container where it is. Of the usual ones of a container runtime these are all but SETUID, SETGID, NET_RAW, MKNOD. */
const harmlessCapabilities = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETPCAP',
  'SYS_CHROOT',
])

/** Volumes that hold what the pod's user could have put in its image as well, or what the API server gives it anyway. */
const harmlessVolumes: ReadonlySet<string> = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'nfs',
  'persistentVolumeClaim',
  'projected',
  'secret',
])

/** @returns why the pod can't be contained, each with the field; empty when it can be. */
export function objections(
  { spec, metadata }: AdmittedPod,
  identity: AgentIdentity,
  resources: readonly ProtectedResource[],
): string[] {
  const found: string[] = []
  const object = (field: string, why: string): void => void found.push(`${field}: ${why}`)
  if (spec.hostNetwork) object('spec.hostNetwork', 'the pod would leave by the node')
  if (spec.hostPID) object('spec.hostPID', 'the pod could reach the processes of the node')
  if (spec.hostIPC) object('spec.hostIPC', 'the pod could reach the memory of other pods')
  if (spec.shareProcessNamespace)
    object('spec.shareProcessNamespace', "the agent could reach the sidecar's processes")
  if (spec.os && spec.os.name !== 'linux') object('spec.os', 'only linux pods can be contained')
  if (spec.dnsPolicy === 'None' || spec.dnsConfig?.nameservers?.length)
    object('spec.dnsConfig.nameservers', "names are asked of the cluster's resolver only")
  if (spec.dnsConfig?.searches?.length)
    object('spec.dnsConfig.searches', 'the sidecar would look for its targets there as well')
  if (spec.hostAliases?.length)
    object('spec.hostAliases', 'the sidecar would take other addresses for its targets')
  const taken = hostsOf(identity, resources).find((host) => isNameOf(host, spec, metadata, identity))
  if (taken !== undefined)
    object('spec.hostname', `the sidecar would take the pod itself for ${taken}: the pod needs another name`)
  if (spec.securityContext?.sysctls?.length)
    object('spec.securityContext.sysctls', "they change the network that the sidecar's rules are about")
  const podUser = spec.securityContext?.runAsUser
  if (podUser !== undefined && isReservedUser(podUser)) object('spec.securityContext.runAsUser', reservedUser)
  if (metadata?.annotations?.[annotations.uids]?.match(/^\d+,\d+$/) === null)
    object(`metadata.annotations.${annotations.uids}`, 'it is set by the webhook')
  spec.volumes?.forEach((volume, index) => {
    const why = volumeObjection(volume)
    if (why !== undefined) object(`spec.volumes[${index}]`, why)
  })
  for (const [list, containers] of [
    ['initContainers', spec.initContainers ?? []],
    ['containers', spec.containers],
  ] as const)
    containers.forEach((container, index) => {
      for (const [field, why] of containerObjections(container)) object(`spec.${list}[${index}]${field}`, why)
    })
  return found
}

/** Where the sidecar connects to by name. */
function hostsOf({ spec }: AgentIdentity, resources: readonly ProtectedResource[]): string[] {
  const hosts = [
    ...resources.flatMap((resource) => [
      addressOf(resource).host,
      hostOfUrl(resource.spec.http?.authentication?.oauth2?.tokenUrl),
    ]),
    ...(spec.egress ?? []).map(({ host }) => host),
  ]
  return hosts.flatMap((host) => (host ? [host.toLowerCase().replace(/\.$/, '')] : []))
}

function hostOfUrl(url: string | undefined): string | undefined {
  return url !== undefined && URL.canParse(url) ? new URL(url).hostname : undefined
}

/** Whether the kubelet writes a host into the pod's hosts file, as the pod's own name. */
function isNameOf(
  host: string,
  { hostnameOverride, hostname, subdomain }: V1PodSpec,
  metadata: AdmittedPod['metadata'],
  { metadata: { namespace } }: AgentIdentity,
): boolean {
  const name = hostnameOverride ?? hostname ?? metadata?.name
  if (!name) return false
  const names = [name, `${name}.${subdomain}`, `${name}.${subdomain}.${namespace}`]
  return [...names, `${name}.${subdomain}.${namespace}.svc`].some(
    (own) => own === host || (own.endsWith('.svc') && host.startsWith(`${own}.`)),
  )
}

/** Whether nothing in the pod has a way out any more but the sidecars. @param status as the kubelet tells it. */
export function hasRules(status: V1PodStatus | undefined): boolean {
  const rules = status?.initContainerStatuses?.find(({ name }) => name === layout.rulesContainer)
  return rules?.state?.terminated?.exitCode === 0
}

/** @returns why a container may not be added to an agent's pod while it runs. */
export function ephemeralObjections(container: V1EphemeralContainer): string[] {
  const found = containerObjections(container as unknown as V1Container).map(
    ([field, why]) => `${field}: ${why}`,
  )
  if (container.targetContainerName?.startsWith(layout.prefix))
    found.push(`targetContainerName: the sidecar's processes are out of reach`)
  const { allowPrivilegeEscalation, capabilities } = container.securityContext ?? {}
  if (allowPrivilegeEscalation !== false || !capabilities?.drop?.includes('ALL'))
    found.push(
      'securityContext: it needs allowPrivilegeEscalation: false and capabilities: {drop: [ALL]} (kubectl debug --profile=restricted)',
    )
  return found
}

/** @returns what of the injected parts is not as it was injected; the fields of other containers may have been changed by others. */
export function tampering(
  pod: AdmittedPod,
  identity: AgentIdentity,
  resources: readonly ProtectedResource[],
  context: InjectionContext,
): string[] {
  const uids = uidsOf(pod)
  if (!uids || pod.metadata?.labels?.[labels.agent] !== identity.metadata.name)
    return [`the pod of agent ${identity.metadata.name} was not injected`]
  const { initContainers = [], containers, volumes = [] } = pod.spec
  const bare = withoutInjected(pod)
  const wanted = inject(bare, identity, resources, context, uids)
  const found: string[] = []
  const ours = (wanted.spec.initContainers ?? []).filter(({ name }) => name.startsWith(layout.prefix))
  ours.forEach((container, index) => {
    if (!isAsInjected(initContainers[index], container))
      found.push(`spec.initContainers[${index}] is not ${container.name} as it was injected`)
  })
  const named = [...initContainers, ...containers].filter(({ name }) => name.startsWith(layout.prefix))
  if (named.length !== ours.length) found.push(`names that begin with ${layout.prefix} are the sidecar's`)
  for (const volume of wanted.spec.volumes ?? []) {
    const present = volumes.filter(({ name }) => name === volume.name)
    if (volume.name.startsWith(layout.prefix) && !(present.length === 1 && includes(present[0], volume)))
      found.push(`volume ${volume.name} is not as it was injected`)
  }
  for (const container of [...(bare.spec.initContainers ?? []), ...bare.spec.containers]) {
    const { allowPrivilegeEscalation, capabilities } = container.securityContext ?? {}
    if (
      allowPrivilegeEscalation !== false ||
      !(capabilities?.drop?.includes('ALL') || dropsEnough(capabilities?.drop))
    )
      found.push(`container ${container.name} has rights again that injection took from it`)
  }
  return found
}

/** The pod as it was before injection, as far as anybody may have changed it since. */
export function withoutInjected(pod: AdmittedPod): AdmittedPod {
  const { initContainers, containers, volumes } = pod.spec
  return {
    ...pod,
    spec: {
      ...pod.spec,
      ...(initContainers && { initContainers: notOurs(initContainers).map(withoutClientMount) }),
      containers: notOurs(containers).map(withoutClientMount),
      ...(volumes && { volumes: notOurs(volumes) }),
    },
  }
}

function notOurs<T extends { readonly name: string }>(all: readonly T[]): T[] {
  return all.filter(({ name }) => !name.startsWith(layout.prefix))
}

function withoutClientMount(container: V1Container): V1Container {
  const { volumeMounts } = container
  return volumeMounts
    ? { ...container, volumeMounts: volumeMounts.filter((mount) => !isClientMount(mount)) }
    : container
}

export function uidsOf({ metadata }: AdmittedPod): Uids | undefined {
  const parts = /^(\d+),(\d+)$/.exec(metadata?.annotations?.[annotations.uids] ?? '')
  const [envoy, enforcer] = [Number(parts?.[1]), Number(parts?.[2])]
  return parts && isReservedUser(envoy) && isReservedUser(enforcer) && envoy !== enforcer
    ? { envoy, enforcer }
    : undefined
}

const reservedUser = `users from ${uidRange.from} to ${uidRange.to} are for sidecars`

function isReservedUser(user: number): boolean {
  return user >= uidRange.from && user <= uidRange.to
}

type Objection = readonly [field: string, why: string]

function containerObjections(container: V1Container): Objection[] {
  const { name, securityContext = {}, volumeMounts = [] } = container
  const found: Objection[] = []
  if (name.startsWith(layout.prefix))
    found.push(['.name', `names that begin with ${layout.prefix} are the sidecar's`])
  volumeMounts.forEach((mount, index) => {
    if (mount.name.startsWith(layout.prefix))
      found.push([`.volumeMounts[${index}]`, "the sidecar's volumes are its own"])
    if (`${posix.normalize(mount.mountPath)}/`.startsWith(`${layout.clientDirectory}/`))
      found.push([`.volumeMounts[${index}]`, `${layout.clientDirectory} is the sidecar's`])
    if (mount.mountPropagation === 'Bidirectional')
      found.push([`.volumeMounts[${index}]`, 'mounts may not spread to the node'])
  })
  return [...found, ...rightsObjections(securityContext)]
}

function rightsObjections({
  privileged,
  capabilities,
  runAsUser,
  procMount,
}: V1SecurityContext): Objection[] {
  const found: Objection[] = []
  if (privileged)
    found.push(['.securityContext.privileged', 'a privileged container is not contained by anything'])
  if (procMount !== undefined && procMount !== 'Default')
    found.push(['.securityContext.procMount', 'the kernel of the node would be in reach'])
  if (runAsUser !== undefined && isReservedUser(runAsUser))
    found.push(['.securityContext.runAsUser', reservedUser])
  for (const capability of capabilities?.add ?? [])
    if (!harmlessCapabilities.has(capability.toUpperCase().replace(/^CAP_/, '')))
      found.push(['.securityContext.capabilities.add', `${capability} would undo the containment`])
  return found
}

function volumeObjection(volume: V1Volume): string | undefined {
  const { name, ...source } = volume
  if (name.startsWith(layout.prefix)) return `names that begin with ${layout.prefix} are the sidecar's`
  const [kind = 'emptyDir'] = Object.keys(source)
  if (!harmlessVolumes.has(kind)) return `a ${kind} volume reaches the node`
  const audiences = volume.projected?.sources?.map((part) => part.serviceAccountToken?.audience) ?? []
  return audiences.includes(layout.controlAudience)
    ? `a token for ${layout.controlAudience} would let the agent pass for its sidecar`
    : undefined
}

function dropsEnough(drop: readonly string[] = []): boolean {
  return droppedCapabilities.every((capability) => drop.includes(capability))
}

/** What the API server adds to every container. */
const defaultedFields = [
  'terminationMessagePath',
  'terminationMessagePolicy',
  'imagePullPolicy',
  'volumeMounts',
]

function isAsInjected(actual: V1Container | undefined, wanted: V1Container): boolean {
  if (!actual) return false
  // the pod's own service account token is mounted everywhere
  const volumeMounts = actual.volumeMounts?.filter(({ name }) => !name.startsWith('kube-api-access-')) ?? []
  const allowed = new Set([...Object.keys(wanted), ...defaultedFields])
  return (
    Object.keys(actual).every((field) => allowed.has(field)) &&
    includes({ ...actual, volumeMounts }, { volumeMounts: [], ...wanted })
  )
}

/** Whether all that is wanted is there as it is wanted. The API server adds defaults, as in probes. */
function includes(actual: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted))
    return (
      Array.isArray(actual) &&
      actual.length === wanted.length &&
      wanted.every((each, index) => includes(actual[index], each))
    )
  if (typeof wanted === 'object' && wanted !== null)
    return (
      typeof actual === 'object' &&
      actual !== null &&
      Object.entries(wanted).every(([name, value]) =>
        includes((actual as Record<string, unknown>)[name], value),
      )
    )
  return isDeepStrictEqual(actual, wanted)
}
