/** Makes an ordinary pod a contained one. Pure: the same pod, context and UIDs give the same result. */
import { createHash } from 'node:crypto'
import type { AgentIdentity, ProtectedResource } from '@firebreak/crds'
import { envoyBootstrap } from '@firebreak/xds'
import type {
  V1Capabilities,
  V1Container,
  V1EnvVar,
  V1PodSpec,
  V1SecurityContext,
  V1Volume,
} from '@kubernetes/client-node'
import { annotations, labels } from '../containment/names.ts'
import {
  accountVolume,
  type ClientSettings,
  clientSettings,
  type ResourcePort,
  withSettings,
} from './clients.ts'
import { layout } from './layout.ts'

export interface InjectionContext {
  readonly images: { readonly enforcer: string; readonly envoy: string }
  /** `host:port` of the operator's configuration stream. */
  readonly control: string
  /** PEM of the authority that the operator's certificate is verified with. */
  readonly controlCa: string
}

/** The users that the sidecars run as in one pod. */
export interface Uids {
  readonly envoy: number
  readonly enforcer: number
}

/** A pod as it comes to admission. */
export interface AdmittedPod {
  metadata?: {
    name?: string
    generateName?: string
    namespace?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
  }
  spec: V1PodSpec
}

/**
 * @param resources those that the identity may use, in the order of their names.
 * @param authority PEM of what the pod's clients trust for the cluster's own API.
 * @returns a new pod; what was given stays as it is.
 */
export function inject(
  pod: AdmittedPod,
  identity: AgentIdentity,
  resources: readonly ProtectedResource[],
  context: InjectionContext,
  uids: Uids,
  authority?: string,
): AdmittedPod {
  const ports = resources.map((resource, index) => ({ resource, port: layout.firstResourcePort + index }))
  const clients = clientSettings(identity, ports)
  const withEnforcement = (container: V1Container): V1Container => contained(container, clients)
  const { initContainers = [], containers, volumes = [], ephemeralContainers: _, ...rest } = pod.spec
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      labels: { ...pod.metadata?.labels, [labels.agent]: identity.metadata.name },
      annotations: {
        ...pod.metadata?.annotations,
        [annotations.injected]: templateVersion(context),
        [annotations.uids]: `${uids.envoy},${uids.enforcer}`,
        ...(authority !== undefined && clients.account && { [annotations.authority]: authority }),
      },
    },
    spec: {
      ...rest,
      initContainers: [...sidecars(ports, context, uids), ...initContainers.map(withEnforcement)],
      containers: containers.map(withEnforcement),
      volumes: [...volumes, ...injectedVolumes, ...(clients.account ? [accountVolume] : [])],
    },
  }
}

/** Twelve hex digits that change when what is injected does: tells pods that were made by an older operator. */
export function templateVersion(context: InjectionContext): string {
  const example = sidecars([], context, { envoy: 1, enforcer: 2 })
  return createHash('sha256')
    .update(JSON.stringify([example, injectedVolumes]))
    .digest('hex')
    .slice(0, 12)
}

/**
 * In this order, since the kubelet looks once a second for what has become of a container before it starts the next one:
 * the sidecars boot while it waits. They need no rules, which are about everybody else.
 */
