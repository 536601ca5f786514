import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Address } from '@firebreak/sidecar'

const main = fileURLToPath(new URL('../cli/main.ts', import.meta.url))

/** `firebreak run` as a process of its own, for what only a process can show: being killed. */
export class GatewayProcess implements AsyncDisposable {
  readonly address: Address
  readonly #child: ChildProcess

  /** Guards the resource `shop` of a directory. @returns once it listens. */
  static async start(directory: string, more: readonly string[] = []): Promise<GatewayProcess> {
    const words = [main, 'run', '--config', directory, '--listen', 'shop=127.0.0.1:0', ...more]
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] })
    let messages = ''
    const port = await new Promise<string | undefined>((resolve) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        messages += text
        const listening = /on 127\.0\.0\.1:(\d+)/.exec(messages)?.[1]
        if (listening !== undefined) resolve(listening)
      })
      child.once('exit', () => resolve(undefined))
    })
    if (port !== undefined) return new GatewayProcess(child, { host: '127.0.0.1', port: Number(port) })
    throw new Error(`the gateway never listened: ${messages}`)
  }

  private constructor(child: ChildProcess, address: Address) {
    this.#child = child
    this.address = address
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
