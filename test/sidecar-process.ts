import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../tools/postgres.ts'
import { Program } from './program.ts'

const main = fileURLToPath(new URL('../cli/main.ts', import.meta.url))

export interface SidecarSettings {
  /** `host:port`. */
  readonly control: string
  readonly ca: string
  readonly token: string
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string }
  /** Names of resources; each gets a free port. */
  readonly listen: readonly string[]
}

/** `firebreak sidecar` as a process, with the arguments that it gets in a pod. */
export class SidecarProcess extends Program {
  /** By resource. */
  readonly ports: ReadonlyMap<string, number>
  readonly runDirectory: string
  readonly readyPort: number
  /** Of the local API. */
  readonly apiPort: number
  readonly #directory: string

  static async start(settings: SidecarSettings): Promise<SidecarProcess> {
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-sidecar-'))
    writeFileSync(join(directory, 'token'), settings.token)
    const ports = new Map<string, number>()
    for (const name of settings.listen) ports.set(name, await freePort())
    const readyPort = await freePort()
    const apiPort = await freePort()
    const words = [
      'sidecar',
      `--control=${settings.control}`,
      `--token-file=${join(directory, 'token')}`,
      `--run-directory=${directory}`,
      `--clients=${directory}`,
      `--spool=${join(directory, 'spool')}`,
      `--ready-port=${readyPort}`,
      `--api=127.0.0.1:${apiPort}`,
      `--dns-port=${await freePort()}`,
      `--audit=${join(directory, 'audit.jsonl')}`,
      ...[...ports].map(([name, port]) => `--listen=${name}=127.0.0.1:${port}`),
    ]
    const child = spawn(process.execPath, [main, ...words], {
      stdio: ['ignore', 'inherit', 'pipe'],
      env: {
        PATH: process.env.PATH,
        FIREBREAK_CONTROL_CA: settings.ca,
        FIREBREAK_POD_NAMESPACE: settings.pod.namespace,
        FIREBREAK_POD_NAME: settings.pod.name,
        FIREBREAK_POD_UID: settings.pod.uid,
      },
    })
    return new SidecarProcess(child, directory, ports, readyPort, apiPort)
  }

  private constructor(
    child: ChildProcess,
    directory: string,
    ports: ReadonlyMap<string, number>,
    readyPort: number,
    apiPort: number,
  ) {
    super(child)
    this.#directory = directory
    this.runDirectory = directory
    this.ports = ports
    this.readyPort = readyPort
    this.apiPort = apiPort
  }

  get audit(): string {
    return readFileSync(join(this.#directory, 'audit.jsonl'), 'utf8')
  }

  /** The kubelet replaces the token. */
  replaceToken(token: string): void {
    writeFileSync(join(this.#directory, 'token'), token)
  }

  /** @returns the status that the kubelet gets; 0 when nobody answers. */
  async probe(path: '/ready' | '/ready/capture'): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.readyPort}${path}`).catch(() => undefined)
    await response?.text()
    return response?.status ?? 0
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
