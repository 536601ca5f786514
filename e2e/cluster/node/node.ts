/** One node: a kubelet with its container runtime, in namespaces of its own. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { runCommand } from '../command.ts'
import type { LaunchedControlPlane } from '../control-plane/start.ts'
import { ignoringFile } from '../network-policies/configuration.ts'
import { ComponentProcess, type ProcessRecord } from '../process.ts'
import type { Program } from '../program/build.ts'
import { containerdSocket, type NodeSpecification, writeNodeFiles } from './files.ts'
import { makeControlGroups } from './machine.ts'
import { type NodeAddresses, nodeAddresses } from './network.ts'
import type { NodePrograms } from './programs.ts'

/** For a container runtime on a busy machine, in milliseconds. */
const startPatience = 120_000

export interface NodeRecord {
  readonly specification: NodeSpecification
  readonly process: ProcessRecord
}

export class ClusterNode {
  readonly name: string
  readonly addresses: NodeAddresses
  /** Directory with the logs of its processes, such as kubelet.log. */
  readonly directory: string
  readonly #specification: NodeSpecification
  readonly #process: ComponentProcess
  readonly #programs: NodePrograms

  constructor({ specification, process }: NodeRecord, programs: NodePrograms) {
    this.name = specification.name
    this.addresses = nodeAddresses(specification.index)
    this.directory = specification.directory
    this.#specification = specification
    this.#process = new ComponentProcess(process)
    this.#programs = programs
  }

  static async start(
    specification: NodeSpecification,
    controlPlane: LaunchedControlPlane,
    program: Program,
    programs: NodePrograms,
    outlivesParent: boolean,
  ): Promise<ClusterNode> {
    mkdirSync(specification.directory, { recursive: true })
    const { certificates } = controlPlane
    const config = await writeNodeFiles(specification, controlPlane, certificates, program, programs)
    makeControlGroups(specification.name)
    const process = ComponentProcess.start({
      name: specification.name,
      command: program.path,
      args: ['node', config],
      environment: programs.environment,
      logs: specification.directory,
      outlivesParent,
    })
    return new ClusterNode({ specification, process: process.record }, programs)
  }

  get record(): NodeRecord {
    return { specification: this.#specification, process: this.#process.record }
  }

  get running(): boolean {
    return this.#process.running
  }

  /** Resolves when its container runtime answers. */
  async ready(): Promise<void> {
    const until = performance.now() + startPatience
    for (;;) {
      if (!this.running) throw new Error(`${this.name} ended:\n${this.logTail()}`)
      const failure = await this.#ctr(['version']).then(
        () => undefined,
        (error: Error) => error,
      )
      if (failure === undefined) return
      if (performance.now() > until)
        throw new Error(`${this.name}'s containerd doesn't answer: ${failure.message}`)
      await delay(100)
    }
  }

  /** Runs a command in the node's namespaces: with its network, mounts and processes. */
  async run(command: string, args: readonly string[], input = ''): Promise<string> {
    const target = ['--target', `${this.#firstProcess()}`, '--net', '--mount', '--pid', '--uts', '--ipc']
    return runCommand('nsenter', [...target, command, ...args], {
      environment: this.#programs.environment,
      input,
    })
  }

  /** Until it is disposed of, the node is as one whose network plugin knows no NetworkPolicies. */
  ignoreNetworkPolicies(): Disposable {
    const file = join(this.directory, 'announcements', ignoringFile)
    writeFileSync(file, '')
    return { [Symbol.dispose]: () => rmSync(file, { force: true }) }
  }

  /** Makes the images of an archive available to the node's pods. */
  async loadImage(archive: string): Promise<void> {
    await this.#ctr(['--namespace', 'k8s.io', 'images', 'import', archive])
  }

  async #ctr(args: readonly string[]): Promise<string> {
    const socket = `/proc/${this.#firstProcess()}/root${containerdSocket}`
    return runCommand('ctr', ['--address', socket, ...args], { environment: this.#programs.environment })
  }

  /** The end of the log of one of its processes, such as kubelet; of the node itself without a name. */
  logTail(process = this.name, lines = 20): string {
    const log = readFileSync(join(this.directory, `${process}.log`), 'utf8')
    return log.trimEnd().split('\n').slice(-lines).join('\n')
  }

  #firstProcess(): number {
    return Number(readFileSync(join(this.directory, 'pid'), 'utf8'))
  }
}
