/** etcd and the API server: a real Kubernetes API in seconds, without nodes. Needs no privileges. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { KeyAndCertificate, Subject } from '../../../operator/certificates/authority.ts'
import { freePort } from '../../../tools/postgres.ts'
import { ApiClient } from '../api-client.ts'
import { stateDirectory } from '../directories.ts'
import { type Credential, type Server, writeKubeconfig } from '../kubeconfig.ts'
import { Kubectl } from '../kubectl.ts'
import { ComponentProcess, type ProcessRecord, processExists } from '../process.ts'
import { buildProgram, type Program } from '../program/build.ts'
import { type Progress, toStandardError } from '../progress.ts'
import {
  type ControlPlaneCertificates,
  readCertificates,
  writeCertificates,
  writeComponentKubeconfig,
} from './files.ts'
import {
  apiServerSettings,
  certificatesDirectory,
  commandLine,
  controllerManagerSettings,
  etcdSettings,
  type Placement,
  type Settings,
} from './settings.ts'

export interface ControlPlaneOptions {
  /**
   * Controllers to run beside the API server, by the names of kube-controller-manager's `--controllers`. Without any,
   * what they do doesn't happen: namespaces aren't emptied, owner references aren't followed, and there are no default
   * service accounts, so pods are admitted without one.
   */
  readonly controllers?: readonly string[]
  /** More settings of kube-apiserver, such as `{ 'runtime-config': 'api/all=true' }`. */
  readonly apiServer?: Settings
  readonly progress?: Progress
}

/** Someone who may do what RBAC grants them. */
export interface User {
  /** As the API server sees it. */
  readonly name: string
  /** Path of a kubeconfig file. */
  readonly kubeconfig: string
  readonly kubectl: Kubectl
}

export interface ControlPlane extends AsyncDisposable {
  /** Such as https://127.0.0.1:41234. */
  readonly endpoint: string
  /** PEM text of the authority that signed the API server's certificate. */
  readonly ca: string
  /** The administrator, who may do everything; so do `kubeconfig` (a path) and `kubectl`. */
  readonly admin: KeyAndCertificate
  readonly kubeconfig: string
  readonly kubectl: Kubectl
  readonly etcd: ComponentProcess
  readonly apiServer: ComponentProcess
  /** Version of Kubernetes, such as v1.34.4. */
  readonly version: string
  /** Someone with a certificate of their own. */
  user(subject: Subject): Promise<User>
  /** A service account, by a token for this audience (the API server's own when none is given). */
  serviceAccount(namespace: string, name: string, audience?: string): Promise<User>
  /** Resolves when the API server says that it is ready. */
  ready(): Promise<void>
}

/** @throws when a component can't be compiled or doesn't become ready; with the end of its log. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  return launchControlPlane(options, {
    directory: ownDirectory(),
    address: '127.0.0.1',
    outlivesParent: false,
    serviceRange: '10.96.0.0/16',
    serviceAddress: '10.96.0.1',
  })
}

/** Named after this process; what processes left behind that were killed before they could clean up is removed. */
function ownDirectory(): string {
  const directories = stateDirectory('control-planes')
  for (const name of readdirSync(directories)) {
    if (!processExists(Number.parseInt(name, 10)))
      rmSync(join(directories, name), { recursive: true, force: true })
  }
  return mkdtempSync(join(directories, `${process.pid}-`))
}

/** Enough to find a control plane again from another process. */
export interface ControlPlaneRecord {
  readonly directory: string
  readonly endpoint: string
  /** In the order in which they stop. */
  readonly processes: readonly ProcessRecord[]
}

export interface LaunchedControlPlane extends ControlPlane {
  readonly certificates: ControlPlaneCertificates
  readonly record: ControlPlaneRecord
  /** Starts another component that runs beside the API server, with this user's kubeconfig. */
  add(component: string, settings: (kubeconfig: string) => Settings): Promise<void>
}

/** Starts a control plane where it is told to. */
export async function launchControlPlane(
  { controllers, apiServer: apiServerOverrides = {}, progress = toStandardError }: ControlPlaneOptions,
  placement: Placement,
): Promise<LaunchedControlPlane> {
  const { directory, outlivesParent } = placement
  const program = await buildProgram(progress)
  const certificates = await writeCertificates(certificatesDirectory(placement), placement)
  const ports = { etcd: await freePort(), etcdPeer: await freePort(), apiServer: await freePort() }
  const start = (name: string, settings: Settings): ComponentProcess =>
    ComponentProcess.start({
      name,
      command: program.path,
      args: [name, ...commandLine(settings)],
      logs: directory,
      outlivesParent,
    })
  const etcd = start('etcd', etcdSettings(placement, ports))
  const apiServer = start('kube-apiserver', {
    ...apiServerSettings(placement, ports),
    ...(controllers === undefined ? withoutControllers : {}),
    ...apiServerOverrides,
  })
  const endpoint = `https://${placement.address}:${ports.apiServer}`
  const plane = controlPlaneAt(directory, endpoint, [apiServer, etcd], certificates, program, outlivesParent)
  try {
    await plane.ready()
    if (controllers !== undefined)
      await plane.add('kube-controller-manager', (kubeconfig) =>
        controllerManagerSettings(placement, kubeconfig, controllers),
      )
    return plane
  } catch (error) {
    await plane[Symbol.asyncDispose]()
    throw error
  }
}

