/** A whole cluster on this machine: control plane, nodes that run pods, cluster DNS. Needs Linux and root. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { runCommand } from './command.ts'
import {
  type ControlPlane,
  type ControlPlaneRecord,
  findControlPlane,
  type LaunchedControlPlane,
  launchControlPlane,
} from './control-plane/start.ts'
import { stateDirectory } from './directories.ts'
import { standardImages } from './images/standard.ts'
import { copyImageStore, imageStore } from './images/store.ts'
import {
  type KernelSettings,
  readKernelSettings,
  removeControlGroups,
  restoreKernelSettings,
} from './node/machine.ts'
import { bridgeCommands, isClusterInterface, network } from './node/network.ts'
import { ClusterNode, type NodeRecord } from './node/node.ts'
import { findNodePrograms, type NodePrograms } from './node/programs.ts'
import { ComponentProcess, processExists } from './process.ts'
import { buildProgram, type Program } from './program/build.ts'
import { type Progress, toStandardError } from './progress.ts'

export interface ClusterOptions {
  /** How many nodes; 1 when not given. They share this machine. */
  readonly nodes?: number
  /** Whether it goes on when this process ends. */
  readonly outlivesParent?: boolean
  readonly progress?: Progress
}

export interface Cluster extends ControlPlane {
  /** Whether it goes on when the process that started it ends. */
  readonly lasting: boolean
  readonly nodes: readonly ClusterNode[]
  /** Makes the images of an archive (OCI layout or docker save) available to all pods. */
  loadImage(archive: string): Promise<void>
  /** Writes down the control plane's processes once more, after one was started again: whoever stops the cluster looks there. */
  remember(): void
}

/** All that has to be undone. Written before it is done, so that nothing is forgotten. */
interface ClusterRecord {
  /** Process that the cluster ends with, if it does. */
  readonly owner?: number
  readonly kernelSettings: KernelSettings
  controlPlane?: ControlPlaneRecord
  readonly nodes: NodeRecord[]
}

/**
 * Starts the one cluster that a machine can have at a time.
 * @throws when there is one already, when this isn't Linux as root, or when a component doesn't become ready; what was
 * started is stopped again.
 */
export async function startCluster({
  nodes: count = 1,
  outlivesParent = false,
  progress = toStandardError,
}: ClusterOptions = {}): Promise<Cluster> {
  if (!canHaveNodes())
    throw new Error('A cluster with nodes needs Linux and root; startControlPlane() needs neither')
  const program = await buildProgram(progress)
  const { programs, images } = await prepareNodes(program, progress)
  await untilFree(progress)
  const record: ClusterRecord = {
    ...(outlivesParent ? {} : { owner: process.pid }),
    kernelSettings: readKernelSettings(),
    nodes: [],
  }
  writeFileSync(recordFile(), JSON.stringify(record), { flag: 'wx', mode: 0o600 })
  try {
    for (const [command = '', ...args] of bridgeCommands) await runCommand(command, args)
    progress('Starting the control plane …')
    const controlPlane = await launchControlPlane(
      { controllers: ['*'], progress },
      {
        directory: stateDirectory('cluster', 'control-plane'),
        address: network.machine.ipv4,
        outlivesParent,
        serviceRange: network.serviceRanges.join(','),
        serviceAddress: network.apiServerService,
      },
    )
    await controlPlane.add('kube-scheduler', schedulerSettings)
    record.controlPlane = controlPlane.record
    save(record)
    await controlPlane.kubectl.apply(addons(program.path))
    progress(count === 1 ? 'Starting the node …' : `Starting ${count} nodes …`)
    const nodes: ClusterNode[] = []
    for (let index = 1; index <= count; index++) {
      const name = `node-${index}`
      const specification = { name, index, count, directory: stateDirectory('cluster', name) }
      await copyImageStore(images, join(specification.directory, 'containerd'))
      const node = await ClusterNode.start(specification, controlPlane, program, programs, outlivesParent)
      nodes.push(node)
      record.nodes.push(node.record)
      save(record)
    }
    for (const node of nodes) await node.ready()
    const cluster = clusterOf(controlPlane, nodes, outlivesParent)
    await untilRegistered(cluster)
    await cluster.kubectl.run(['wait', 'node', '--all', '--for=condition=Ready', '--timeout=300s'])
    const dns = ['deployment/coredns', '--namespace=kube-system']
    await cluster.kubectl.run(['rollout', 'status', ...dns, '--timeout=300s'])
    return cluster
  } catch (error) {
    await stopCluster()
    throw error
  }
}

export function canHaveNodes(): boolean {
  return process.platform === 'linux' && process.getuid?.() === 0
}

/** Compiles and fetches what takes long, so that no test has to wait for it; nodes' part only where there can be nodes. */
export async function prepareCluster(progress: Progress = toStandardError): Promise<void> {
  const program = await buildProgram(progress)
  if (canHaveNodes()) await prepareNodes(program, progress)
}

