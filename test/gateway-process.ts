import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Address } from '@firebreak/sidecar'
import { Program } from './program.ts'

const main = fileURLToPath(new URL('../cli/main.ts', import.meta.url))

/** `firebreak run` as a process of its own, for what only a process can show: being killed. */
export class GatewayProcess extends Program {
  #port = 0

  /** Guards the resource `shop` of a directory. @returns once it listens. */
  static async start(directory: string, more: readonly string[] = []): Promise<GatewayProcess> {
    const words = [main, 'run', '--config', directory, '--listen', 'shop=127.0.0.1:0', ...more]
    const gateway = new GatewayProcess(
      spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] }),
    )
    const [, port] = await gateway.says(/on 127\.0\.0\.1:(\d+)/)
    gateway.#port = Number(port)
    return gateway
  }

  get address(): Address {
    return { host: '127.0.0.1', port: this.#port }
  }
}
