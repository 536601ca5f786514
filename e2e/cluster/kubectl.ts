/** Real kubectl, as one user of one cluster. */
import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'

export interface Output {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** Standard input, such as the manifests of `apply -f -`. */
  readonly input?: string
  readonly signal?: AbortSignal
}

export class Kubectl {
  readonly program: string
  readonly kubeconfig: string
  readonly #home: string

  /** The home directory matters for credentials that a program of its user's gives; it is otherwise kept out of it. */
  constructor(program: string, kubeconfig: string, home = dirname(kubeconfig)) {
    this.program = program
    this.kubeconfig = kubeconfig
    this.#home = home
  }

  /** @returns what it prints. @throws with what it says when it fails. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.attempt(args, options)
    if (status !== 0) throw new Error(`kubectl ${args.join(' ')} failed (${status}):\n${stderr}${stdout}`)
    return stdout
  }

  async attempt(args: readonly string[], { input = '', signal }: RunOptions = {}): Promise<Output> {
    const cache = `--cache-dir=${join(dirname(this.kubeconfig), 'kubectl-cache')}`
    const child = spawn(this.program, [`--kubeconfig=${this.kubeconfig}`, cache, ...args], {
      stdio: 'pipe',
      // settings of whoever runs the tests, such as an editor or a plugin, are not part of the test
      env: { PATH: process.env.PATH, HOME: this.#home, TZ: 'UTC' },
      ...(signal === undefined ? {} : { signal }),
    })
    const closed = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    child.stdin.on('error', () => {
      // it ended without reading its input: its status tells
    })
    child.stdin.end(input)
    const [stdout, stderr, status] = await Promise.all([text(child.stdout), text(child.stderr), closed])
    return { status, stdout, stderr }
  }

  async apply(manifests: string): Promise<string> {
    return this.run(['apply', '-f', '-'], { input: manifests })
  }
}