async function prepareNodes(
  program: Program,
  progress: Progress,
): Promise<{ programs: NodePrograms; images: string }> {
  const programs = await findNodePrograms(progress)
  const images = await imageStore(await standardImages(program, programs, progress), programs, progress)
  return { programs, images }
}

/** The cluster that runs, or undefined. */
export async function findCluster(): Promise<Cluster | undefined> {
  const record = read()
  if (record?.controlPlane === undefined) return undefined
  const programs = await findNodePrograms(toStandardError)
  return clusterOf(
    await findControlPlane(record.controlPlane),
    record.nodes.map((node) => new ClusterNode(node, programs)),
    record.owner === undefined,
  )
}

/** Waits while another process has its cluster, and clears away one whose process was killed. */
async function untilFree(progress: Progress): Promise<void> {
  for (let told = false; ; told = true) {
    const record = read()
    if (record === undefined) return
    if (record.owner === undefined)
      throw new Error('There is a test cluster already: npm run cluster -- down')
    if (!processExists(record.owner)) return stopCluster()
    if (!told) progress(`Waiting for the test cluster of process ${record.owner} to end …`)
    await delay(500)
  }
}

/** Stops the cluster, if there is one, whoever started it, and removes all traces. */
export async function stopCluster(): Promise<void> {
  const record = read()
  if (record === undefined) return
  // nodes first, while the API server can still answer: the kernel keeps the network of half-closed connections alive
  for (const processes of [record.nodes.map(({ process }) => process), record.controlPlane?.processes ?? []])
    await Promise.all(processes.map((process) => new ComponentProcess(process).kill()))
  for (const { specification } of record.nodes) await removeControlGroups(specification.name)
  await removeInterfaces()
  restoreKernelSettings(record.kernelSettings)
  rmSync(stateDirectory('cluster'), { recursive: true, force: true })
}

/** A node's interfaces go with it, but the kernel takes its time. */
async function removeInterfaces(): Promise<void> {
  const interfaces = JSON.parse(await runCommand('ip', ['-json', 'link', 'show'])) as { ifname: string }[]
  for (const { ifname } of interfaces.filter(({ ifname }) => isClusterInterface(ifname))) {
    await runCommand('ip', ['link', 'delete', ifname]).catch((error: Error) => {
      if (!error.message.includes('Cannot find device')) throw error
    })
  }
}

function clusterOf(
  controlPlane: LaunchedControlPlane,
  nodes: readonly ClusterNode[],
  lasting: boolean,
): Cluster {
  return {
    ...controlPlane,
    lasting,
    nodes,
    loadImage: async (archive) => {
      for (const node of nodes) await node.loadImage(archive)
    },
    remember: () => {
      const record = read()
      if (record) save({ ...record, controlPlane: controlPlane.record })
    },
    [Symbol.asyncDispose]: stopCluster,
  }
}

/** For kubelets on a busy machine, in milliseconds. */
const registrationPatience = 180_000

/** Kubelets make their node's object themselves. */
async function untilRegistered({ kubectl, nodes }: Cluster): Promise<void> {
  const until = performance.now() + registrationPatience
  while (performance.now() < until) {
    const registered = (await kubectl.run(['get', 'nodes', '--output=name'])).match(/^node\//gm) ?? []
    if (registered.length === nodes.length) return
    const ended = nodes.find(({ running }) => !running)
    if (ended !== undefined) throw new Error(`${ended.name} ended:\n${ended.logTail()}`)
    await delay(200)
  }
  throw new Error(nodes.map((node) => `${node.name}'s kubelet:\n${node.logTail('kubelet')}`).join('\n'))
}

function schedulerSettings(kubeconfig: string): Readonly<Record<string, string>> {
  return {
    kubeconfig,
    'authentication-kubeconfig': kubeconfig,
    'authorization-kubeconfig': kubeconfig,
    'bind-address': '127.0.0.1',
    'secure-port': '0',
    'leader-elect': 'false',
  }
}

function addons(program: string): string {
  return ['dns', 'network-policies']
    .map((name) => readFileSync(new URL(`addons/${name}.yaml`, import.meta.url), 'utf8'))
    .join('\n---\n')
    .replace('path: PROGRAM', `path: ${program}`)
    .replace('clusterIP: ADDRESS', `clusterIP: ${network.dnsService}`)
}

function recordFile(): string {
  return join(stateDirectory('cluster'), 'record.json')
}

function read(): ClusterRecord | undefined {
  return existsSync(recordFile())
    ? (JSON.parse(readFileSync(recordFile(), 'utf8')) as ClusterRecord)
    : undefined
}

function save(record: ClusterRecord): void {
  writeFileSync(recordFile(), JSON.stringify(record), { mode: 0o600 })
}
