/** A psql in an agent's container that stays connected and answers one statement after the other. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { AgentPod } from './agent-pod.ts'

const end = 'that was all'

export class OpenPsql implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: AsyncIterator<string>

  /** @throws when it can't connect. */
  static async start(pod: AgentPod, host?: string): Promise<OpenPsql> {
    const elsewhere = host === undefined ? '' : ` -h ${host} -p 5432`
    const psql = new OpenPsql(pod, `psql -At${elsewhere} 2>&1; true`)
    await psql.ask('SELECT 1')
    return psql
  }

  // a shell that stays: what a container's shell becomes by exec loses its input after the first line
  private constructor({ kubectl, ...pod }: AgentPod, script: string) {
    const { program, kubeconfig } = kubectl
    const execution = ['exec', '-i', '-n', pod.namespace, pod.name, '-c', 'agent', '--', 'sh', '-c', script]
    this.#child = spawn(program, [`--kubeconfig=${kubeconfig}`, ...execution], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]()
  }

  /** @returns rows, or the error. @throws when psql has ended. */
  async ask(statement: string): Promise<string> {
    this.#child.stdin.write(`${statement};\n\\echo ${end}\n`)
    const answer: string[] = []
    for (;;) {
      const { done, value } = await this.#lines.next()
      if (done) throw new Error(`psql ended: ${answer.join('\n')}`)
      if (value === end) return answer.join('\n')
      answer.push(value)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end()
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
  }
}
