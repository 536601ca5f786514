/** Real kubectl, as one user of one cluster. */
import { dirname, join } from 'node:path'
import { attemptCommand, type CommandOptions, type Output } from './command.ts'

/** Standard input is such as the manifests of `apply -f -`. */
export type RunOptions = Pick<CommandOptions, 'input' | 'signal'>

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

  attempt(args: readonly string[], options: RunOptions = {}): Promise<Output> {
    const cache = `--cache-dir=${join(dirname(this.kubeconfig), 'kubectl-cache')}`
    // settings of whoever runs the tests, such as an editor or a plugin, are not part of the test
    const environment = { PATH: process.env.PATH, HOME: this.#home, TZ: 'UTC' }
    return attemptCommand(
      this.program,
      [`--kubeconfig=${this.kubeconfig}`, cache, ...args],
      environment,
      options,
    )
  }

  async apply(manifests: string): Promise<string> {
    return this.run(['apply', '-f', '-'], { input: manifests })
  }
}
