/** The kubectl plugin as people have it: kubectl finds it in the PATH. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { attemptCommand, type CommandOptions } from '../e2e/cluster/command.ts'

export interface Said {
  readonly status: number
  readonly out: string
  readonly err: string
}

const script = (name: string): string => fileURLToPath(new URL(`../cli/kubectl/${name}`, import.meta.url))

export class KubectlPlugin implements Disposable {
  /** Of whoever types; the plugin is in its PATH. */
  readonly home = mkdtempSync(join(tmpdir(), 'firebreak-kubectl-'))
  readonly #kubectl: string

  /** @param kubectl the program. */
  constructor(kubectl: string) {
    this.#kubectl = kubectl
    symlinkSync(script('main.ts'), join(this.home, 'kubectl-firebreak'))
    symlinkSync(script('complete.ts'), join(this.home, 'kubectl_complete-firebreak'))
  }

  environment(kubeconfig: string): Record<string, string> {
    return {
      PATH: [this.home, dirname(process.execPath), process.env.PATH].join(delimiter),
      HOME: this.home,
      KUBECONFIG: kubeconfig,
    }
  }

  async run(kubeconfig: string, words: readonly string[], options?: CommandOptions): Promise<Said> {
    const environment = this.environment(kubeconfig)
    const { status, stdout, stderr } = await attemptCommand(this.#kubectl, words, environment, options)
    return { status: status ?? -1, out: stdout, err: stderr }
  }

  /** Goes on by itself. kubectl becomes the plugin, so that signals reach it. */
  start(kubeconfig: string, words: readonly string[]): ChildProcess {
    return spawn(this.#kubectl, words, { env: this.environment(kubeconfig) })
  }

  [Symbol.dispose](): void {
    rmSync(this.home, { recursive: true, force: true })
  }
}
