/** Real helm with our chart, as one user of one cluster. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findHelm } from '../../tools/helm.ts'
import { attemptCommand, type Output } from '../cluster/command.ts'

export const chart = fileURLToPath(new URL('../../charts/firebreak', import.meta.url))

export class Helm implements Disposable {
  readonly #program: string
  readonly #kubeconfig: string | undefined
  readonly #home = mkdtempSync(join(tmpdir(), 'firebreak-helm-'))

  private constructor(program: string, kubeconfig: string | undefined) {
    this.#program = program
    this.#kubeconfig = kubeconfig
  }

  /** @param kubeconfig path; none is needed to lint and to render. */
  static async find(kubeconfig?: string): Promise<Helm> {
    return new Helm(await findHelm(), kubeconfig)
  }

  [Symbol.dispose](): void {
    rmSync(this.#home, { recursive: true, force: true })
  }

  /** @param values of the chart, on helm's standard input where they are given. */
  attempt(args: readonly string[], values?: object): Promise<Output> {
    // settings of whoever runs the tests, such as plugins, are not part of the test
    const environment = {
      PATH: process.env.PATH,
      HOME: this.#home,
      ...(this.#kubeconfig !== undefined && { KUBECONFIG: this.#kubeconfig }),
    }
    return values
      ? attemptCommand(this.#program, [...args, '--values', '-'], environment, {
          input: JSON.stringify(values),
        })
      : attemptCommand(this.#program, args, environment)
  }

  /** @throws Error with what helm says when it fails. */
  async run(args: readonly string[], values?: object): Promise<string> {
    const { status, stdout, stderr } = await this.attempt(args, values)
    if (status !== 0) throw new Error(`helm ${args.join(' ')} failed (${status}):\n${stderr}${stdout}`)
    return stdout
  }
}
