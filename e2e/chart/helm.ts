/** Real helm with our chart, as one user of one cluster. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { findHelm } from '../../tools/helm.ts'
import type { Output } from '../cluster/kubectl.ts'

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
  async attempt(args: readonly string[], values?: object): Promise<Output> {
    const child = spawn(this.#program, [...args, ...(values ? ['--values', '-'] : [])], {
      // settings of whoever runs the tests, such as plugins, are not part of the test
      env: {
        PATH: process.env.PATH,
        HOME: this.#home,
        ...(this.#kubeconfig !== undefined && { KUBECONFIG: this.#kubeconfig }),
      },
    })
    const closed = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    child.stdin.end(values ? JSON.stringify(values) : '')
    const [stdout, stderr, status] = await Promise.all([text(child.stdout), text(child.stderr), closed])
    return { status, stdout, stderr }
  }

  /** @throws Error with what helm says when it fails. */
  async run(args: readonly string[], values?: object): Promise<string> {
    const { status, stdout, stderr } = await this.attempt(args, values)
    if (status !== 0) throw new Error(`helm ${args.join(' ')} failed (${status}):\n${stderr}${stdout}`)
    return stdout
  }
}
