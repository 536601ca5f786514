/** Tells of the requests of each agent as they change. */
import type { ApprovalRequest } from '@firebreak/crds'
import type { Key } from '../watch/informer.ts'
import type { World } from '../watch/world.ts'
import { agentOf } from './requests.ts'

type Listener = (name: string) => void

export class ApprovalFeed {
  readonly #world: World
  readonly #listeners = new Map<Key, Set<Listener>>()

  constructor(world: World) {
    this.#world = world
    world.approvals.onChange((_key, now, before) => {
      const request = now ?? before
      if (!request) return
      for (const listener of this.#listeners.get(agentOf(request)) ?? []) listener(request.metadata.name)
    })
  }

  /** Until what is returned is disposed of. */
  follow(agent: Key, listener: Listener): Disposable {
    const listeners = this.#listeners.get(agent) ?? new Set()
    this.#listeners.set(agent, listeners)
    listeners.add(listener)
    return {
      [Symbol.dispose]: () => {
        listeners.delete(listener)
        if (listeners.size === 0) this.#listeners.delete(agent)
      },
    }
  }

  get(agent: Key, name: string): ApprovalRequest | undefined {
    const request = this.#world.approvals.get(`${agent.slice(0, agent.indexOf('/'))}/${name}`)
    return request && agentOf(request) === agent ? request : undefined
  }

  *of(agent: Key): Generator<ApprovalRequest> {
    for (const request of this.#world.approvals.list()) if (agentOf(request) === agent) yield request
  }
}
