/** The configuration stream: each sidecar gets its own agent's configuration, and nothing else, whatever it asks for. */
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect'
import { connectedAtHeader, discoveryService, grpcStreams, type Peer } from '@firebreak/xds'
import { ApprovalFeed } from '../approvals/feed.ts'
import type { ApprovalRequests } from '../approvals/requests.ts'
import { approvalsService, type Caller } from '../approvals/service.ts'
import type { KeyAndCertificate } from '../certificates/authority.ts'
import { Connections } from '../connections.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { signalsService, type TellSignal } from '../signals/service.ts'
import type { World } from '../watch/world.ts'
import type { AcknowledgementLedger } from './acknowledgements.ts'
import { isAlive, type ProvenPod, provePod } from './authenticate.ts'
import type { AgentSnapshots } from './snapshots.ts'

/** A connection without a stream is closed after that long. In milliseconds. */
const idleFor = 10_000
/** When this replica stops, sidecars are to have gone after that long. In milliseconds. */
const leaveWithin = 1_000
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
  readonly approvals: ApprovalRequests
  readonly tellSignal: TellSignal
  readonly events: ControlEvents
}

interface Call {
  readonly pod: ProvenPod
  end(code: Code, reason: string): void
}

export class ControlServer implements AsyncDisposable {
  readonly #server: Http2SecureServer
  readonly #context: ControlContext
  readonly #calls = new Set<Call>()
  #streams = 0
  readonly #sessions = new Set<ServerHttp2Session>()
  readonly #connections: Connections

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
    const discovery = discoveryService((handler) => this.#subscribe(handler))
    const approvals = approvalsService(
      (handler) => this.#admit(handler),
      context.approvals,
      new ApprovalFeed(context.world),
    )
    const signals = signalsService((handler) => this.#admit(handler), context.world, context.tellSignal)
    const streams = grpcStreams((router) => {
      discovery(router)
      approvals(router)
      signals(router)
    })
    // nothing is compressed: the same goes to thousands at once, and what it would save on the wire it would cost in time
    this.#server = createSecureServer({ cert: certificate, key, minVersion: 'TLSv1.3' }).on('stream', streams)
    this.#server.on('session', (session) => this.#keep(session))
    this.#connections = new Connections(this.#server)
    context.world.pods.onChange((_key, now, before) => {
      const uid = now?.metadata.uid ?? before?.metadata.uid ?? ''
      if (isAlive(now, uid)) return
      for (const call of this.#calls)
        if (call.pod.uid === uid) call.end(Code.Unauthenticated, 'the pod is gone')
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get streams(): number {
    return this.#streams
  }

  /** New connections get the new certificate. */
  renew({ certificate, key }: KeyAndCertificate): void {
    this.#server.setSecureContext({ cert: certificate, key, minVersion: 'TLSv1.3' })
  }

  /** Sidecars are told to come again, which other replicas answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const call of this.#calls) call.end(Code.Unavailable, 'this replica stops')
    for (const session of this.#sessions) session.close()
    const late = setTimeout(() => this.#connections.destroy(), leaveWithin)
    await closed
    clearTimeout(late)
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

  async #admit({ requestHeader, signal }: HandlerContext): Promise<Caller> {
    const { client, world, events } = this.#context
    const [, token] = /^Bearer (\S+)$/.exec(requestHeader.get('authorization') ?? '') ?? []
    const proof = await provePod(token, client, world).catch(() => undefined)
    if (!proof) throw new ConnectError('the API server can not be asked', Code.Unavailable)
    if (!proof.ok) {
      events.rejected(proof.error)
      throw new ConnectError(proof.error, Code.Unauthenticated)
    }
    signal.throwIfAborted()
    return this.#call(proof.value)
  }

  /** Ends with the token, with the pod and with this replica. */
  #call(pod: ProvenPod): Caller {
    const ended = new AbortController()
    const call: Call = { pod, end: (code, reason) => ended.abort(new ConnectError(reason, code)) }
    const expiry = setTimeout(
      () => call.end(Code.Unauthenticated, 'the token has expired'),
      Math.min(Math.max(0, pod.expiresAt - Date.now()), longestTimer),
    )
    this.#calls.add(call)
    return {
      pod,
      signal: ended.signal,
      [Symbol.dispose]: () => {
        clearTimeout(expiry)
        this.#calls.delete(call)
      },
    }
  }

  async #subscribe(handler: HandlerContext): Promise<Peer> {
    const { snapshots, ledger, events } = this.#context
    const caller = await this.#admit(handler)
    const { pod, signal } = caller
    const connectedAt = Number(handler.requestHeader.get(connectedAtHeader)) || Date.now()
    const listeners = new Set<() => void>()
    const following = snapshots.follow(pod.agent, () => {
      for (const listener of listeners) listener()
    })
    this.#streams++
    ledger.connected(pod.uid, pod.agent, connectedAt)
    events.opened(pod)
    return {
      signal,
      resources: (typeUrl) => snapshots.resourcesOf(pod.agent, typeUrl),
      onChange: (listener) => listeners.add(listener),
      pushed: events.pushed,
      answered: (typeUrl, verdict) => {
        ledger.answered(pod.uid, typeUrl, verdict)
        events.answered(pod, typeUrl, verdict.refusal)
      },
      [Symbol.dispose]: () => {
        caller[Symbol.dispose]()
        following[Symbol.dispose]()
        this.#streams--
        ledger.disconnected(pod.uid, connectedAt)
        const { reason } = signal
        events.ended(pod, reason instanceof ConnectError ? reason.rawMessage : 'the sidecar is gone')
      },
    }
  }
}