/** A control plane that another process started. */
export async function findControlPlane(record: ControlPlaneRecord): Promise<LaunchedControlPlane> {
  const certificates = await readCertificates(join(record.directory, 'certificates'))
  const processes = record.processes.map((process) => new ComponentProcess(process))
  return controlPlaneAt(
    record.directory,
    record.endpoint,
    processes,
    certificates,
    await buildProgram(),
    true,
  )
}

function controlPlaneAt(
  directory: string,
  endpoint: string,
  processes: ComponentProcess[],
  certificates: ControlPlaneCertificates,
  program: Program,
  outlivesParent: boolean,
): LaunchedControlPlane {
  const server: Server = { endpoint, ca: certificates.ca.certificate }
  const client = new ApiClient(server, certificates.admin)
  const process = (name: string): ComponentProcess => {
    const found = processes.find((candidate) => candidate.name === name)
    if (found === undefined) throw new Error(`The control plane has no ${name}`)
    return found
  }
  return {
    ...server,
    ...usersOf(directory, server, certificates, program.kubectl),
    certificates,
    get record() {
      return { directory, endpoint, processes: processes.map((running) => running.record) }
    },
    etcd: process('etcd'),
    apiServer: process('kube-apiserver'),
    version: program.version,
    ready: () => untilReady(client, processes),
    add: async (component, settings) => {
      const kubeconfig = await writeComponentKubeconfig(directory, component, server, certificates.ca)
      const args = [component, ...commandLine(settings(kubeconfig))]
      const options = { name: component, command: program.path, args, logs: directory, outlivesParent }
      processes.unshift(ComponentProcess.start(options))
    },
    [Symbol.asyncDispose]: async () => {
      // nothing of it is needed any more, so nothing has to be brought to a good end
      await Promise.all(processes.map((running) => running.kill()))
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** What fails without the controllers that provide it, and addresses that no pod will use. */
const withoutControllers: Settings = {
  'disable-admission-plugins': 'ServiceAccount',
  'endpoint-reconciler-type': 'none',
}

function usersOf(
  directory: string,
  server: Server,
  { ca, admin }: ControlPlaneCertificates,
  program: string,
): Pick<ControlPlane, 'admin' | 'kubeconfig' | 'kubectl' | 'user' | 'serviceAccount'> {
  const withFile = (file: string, name: string, credential: Credential): User => {
    const kubeconfig = writeKubeconfig(join(directory, `${file}.kubeconfig`), server, credential)
    return { name, kubeconfig, kubectl: new Kubectl(program, kubeconfig) }
  }
  // several processes may have the same cluster, each with its own users
  const userWith = (name: string, credential: Credential): User => withFile(randomUUID(), name, credential)
  const { kubeconfig, kubectl } = withFile('admin', 'kubernetes-admin', { certificate: admin })
  return {
    admin,
    kubeconfig,
    kubectl,
    user: async (subject) => userWith(subject.name, { certificate: await ca.client(subject) }),
    serviceAccount: async (namespace, name, audience) => {
      const audiences = audience === undefined ? [] : [`--audience=${audience}`]
      const token = await kubectl.run(['create', 'token', name, `--namespace=${namespace}`, ...audiences])
      return userWith(`system:serviceaccount:${namespace}:${name}`, { token: token.trim() })
    },
  }
}

/** Longest time, in milliseconds, that an API server may take on a busy machine. */
const startDeadline = 120_000

async function untilReady(client: ApiClient, processes: readonly ComponentProcess[]): Promise<void> {
  const deadline = Date.now() + startDeadline
  let last = ''
  while (Date.now() < deadline) {
    const ended = processes.find((process) => !process.running)
    if (ended !== undefined) throw new Error(`${ended.name} ended:\n${ended.logTail()}`)
    const answer = await client.request({ path: '/readyz?verbose' }).catch((error: Error) => error)
    if (!(answer instanceof Error) && answer.status === 200) return
    last = answer instanceof Error ? answer.message : answer.body
    await delay(50)
  }
  throw new Error(`The API server is not ready after ${startDeadline / 1000} s:\n${last}`)
}
