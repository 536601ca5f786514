/** What sidecars have said about the configuration that they got: those of this replica, and those that others tell of. */
import { typeUrls, type Verdict } from '@firebreak/xds'
import type { Acknowledgements } from '../reconcile/agent-identity.ts'
import type { Key } from '../watch/informer.ts'

/** What one pod's sidecar has said. */
export interface PodAcknowledgement {
  readonly agent: Key
  /** When the sidecar opened the stream, by the clock of its node: of two streams of one pod the later one counts. */
  readonly connectedAt: number
  /** Of the configuration that is in force in the enforcer. */
  readonly revision?: string
  /** Why the enforcer or Envoy didn't take what was sent last. */
  readonly refusal?: string
}

/** By pod UID. */
export type PodAcknowledgements = ReadonlyMap<string, PodAcknowledgement>

interface Connected {
  readonly agent: Key
  readonly connectedAt: number
  revision?: string
  readonly refusals: Map<string, string>
}

/** What a sidecar said stands that long after its stream has ended: it holds on to its configuration, and comes back. */
const keptFor = 30_000
/** In milliseconds. */
const tellAfter = 100

export class AcknowledgementLedger implements Acknowledgements, Disposable {
  readonly #own = new Map<string, Connected>()
  readonly #ending = new Map<string, NodeJS.Timeout>()
  /** By replica. */
  readonly #others = new Map<string, PodAcknowledgements>()
  readonly #listeners: ((agent: Key) => void)[] = []
  readonly #unsaid = new Set<Key>()
  #telling: NodeJS.Timeout | undefined
  readonly changes = {
    synced: Promise.resolve(),
    onKeys: (listener: (agent: Key) => void) => void this.#listeners.push(listener),
  }

  of(podUid: string): { readonly revision?: string; readonly refusal?: string } | undefined {
    const own = this.#own.get(podUid)
    let newest = own && plain(own)
    for (const pods of this.#others.values()) {
      const candidate = pods.get(podUid)
      if (candidate && candidate.connectedAt > (newest?.connectedAt ?? 0)) newest = candidate
    }
    if (!newest) return undefined
    // what Envoy refused isn't in force, whatever the enforcer has
    return newest.refusal === undefined ? newest : { refusal: newest.refusal }
  }

  connected(podUid: string, agent: Key, connectedAt: number): void {
    clearTimeout(this.#ending.get(podUid))
    this.#ending.delete(podUid)
    const before = this.#own.get(podUid)
    if (before?.agent === agent) this.#own.set(podUid, { ...before, connectedAt })
    else this.#own.set(podUid, { agent, connectedAt, refusals: new Map() })
  }

  answered(podUid: string, typeUrl: string, { versions, refusal }: Verdict): void {
    const pod = this.#own.get(podUid)
    if (!pod) return
    if (refusal !== undefined) pod.refusals.set(typeUrl, `${partOf(typeUrl)}: ${refusal}`)
    else {
      pod.refusals.delete(typeUrl)
      if (typeUrl === typeUrls.agentConfiguration) {
        const revision = versions.get(pod.agent)
        if (revision === undefined) delete pod.revision
        else pod.revision = revision
      }
    }
    this.#changed(pod.agent)
  }

  /** @param connectedAt of the stream that ended; another one of the same pod may have begun. */
  disconnected(podUid: string, connectedAt: number): void {
    const pod = this.#own.get(podUid)
    if (pod?.connectedAt !== connectedAt) return
    const end = (): void => {
      this.#own.delete(podUid)
      this.#ending.delete(podUid)
      this.#changed(pod.agent)
    }
    this.#ending.set(podUid, setTimeout(end, keptFor).unref())
  }

  /** Those of this replica. */
  own(): PodAcknowledgements {
    return new Map([...this.#own].map(([uid, pod]) => [uid, plain(pod)]))
  }

  /** @param pods undefined: the replica is gone. */
  told(replica: string, pods: PodAcknowledgements | undefined): void {
    const before = this.#others.get(replica) ?? new Map<string, PodAcknowledgement>()
    if (pods) this.#others.set(replica, pods)
    else this.#others.delete(replica)
    const agents = new Set<Key>()
    for (const uid of new Set([...before.keys(), ...(pods?.keys() ?? [])])) {
      const [was, is] = [before.get(uid), pods?.get(uid)]
      if (was?.revision === is?.revision && was?.refusal === is?.refusal && was && is) continue
      for (const each of [was, is]) if (each) agents.add(each.agent)
    }
    for (const agent of agents) this.#changed(agent)
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#telling)
    for (const timer of this.#ending.values()) clearTimeout(timer)
  }

  /** Told a moment later: the answers of all of an agent's sidecars come in together. */
  #changed(agent: Key): void {
    this.#unsaid.add(agent)
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined
      const agents = [...this.#unsaid]
      this.#unsaid.clear()
      for (const each of agents) for (const listener of this.#listeners) listener(each)
    }, tellAfter)
  }
}

function plain({ agent, connectedAt, revision, refusals }: Connected): PodAcknowledgement {
  const [refusal] = refusals.values()
  return {
    agent,
    connectedAt,
    ...(revision !== undefined && { revision }),
    ...(refusal !== undefined && { refusal }),
  }
}

function partOf(typeUrl: string): string {
  return typeUrl === typeUrls.agentConfiguration ? 'enforcer' : 'Envoy'
}
