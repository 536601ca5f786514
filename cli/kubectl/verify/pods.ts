/** The pods of one run in one namespace, which are deleted when it ends, whichever way. */
import { setTimeout as delay } from 'node:timers/promises'
import type { KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import { pods } from '@firebreak/operator/kubernetes/objects.ts'
import { inWords } from '@firebreak/sidecar/system-errors.ts'
import { type Pod, type PodDescription, probePod, verifyLabel } from './manifests.ts'
import { ProbePod } from './probe-pod.ts'

export interface Circumstances {
  readonly client: KubernetesClient
  readonly progress: (message: string) => void
  /** For a pod to start, in milliseconds. */
  readonly patience: number
  readonly signal: AbortSignal
}

export type Wanted = Omit<PodDescription, 'namespace' | 'run' | 'owner' | 'name'> & { readonly name: string }

const longestName = 63

export class ProbePods implements AsyncDisposable {
  readonly #client: KubernetesClient
  readonly #namespace: string
  readonly #run: string
  readonly #owner: PodDescription['owner']
  readonly #made = new Set<string>()
  readonly #ended = new AbortController()
  readonly #listening: Promise<void>[] = []

  constructor(client: KubernetesClient, namespace: string, run: string, owner: PodDescription['owner']) {
    this.#client = client
    this.#namespace = namespace
    this.#run = run
    this.#owner = owner
  }

  /** What the API server would make of it. @throws ApiError when it would refuse. */
  async rehearse(wanted: Wanted): Promise<Pod> {
    return await this.#client.create(pods, this.#manifest(wanted), { dryRun: true })
  }

  /** @throws ApiError when it is refused. */
  async create(wanted: Wanted): Promise<{ readonly pod: Pod; readonly probe: ProbePod }> {
    const manifest = this.#manifest(wanted)
    // before it is asked for: an answer that gets lost says nothing
    this.#made.add(manifest.metadata.name)
    const pod = await this.#client.create(pods, manifest)
    return { pod, probe: new ProbePod(this.#client, pod) }
  }

  /** Hears what a probe says until all of them end. */
  hear(probe: ProbePod): void {
    this.#listening.push(probe.listen(this.#ended.signal))
  }

  async label({ name }: ProbePod, labels: Readonly<Record<string, string | null>>): Promise<void> {
    await this.#client.merge(pods, name, this.#namespace, { metadata: { labels } })
  }

  /** @throws Error that names what could not be deleted. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    await Promise.all(this.#listening)
    const left = (await Promise.all([...this.#made].map((name) => this.#delete(name)))).filter(
      (failure) => failure !== undefined,
    )
    const [first] = left
    if (first !== undefined)
      throw new Error(
        `probe pods are left, which end by themselves: kubectl delete pods -n ${this.#namespace} -l ${verifyLabel}=${this.#run} (${first})`,
      )
  }

  #manifest({ name, ...wanted }: Wanted): Pod {
    return probePod({
      ...wanted,
      namespace: this.#namespace,
      name: `firebreak-verify-${this.#run}-${name}`.slice(0, longestName).replace(/[^a-z0-9]+$/, ''),
      run: this.#run,
      owner: this.#owner,
    })
  }

  /** @returns why it couldn't be deleted, after several attempts. */
  async #delete(name: string): Promise<string | undefined> {
    let failure: string | undefined
    for (let turn = 0; turn < 3; turn++) {
      try {
        await this.#client.delete(pods, name, this.#namespace)
        return undefined
      } catch (error) {
        failure = inWords(error)
        await delay(500)
      }
    }
    return failure
  }
}
