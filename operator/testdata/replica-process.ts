/** A replica of the operator as a process of its own, for what only a process can show: being killed. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Program } from '../../test/program.ts'
import { freePort } from '../../tools/postgres.ts'
import type { OperatorOptions } from '../options.ts'

/** As cli/main.ts starts Node, with what cli/operator.ts sets. */
const asShipped = ['--max-semi-space-size=2', '--liftoff-only', '--heap-growing-percent=20']

export interface ReplicaSettings {
  /** Path of the kubeconfig of a user who may do everything, by a certificate. */
  readonly kubeconfig: string
  readonly user: string
  readonly replica: string
  /** 0: one that nobody else gets, also while no replica has it. */
  readonly controlPort: number
  /** Its own port, and that of the Service by which the API server reaches it; by itself, when absent. */
  readonly webhooks?: { readonly port: number; readonly servicePort: number }
  readonly notify?: OperatorOptions['notify']
  /** A file with {@link RecordTargets} as JSON, which is read again and again. */
  readonly records?: string
}

export class ReplicaProcess extends Program {
  #started = { controlPort: 0, controlCa: '' }

  /** @returns once it serves. */
  static async start(settings: ReplicaSettings): Promise<ReplicaProcess> {
    const program = fileURLToPath(new URL('replica.ts', import.meta.url))
    const controlPort = settings.controlPort || (await freePort())
    const replica = new ReplicaProcess(
      fork(program, [JSON.stringify({ ...settings, controlPort })], {
        execArgv: asShipped,
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      }),
    )
    replica.#started = (await replica.message()) as { controlPort: number; controlCa: string }
    return replica
  }

  get controlPort(): number {
    return this.#started.controlPort
  }

  get controlCa(): string {
    return this.#started.controlCa
  }
}
