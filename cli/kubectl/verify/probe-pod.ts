/** A pod that runs `firebreak probe`, and what it says. */
import { setTimeout as delay } from 'node:timers/promises'
import { ApiError, type KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import { pods } from '@firebreak/operator/kubernetes/objects.ts'
import type { Round } from '../../probe/attempts.ts'
import type { Objection } from './check.ts'
import { container, type Pod } from './manifests.ts'

/** It never came to run. */
export class ProbeError extends Error {
  override readonly name = 'ProbeError'
}

/** So many rounds, one after the other, make a proof. */
const enough = 3
/** How long the cluster's network may take until it is as it was told to be, in milliseconds. */
const settling = 45_000

export class ProbePod {
  readonly name: string
  readonly #client: KubernetesClient
  readonly #namespace: string
  #last: Round | undefined
  #changed = Promise.withResolvers<void>()
  #failure: Error | undefined

  constructor(client: KubernetesClient, { metadata: { namespace = '', name } }: Pod) {
    this.#client = client
    this.#namespace = namespace
    this.name = name
  }

  /** Its addresses, once it runs. @throws ProbeError with what is in its way when the signal aborts for the time. */
  async running(signal: AbortSignal): Promise<readonly string[]> {
    let pod: Pod | undefined
    for (;;) {
      pod = await this.#client.get(pods, this.name, this.#namespace)
      if (!pod) throw new ProbeError(`pod ${this.name} was deleted by somebody else`)
      const { phase, podIPs = [], containerStatuses = [] } = pod.status ?? {}
      if (containerStatuses.some(({ name, state }) => name === container && state?.running))
        return podIPs.map(({ ip }) => ip)
      if (phase === 'Failed' || phase === 'Succeeded')
        throw new ProbeError(`pod ${this.name} ended: ${inTheWay(pod)}`)
      try {
        await delay(300, undefined, { signal })
      } catch (error) {
        if ((signal.reason as Error | undefined)?.name !== 'TimeoutError') throw error
        throw new ProbeError(`pod ${this.name} does not start: ${inTheWay(pod)}`)
      }
    }
  }

  /** Reads on what it says. */
  async listen(signal: AbortSignal): Promise<void> {
    const place = { namespace: this.#namespace, pod: this.name, container }
    while (!signal.aborted)
      try {
        for await (const line of this.#client.log(place, { follow: true, tailLines: 1 }, signal))
          this.#hear(line)
        await delay(300, undefined, { signal })
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof ApiError && error.status !== 404) {
          this.#failure = error
          this.#wake()
          return
        }
        await delay(300, undefined, { signal }).catch(() => {})
      }
  }

  /**
   * Waits for so many rounds without an objection, one after the other, that no chance explains them.
   *
   * @returns the last objection when there are none in time.
   */
  async settles(
    objectionTo: (round: Round) => Objection | undefined,
    signal: AbortSignal,
    rounds = enough,
  ): Promise<Objection | undefined> {
    const until = AbortSignal.timeout(settling)
    // the one that goes on now may have begun before what is to be seen
    let seen = (this.#last?.round ?? 0) + 1
    let good = 0
    let objection: Objection | undefined = { outcome: 'unknown', message: `pod ${this.name} says nothing` }
    while (good < rounds) {
      const stop = AbortSignal.any([until, signal])
      const next = await this.#after(seen, stop)
      signal.throwIfAborted()
      if (!next) return objection
      seen = next.round
      objection = objectionTo(next)
      good = objection ? 0 : good + 1
    }
    return undefined
  }

  async #after(round: number, stop: AbortSignal): Promise<Round | undefined> {
    const { promise: stopped, resolve } = Promise.withResolvers<void>()
    stop.addEventListener('abort', () => resolve(), { once: true })
    while (!stop.aborted) {
      if (this.#failure) throw this.#failure
      if (this.#last && this.#last.round > round) return this.#last
      await Promise.race([this.#changed.promise, stopped])
    }
    return undefined
  }

  #hear(line: string): void {
    try {
      this.#last = JSON.parse(line) as Round
    } catch {
      // what Node itself has to say
      return
    }
    this.#wake()
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
}

/** What the cluster says of a pod that doesn't run. */
function inTheWay({ status = {} }: Pod): string {
  const { conditions = [], initContainerStatuses = [], containerStatuses = [], reason, message } = status
  const unscheduled = conditions.find(({ type, status: is }) => type === 'PodScheduled' && is === 'False')
  const waiting = [...initContainerStatuses, ...containerStatuses].flatMap(({ name, state }) => {
    const why = state?.waiting ?? state?.terminated
    if (!why?.reason || why.reason === 'Completed' || why.reason === 'PodInitializing') return []
    return [`${name}: ${[why.reason, why.message].filter(Boolean).join(', ')}`]
  })
  const all = [unscheduled?.message, ...waiting, reason, message].filter(Boolean)
  return all.length > 0 ? all.join('; ') : 'its containers are still starting'
}