function sidecars(ports: readonly ResourcePort[], context: InjectionContext, uids: Uids): V1Container[] {
  const users = [`--envoy-uid=${uids.envoy}`, `--enforcer-uid=${uids.enforcer}`]
  const run = { name: layout.runVolume, mountPath: layout.runDirectory }
  return [
    {
      name: layout.enforcerContainer,
      image: context.images.enforcer,
      restartPolicy: 'Always',
      args: [
        'sidecar',
        `--control=${context.control}`,
        `--token-file=${layout.tokenDirectory}/token`,
        `--run-directory=${layout.runDirectory}`,
        `--clients=${layout.clientDirectory}`,
        `--spool=${layout.spoolDirectory}`,
        `--ready-port=${layout.readinessPort}`,
        `--api=127.0.0.1:${layout.apiPort}`,
        ...ports.map(({ resource, port }) => `--listen=${resource.metadata.name}=127.0.0.1:${port}`),
      ],
      env: [{ name: 'FIREBREAK_CONTROL_CA', value: context.controlCa }, ...podFields],
      volumeMounts: [
        run,
        { name: layout.clientVolume, mountPath: layout.clientDirectory },
        { name: layout.spoolVolume, mountPath: layout.spoolDirectory },
        { name: layout.tokenVolume, mountPath: layout.tokenDirectory, readOnly: true },
      ],
      securityContext: hardened(uids.enforcer),
      resources: limits('50m', '256Mi'),
      readinessProbe: { ...ready, periodSeconds: 5 },
    },
    {
      name: layout.envoyContainer,
      image: context.images.envoy,
      restartPolicy: 'Always',
      // no file that anybody could write, or would have to write before
      args: ['--config-yaml', envoyConfiguration, '--disable-hot-restart', '--log-level', 'warning'],
      volumeMounts: [run],
      securityContext: hardened(uids.envoy),
      resources: limits('50m', '256Mi'),
      readinessProbe: { ...captureReady, periodSeconds: 5 },
    },
    {
      name: layout.rulesContainer,
      image: context.images.enforcer,
      // what comes after it starts when it has ended well: nothing of the agent runs before it is contained
      args: ['contain', ...users, `--await=${layout.readinessPort}`],
      securityContext: {
        ...hardened(0),
        runAsNonRoot: false,
        capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
      },
      resources: limits('10m', '128Mi'),
    },
  ]
}

const envoyConfiguration = JSON.stringify(envoyBootstrap(layout.runDirectory))

const ready = { httpGet: { path: '/ready', port: layout.readinessPort } }
const captureReady = { httpGet: { path: '/ready/capture', port: layout.readinessPort } }

const podFields: V1EnvVar[] = [
  ['FIREBREAK_POD_NAME', 'metadata.name'],
  ['FIREBREAK_POD_NAMESPACE', 'metadata.namespace'],
  ['FIREBREAK_POD_UID', 'metadata.uid'],
].map(([name = '', fieldPath = '']) => ({ name, valueFrom: { fieldRef: { fieldPath } } }))

const injectedVolumes: V1Volume[] = [
  { name: layout.runVolume, emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } },
  { name: layout.clientVolume, emptyDir: { medium: 'Memory', sizeLimit: '4Mi' } },
  // a pod whose volume is larger is evicted: four sinks, and what of theirs is delivered and not removed yet
  { name: layout.spoolVolume, emptyDir: { sizeLimit: '320Mi' } },
  {
    name: layout.tokenVolume,
    projected: {
      defaultMode: 0o444,
      sources: [
        { serviceAccountToken: { path: 'token', audience: layout.controlAudience, expirationSeconds: 3600 } },
      ],
    },
  },
]

function hardened(uid: number): V1SecurityContext {
  return {
    runAsUser: uid,
    runAsGroup: uid,
    runAsNonRoot: true,
    allowPrivilegeEscalation: false,
    privileged: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  }
}

function limits(cpu: string, memory: string) {
  return { requests: { cpu, memory }, limits: { memory } }
}

/**
 * What root in a container could become the sidecar's user with: SETUID and SETGID by asking, and without
 * no_new_privs by a file made setuid. NET_RAW sends what no rule of ours looks at.
 */
export const droppedCapabilities: readonly string[] = [
  'SETUID',
  'SETGID',
  'NET_RAW',
  'NET_ADMIN',
  'SYS_ADMIN',
  'SYS_PTRACE',
]

function contained(container: V1Container, clients: ClientSettings): V1Container {
  const { securityContext = {} } = container
  return {
    ...withSettings(container, clients),
    securityContext: {
      ...securityContext,
      allowPrivilegeEscalation: false,
      capabilities: dropping(securityContext.capabilities),
    },
  }
}

function dropping({ add, drop = [] }: V1Capabilities = {}): V1Capabilities {
  const dropped = drop.includes('ALL') ? drop : [...new Set([...drop, ...droppedCapabilities])]
  return { ...(add && { add }), drop: dropped }
}
