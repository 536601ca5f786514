/** The configuration stream: each sidecar gets its own agent's configuration, and nothing else, whatever it asks for. */
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import { connectedAtHeader, discoveryService, type Peer } from '@firebreak/xds'
import type { KeyAndCertificate } from '../certificates/authority.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import type { World } from '../watch/world.ts'
import type { AcknowledgementLedger } from './acknowledgements.ts'
import { isAlive, type ProvenPod, provePod } from './authenticate.ts'
import type { AgentSnapshots } from './snapshots.ts'

/** Requests name resources and versions. */
const largestRequest = 1024 * 1024
/** A connection without a stream is closed after that long. In milliseconds. */
const idleFor = 10_000
/** Node's timers take no more. */
const longestTimer = 2 ** 31 - 1

export interface ControlEvents {
  readonly opened: (pod: ProvenPod) => void
  readonly ended: (pod: ProvenPod, reason: string) => void
  readonly rejected: (reason: string) => void
  readonly pushed: (typeUrl: string) => void
  readonly answered: (pod: ProvenPod, typeUrl: string, refusal: string | undefined) => void
}

export interface ControlContext {
  readonly client: KubernetesClient
  readonly world: World
  readonly snapshots: AgentSnapshots
  readonly ledger: AcknowledgementLedger
  readonly events: ControlEvents
}

interface Stream {
  readonly pod: ProvenPod
  end(code: Code, reason: string): void
}

export class ControlServer implements AsyncDisposable {
  readonly #server: Http2SecureServer
  readonly #context: ControlContext
  readonly #streams = new Set<Stream>()
  readonly #sessions = new Set<ServerHttp2Session>()

  /** @param host the pod's own address when absent. */
  static async start(
    certificate: KeyAndCertificate,
    context: ControlContext,
    { host, port = 0 }: { host?: string; port?: number } = {},
  ): Promise<ControlServer> {
    const server = new ControlServer(certificate, context)
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', reject).listen(port, host, resolve)
    })
    return server
  }

  private constructor({ certificate, key }: KeyAndCertificate, context: ControlContext) {
    this.#context = context
    const adapter = connectNodeAdapter({
      routes: discoveryService((handler) => this.#admit(handler)),
      connect: false,
      grpcWeb: false,
      readMaxBytes: largestRequest,
      // the same for thousands at once: what it would save on the wire it would cost in time until all have it
      acceptCompression: [],
    })
    this.#server = createSecureServer({ cert: certificate, key, minVersion: 'TLSv1.3' }, adapter)
    this.#server.on('session', (session) => this.#keep(session))
    context.world.pods.onChange((_key, now, before) => {
      const uid = now?.metadata.uid ?? before?.metadata.uid ?? ''
      if (isAlive(now, uid)) return
      for (const stream of this.#streams)
        if (stream.pod.uid === uid) stream.end(Code.Unauthenticated, 'the pod is gone')
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get streams(): number {
    return this.#streams.size
  }

  /** New connections get the new certificate. */
  renew({ certificate, key }: KeyAndCertificate): void {
    this.#server.setSecureContext({ cert: certificate, key, minVersion: 'TLSv1.3' })
  }

  /** Sidecars are told to come again, which other replicas answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const stream of this.#streams) stream.end(Code.Unavailable, 'this replica stops')
    for (const session of this.#sessions) session.close()
    const timer = setTimeout(() => {
      for (const session of this.#sessions) session.destroy()
    }, 1_000)
    await closed
    clearTimeout(timer)
  }

  #keep(session: ServerHttp2Session): void {
    this.#sessions.add(session)
    let streams = 0
    const idle = setTimeout(() => {
      if (streams === 0) session.close()
    }, idleFor).unref()
    session.on('error', () => {})
    session.on('close', () => {
      clearTimeout(idle)
      this.#sessions.delete(session)
    })
    session.on('stream', (stream) => {
      streams++
      stream.on('error', () => {})
      stream.on('close', () => {
        streams--
        idle.refresh()
      })
    })
  }

  async #admit({ requestHeader, signal }: HandlerContext): Promise<Peer> {
    const { client, world, events } = this.#context
    const [, token] = /^Bearer (\S+)$/.exec(requestHeader.get('authorization') ?? '') ?? []
    const proof = await provePod(token, client, world).catch(() => undefined)
    if (!proof) throw new ConnectError('the API server can not be asked', Code.Unavailable)
    if (!proof.ok) {
      events.rejected(proof.error)
      throw new ConnectError(proof.error, Code.Unauthenticated)
    }
    signal.throwIfAborted()
    return this.#open(proof.value, Number(requestHeader.get(connectedAtHeader)) || Date.now())
  }

  #open(pod: ProvenPod, connectedAt: number): Peer {
    const { snapshots, ledger, events } = this.#context
    const ended = new AbortController()
    const listeners = new Set<() => void>()
    const stream: Stream = {
      pod,
      end: (code, reason) => ended.abort(new ConnectError(reason, code)),
    }
    const expiry = setTimeout(
      () => stream.end(Code.Unauthenticated, 'the token has expired'),
      Math.min(Math.max(0, pod.expiresAt - Date.now()), longestTimer),
    )
    const following = snapshots.follow(pod.agent, () => {
      for (const listener of listeners) listener()
    })
    this.#streams.add(stream)
    ledger.connected(pod.uid, pod.agent, connectedAt)
    events.opened(pod)
    return {
      signal: ended.signal,
      resources: (typeUrl) => snapshots.resourcesOf(pod.agent, typeUrl),
      onChange: (listener) => listeners.add(listener),
      pushed: events.pushed,
      answered: (typeUrl, verdict) => {
        ledger.answered(pod.uid, typeUrl, verdict)
        events.answered(pod, typeUrl, verdict.refusal)
      },
      [Symbol.dispose]: () => {
        clearTimeout(expiry)
        following[Symbol.dispose]()
        this.#streams.delete(stream)
        ledger.disconnected(pod.uid, connectedAt)
        const { reason } = ended.signal
        events.ended(pod, reason instanceof ConnectError ? reason.rawMessage : 'the sidecar is gone')
      },
    }
  }
}
