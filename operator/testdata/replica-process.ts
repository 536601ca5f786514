/** A replica of the operator as a process of its own, for what only a process can show: being killed. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { OperatorOptions } from '../operator.ts'

export interface ReplicaSettings {
  /** Path of the kubeconfig of a user who may do everything. */
  readonly kubeconfig: string
  readonly user: string
  readonly replica: string
  /** 0: any. */
  readonly controlPort: number
  /** Its own port, and that of the Service by which the API server reaches it; by itself, when absent. */
  readonly webhooks?: { readonly port: number; readonly servicePort: number }
  readonly notify?: OperatorOptions['notify']
}

export class ReplicaProcess implements AsyncDisposable {
  readonly controlPort: number
  readonly controlCa: string
  readonly #child: ChildProcess
  readonly #log: { text: string }

  /** @returns once it serves. */
  static async start(settings: ReplicaSettings): Promise<ReplicaProcess> {
    const child = fork(fileURLToPath(new URL('replica.ts', import.meta.url)), [JSON.stringify(settings)], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    const log = { text: '' }
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        log.text += chunk
      })
    const started = await Promise.race([
      once(child, 'message').then(([message]) => message as { controlPort: number; controlCa: string }),
      once(child, 'exit').then(() => undefined),
    ])
    if (!started) throw new Error(`the operator never served: ${log.text}`)
    return new ReplicaProcess(child, started, log)
  }

  private constructor(
    child: ChildProcess,
    { controlPort, controlCa }: { controlPort: number; controlCa: string },
    log: { text: string },
  ) {
    this.#child = child
    this.#log = log
    this.controlPort = controlPort
    this.controlCa = controlCa
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** What it wrote so far. */
  get log(): string {
    return this.#log.text
  }

  /** @returns once it is gone. */
  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill(signal)
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL')
  }
}
