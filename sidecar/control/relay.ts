/** Envoy's part of the configuration, passed on over a Unix socket: Envoy has no token, and needs none. */
import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type Http2Server, type ServerHttp2Session } from 'node:http2'
import {
  type DeltaDiscoveryResponse,
  discoveryService,
  grpcStreams,
  type Peer,
  type Resources,
  typeUrls,
  type VersionedResource,
} from '@firebreak/xds'

interface Passed {
  resources: Map<string, VersionedResource>
  /** What Envoy said of which resources last. */
  verdict: { readonly of: string; readonly refusal: string | undefined } | undefined
  /** Tells the operator; only of what it sent last. */
  answer: ((refusal: string | undefined) => void) | undefined
}

export class Relay implements AsyncDisposable {
  readonly #server: Http2Server
  readonly #sessions = new Set<ServerHttp2Session>()
  readonly #passed = new Map<string, Passed>(
    [typeUrls.cluster, typeUrls.listener].map((typeUrl) => [
      typeUrl,
      { resources: new Map(), verdict: undefined, answer: undefined },
    ]),
  )
  readonly #wakes = new Set<() => void>()
  readonly #ended = new AbortController()
  /** Before the operator has said anything of a type, Envoy is told nothing of it. */
  readonly #told = new Set<string>()

  /** @param path of the socket; what a killed process left there is replaced. */
  static async open(path: string): Promise<Relay> {
    const relay = new Relay()
    await rm(path, { force: true })
    relay.#server.listen(path)
    await once(relay.#server, 'listening')
    // Envoy runs as another user, and no other gets into the directory
    await chmod(path, 0o666)
    return relay
  }

  private constructor() {
    this.#server = createServer()
    this.#server.on('stream', grpcStreams(discoveryService(async () => this.#peer())))
    this.#server.on('session', (session) => {
      this.#sessions.add(session)
      session.on('close', () => this.#sessions.delete(session)).on('error', () => {})
    })
  }

  /** Versions by name, of each type that Envoy gets. */
  versions(): ReadonlyMap<string, ReadonlyMap<string, string>> {
    return new Map([...this.#passed].map(([typeUrl, { resources }]) => [typeUrl, versionsOf(resources)]))
  }

  /** Whether an Envoy is there that has taken the listener that captures connections. */
  get captures(): boolean {
    const listeners = this.#passed.get(typeUrls.listener)
    if (!listeners || this.#wakes.size === 0 || listeners.resources.size === 0) return false
    return listeners.verdict?.of === stateOf(versionsOf(listeners.resources)) && !listeners.verdict.refusal
  }

  /** @param answer called once Envoy has said whether it takes what there is now. */
  receive(
    { typeUrl, resources, removedResources }: DeltaDiscoveryResponse,
    answer: (refusal: string | undefined) => void,
  ): void {
    const passed = this.#passed.get(typeUrl)
    if (!passed) return
    const now = new Map(passed.resources)
    for (const { name, version, resource } of resources)
      if (resource) now.set(name, { name, version, packed: resource })
    for (const name of removedResources) now.delete(name)
    passed.resources = now
    passed.answer = answer
    this.#told.add(typeUrl)
    this.#settle(passed)
    for (const wake of this.#wakes) wake()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const session of this.#sessions) session.destroy()
    await closed
  }

  #settle(passed: Passed): void {
    if (passed.verdict?.of !== stateOf(versionsOf(passed.resources))) return
    passed.answer?.(passed.verdict.refusal)
    passed.answer = undefined
  }

  #peer(): Peer {
    let wake = (): void => {}
    return {
      signal: this.#ended.signal,
      resources: (typeUrl): Resources | undefined =>
        this.#told.has(typeUrl) ? this.#passed.get(typeUrl)?.resources : undefined,
      onChange: (listener) => {
        wake = listener
        this.#wakes.add(wake)
      },
      pushed: () => {},
      answered: (typeUrl, { versions, refusal }) => {
        const passed = this.#passed.get(typeUrl)
        if (!passed) return
        passed.verdict = { of: stateOf(versions), refusal }
        this.#settle(passed)
      },
      [Symbol.dispose]: () => {
        this.#wakes.delete(wake)
        // the next Envoy has to take it too
        for (const passed of this.#passed.values()) passed.verdict = undefined
      },
    }
  }
}

function versionsOf(resources: Resources): ReadonlyMap<string, string> {
  return new Map([...resources.values()].map(({ name, version }) => [name, version]))
}

function stateOf(versions: ReadonlyMap<string, string>): string {
  return [...versions]
    .map(([name, version]) => `${name} ${version}`)
    .sort()
    .join('\n')
}
