/** An ordinary pod of an agent, seen from where its program is. */
import { setTimeout as delay } from 'node:timers/promises'
import { layout } from '../../operator/injection/layout.ts'
import type { AuditLine } from '../../test/audit-trail.ts'
import type { Output } from '../cluster/command.ts'
import { toolsImage } from '../cluster/images/standard.ts'
import type { Kubectl, RunOptions } from '../cluster/kubectl.ts'

export interface PodOptions {
  /** Of the one container, which is called `agent`; what differs from a pod that sleeps. */
  readonly container?: object
  readonly spec?: object
  readonly labels?: Readonly<Record<string, string>>
}

/** Of a container that ends when it is told to: `sleep` hears nothing of it as the first process. */
export const untilStopped = ['sh', '-c', 'trap exit TERM; sleep infinity & wait'] as const

/** A manifest without anything of Firebreak's but the label that the AgentIdentity selects by. */
export function agentPod(namespace: string, name: string, options: PodOptions = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, labels: { app: 'support-bot', ...options.labels } },
    spec: {
      serviceAccountName: 'support-bot',
      terminationGracePeriodSeconds: 2,
      restartPolicy: 'Never',
      ...options.spec,
      containers: [
        { name: 'agent', image: toolsImage, command: ['sleep', 'infinity'], ...options.container },
      ],
    },
  }
}

/** What is written stands in a container's log a moment later, which is longer on a busy machine. In milliseconds. */
const patience = 60_000

export class AgentPod implements AsyncDisposable {
  readonly kubectl: Kubectl
  readonly namespace: string
  readonly name: string

  constructor(kubectl: Kubectl, namespace: string, name: string) {
    this.kubectl = kubectl
    this.namespace = namespace
    this.name = name
  }

  /** @throws with what its containers say when it isn't ready in time. */
  async ready(): Promise<void> {
    const { status, stderr } = await this.#about('wait', '--for=condition=Ready', '--timeout=180s')
    if (status === 0) return
    const logs = ['logs', this.name, '-n', this.namespace, '--all-containers', '--prefix', '--tail=20']
    const { stdout } = await this.kubectl.attempt(logs)
    const { stdout: described } = await this.#about('describe')
    throw new Error(`${stderr}${stdout}${described}`)
  }

  /** Runs a command in the agent's container. */
  async run(command: readonly string[], options?: RunOptions): Promise<Output> {
    return await this.kubectl.attempt(this.execution(command), options)
  }

  /** Arguments of kubectl with which a command runs in the agent's container. */
  execution(command: readonly string[]): string[] {
    return ['exec', '-i', '-n', this.namespace, this.name, '-c', 'agent', '--', ...command]
  }

  /** One statement after the other by psql, as an agent that knows nothing of Firebreak calls it. */
  async psql(statements: readonly string[], host?: string): Promise<Output> {
    const elsewhere = host === undefined ? [] : ['-h', host, '-p', '5432']
    return await this.run(['psql', '-At', ...elsewhere, ...statements.flatMap((each) => ['-c', each])])
  }

  /** The audit trail of this pod so far. @param previous that of the enforcer before the last restart, empty when there was none. */
  async audit({ previous = false } = {}): Promise<readonly AuditLine[]> {
    const logs = ['logs', this.name, '-n', this.namespace, '-c', layout.enforcerContainer]
    const { stdout } = await this.kubectl.attempt([...logs, ...(previous ? ['--previous'] : [])])
    return (
      stdout
        .split('\n')
        // half a line, where the API server ended meanwhile
        .slice(0, -1)
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as AuditLine)
    )
  }

  /** @returns the lines that are meant, once there are so many. @throws with all lines when there are less for a long time. */
  async audited(isMeant: (line: AuditLine) => boolean, least = 1): Promise<readonly AuditLine[]> {
    const until = performance.now() + patience
    for (;;) {
      const lines = await this.audit()
      const meant = lines.filter(isMeant)
      if (meant.length >= least) return meant
      if (performance.now() > until)
        throw new Error(
          `${meant.length} of ${least} lines are among\n${lines.map((line) => JSON.stringify(line)).join('\n')}`,
        )
      await delay(200)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#about('delete', '--ignore-not-found', '--wait=false')
  }

  async #about(verb: string, ...options: string[]): Promise<Output> {
    return await this.kubectl.attempt([verb, `pod/${this.name}`, '-n', this.namespace, ...options])
  }
}
