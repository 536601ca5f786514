/** The enforcer of an agent's pod: it gets its configuration from the operator, and keeps it in memory only. */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { ProtectedResource } from '@firebreak/crds'
import type { QualifiedName } from '@firebreak/policy'
import { type DeltaDiscoveryResponse, places, typeUrls } from '@firebreak/xds'
import { type OpenApi, openApi } from '../api/open.ts'
import { ClusterStore } from '../approvals/cluster-store.ts'
import { openApprovals } from '../approvals/open.ts'
import { Containment } from '../containment/containment.ts'
import {
  auditEvents,
  endSessions,
  followTraces,
  measure,
  metricsPage,
  openAudit,
  openListener,
  protocols,
} from '../guarding.ts'
import { identitiesFor } from '../listen/authenticate.ts'
import type { Listener } from '../listen/listener.ts'
import { type Page, PageServer } from '../listen/pages.ts'
import { placeOfRecordings } from '../recording/guarded-place.ts'
import type { RecordingPlace } from '../recording/place.ts'
import { Runtime } from '../runtime.ts'
import { SignalForwarder } from '../signals/forwarder.ts'
import { inWords } from '../system-errors.ts'
import { emptyConfiguration, type ReceivedConfiguration, readConfiguration } from './agent-configuration.ts'
import { OperatorCalls } from './calls.ts'
import { trustBundle } from './certificates.ts'
import { ClientFiles, guardedClusters, kubeconfigFor } from './client-files.ts'
import type { ControlledOptions } from './options.ts'
import { assignmentOf, type SentRecords, withSpool } from './records.ts'
import { Relay } from './relay.ts'
import { keepStream, type Subscriber } from './stream.ts'

const notToldYet = 'the operator has not told yet what waits for approval'
/** So long a configuration waits for that. In milliseconds. */
const toldWithin = 5_000

export class ControlledSidecar implements AsyncDisposable, Subscriber {
  readonly #options: ControlledOptions
  readonly #runtime: Runtime
  readonly #relay: Relay
  readonly #recordings: RecordingPlace
  readonly #listeners = new Map<string, Listener>()
  readonly #clientFiles: ClientFiles
  readonly #ending = new AbortController()
  readonly #ticking: NodeJS.Timeout
  #pages: PageServer | undefined
  #streaming: Promise<void> | undefined
  #containment: Containment | undefined
  #inForce: ReceivedConfiguration | undefined
  readonly #operator = new OperatorCalls()
  readonly #signals: SignalForwarder
  /** Where they go now; undefined before the first configuration. */
  #records: SentRecords | undefined
  #requests: ClusterStore | undefined
  #api: OpenApi | undefined

  /** @throws Error in words, when a port is taken or the run directory can't be written to. */
  static async start(options: ControlledOptions): Promise<ControlledSidecar> {
    const { runDirectory, readyPort, pod, onEvent } = options
    const audit = await openAudit(options.audit, auditEvents(onEvent), { othersFollow: true })
    const runtime = new Runtime(emptyConfiguration(), audit, { pod: { name: pod.name, uid: pod.uid } })
    runtime.approvalsProblem = notToldYet
    const recordings = placeOfRecordings(runtime, onEvent, { expires: false })
    runtime.recordings = recordings
    const metrics = await measure(runtime)
    const relay = await Relay.open(join(runDirectory, places.configurationSocket))
    const sidecar = new ControlledSidecar(options, runtime, relay, recordings)
    try {
      sidecar.#pages = await PageServer.open(
        { port: readyPort },
        {
          '/ready': () => readiness(sidecar.#problem),
          '/ready/capture': () =>
            readiness(
              sidecar.#problem ?? (relay.captures ? undefined : "Envoy doesn't capture connections yet"),
            ),
          '/metrics': () => metricsPage(metrics),
        },
      )
      onEvent({ kind: 'ready', port: sidecar.#pages.port })
    } catch (error) {
      await sidecar[Symbol.asyncDispose]()
      throw error
    }
    sidecar.#streaming = keepStream(
      options.control,
      sidecar,
      {
        connected: (connection) => {
          sidecar.#operator.connected(connection)
          onEvent({ kind: 'connected' })
        },
        lost: (reason) => onEvent({ kind: 'lost', reason }),
      },
      sidecar.#ending.signal,
    )
    return sidecar
  }

  private constructor(
    options: ControlledOptions,
    runtime: Runtime,
    relay: Relay,
    recordings: RecordingPlace,
  ) {
    this.#options = options
    this.#runtime = runtime
    this.#recordings = recordings
    this.#relay = relay
    this.#clientFiles = new ClientFiles(options.clientDirectory)
    this.#signals = new SignalForwarder(this.#operator, (reason) =>
      runtime.audit.notice('notification.lost', { notification: 'signal', reason }),
    )
    runtime.signals.notify = (signal) => this.#signals.tell(signal)
    this.#ticking = setInterval(() => runtime.tick(), 1_000).unref()
  }

  subscriptions(): ReadonlyMap<string, ReadonlyMap<string, string>> {
    const own = new Map<string, string>()
    const inForce = this.#inForce
    if (inForce) own.set(`${inForce.namespace}/${inForce.name}`, inForce.revision)
    return new Map([[typeUrls.agentConfiguration, own], ...this.#relay.versions()])
  }

  async receive(
    response: DeltaDiscoveryResponse,
    answer: (refusal: string | undefined) => void,
  ): Promise<void> {
    if (response.typeUrl !== typeUrls.agentConfiguration) {
      this.#relay.receive(response, answer)
      return
    }
    const [resource] = response.resources
    if (resource?.resource) {
      const refusal = await this.#take(resource.resource.value)
      if (refusal !== undefined) {
        const revision = this.#runtime.configuration.snapshot.revision
        this.#runtime.audit.notice('configuration.refused', { revision, problems: [refusal] })
        this.#options.onEvent({ kind: 'refused', reason: refusal })
      }
      answer(refusal)
      return
    }
    if (response.removedResources.length > 0 && this.#inForce) this.#remove()
    answer(undefined)
  }

  /** Tells every session, closes the listeners and writes the rest of the audit. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#ticking)
    // while there is a way to the operator
    await this.#signals[Symbol.asyncDispose]()
    this.#ending.abort()
    await this.#streaming
    this.#runtime.approvals?.stop()
    await this.#api?.server.close()
    await endSessions(this.#runtime, [...this.#listeners.values()])
    await this.#runtime.approvals?.[Symbol.asyncDispose]()
    await this.#requests?.[Symbol.asyncDispose]()
    await this.#containment?.[Symbol.asyncDispose]()
    await this.#relay[Symbol.asyncDispose]()
    await this.#pages?.[Symbol.asyncDispose]()
    await this.#runtime.recordings?.[Symbol.asyncDispose]()
    await this.#runtime.traces?.[Symbol.asyncDispose]()
    const lines = await this.#runtime.audit.close()
    if (lines > 0) this.#options.onEvent({ kind: 'auditLost', lines })
  }

  /** Why the agent may not start yet. */
  get #problem(): string | undefined {
    return this.#inForce && this.#containment ? undefined : 'no configuration is in force yet'
  }

  /** @returns why it is not taken; then everything stays as it is. */
  async #take(value: Uint8Array): Promise<string | undefined> {
    const received = readConfiguration(value)
    if (!received.ok) return received.error
    const { namespace, name, revision, configuration, records, certificates } = received.value
    if (namespace !== this.#options.pod.namespace) return `it is of namespace ${namespace}`
    const before = this.#runtime.configuration
    const shownBefore = this.#runtime.hostCertificates
    this.#runtime.apply(configuration)
    this.#runtime.hostCertificates = new Map(Object.entries(certificates.certificates))
    try {
      await this.#keepRecords(records)
      await this.#openApprovals()
      await this.#openApi(name)
      for (const resource of configuration.manifests.resources) await this.#listenFor(resource, name)
      await this.#clientFiles.write('ca.crt', trustBundle(certificates))
      const portOf = (resource: string) => this.#listeners.get(resource)?.address.port
      const clusters = guardedClusters(configuration, `${namespace}/${name}`, portOf)
      await this.#clientFiles.write('kubeconfig', kubeconfigFor(clusters))
      this.#containment ??= await Containment.open({
        runtime: this.#runtime,
        identity: `${namespace}/${name}` satisfies QualifiedName,
        runDirectory: this.#options.runDirectory,
        protocolFor: (type) => protocols[type]?.protocol,
        ...(this.#options.dns && { dns: this.#options.dns }),
      })
    } catch (error) {
      this.#runtime.apply(before)
      this.#runtime.hostCertificates = shownBefore
      return inWords(error)
    }
    this.#inForce = received.value
    this.#runtime.audit.notice('configuration.applied', {
      revision: configuration.snapshot.revision,
      before: before.snapshot.revision,
    })
    this.#options.onEvent({ kind: 'applied', revision })
    return undefined
  }

  /** Most changes are about policies: then everything that is open stays. */
  async #keepRecords(records: SentRecords): Promise<void> {
    if (isDeepStrictEqual(records, this.#records)) return
    const { recordings, audit, traces } = records
    const { spoolDirectory, pod, onEvent } = this.#options
    this.#recordings.reassign(recordings && assignmentOf(recordings))
    await this.#runtime.audit.follow(audit.map((target) => withSpool(target, spoolDirectory)))
    const about = {
      'k8s.namespace.name': pod.namespace,
      'k8s.pod.name': pod.name,
      'k8s.pod.uid': pod.uid,
    }
    await followTraces(this.#runtime, traces, about, onEvent)
    this.#records = records
  }

  /** Whatever policies ask by now: who was suspended under an earlier one stays so. */
  async #openApprovals(): Promise<void> {
    const runtime = this.#runtime
    if (this.#requests) return
    const requests = new ClusterStore(this.#options.pod.name, this.#operator)
    this.#requests = requests
    const opened = openApprovals(runtime, { store: requests }).catch((error: unknown) => {
      runtime.approvalsProblem = inWords(error)
    })
    await Promise.race([opened, delay(toldWithin, undefined, { ref: false })])
  }

  /** Before the agent starts: nobody else in the pod is to answer there. What can't be opened is tried again with the next configuration. */
  async #openApi(identity: string): Promise<void> {
    if (this.#api) return
    const { api, onEvent } = this.#options
    try {
      this.#api = await openApi(this.#runtime, (listen) => listen(api), identity)
      onEvent({ kind: 'api', address: this.#api.address })
    } catch (error) {
      onEvent({ kind: 'apiFailed', message: inWords(error) })
    }
  }

  #remove(): void {
    const before = this.#runtime.configuration.snapshot.revision
    const nothing = emptyConfiguration()
    this.#runtime.apply(nothing)
    this.#runtime.hostCertificates = new Map()
    this.#inForce = undefined
    this.#runtime.audit.notice('configuration.applied', { revision: nothing.snapshot.revision, before })
    this.#options.onEvent({ kind: 'removed' })
  }

  /**
   * The port stays what it stands for: one whose resource is gone lets nobody in. One that can't be opened keeps the agent from
   * starting, but no later policy from coming into force: it is tried again with the next configuration.
   */
  async #listenFor(resource: ProtectedResource, identity: string): Promise<void> {
    const { name } = resource.metadata
    const asked = this.#options.listen.get(name)
    const unused = identitiesFor(resource, this.#runtime.configuration).length === 0
    if (!asked || unused || this.#listeners.has(name)) return
    const { type } = resource.spec
    const spoken = protocols[type]
    if (!spoken) {
      this.#options.onEvent({ kind: 'unsupported', resource: name, type })
      return
    }
    try {
      const listener = await openListener(resource, spoken.protocol, this.#runtime, asked, identity)
      this.#listeners.set(name, listener)
      this.#options.onEvent({ kind: 'listening', resource: name, address: listener.address })
    } catch (error) {
      if (!this.#inForce) throw error
      this.#options.onEvent({ kind: 'listenFailed', resource: name, message: inWords(error) })
    }
  }
}

/** For the kubelet. @param problem why it is not ready. */
function readiness(problem: string | undefined): Page {
  return { status: problem === undefined ? 200 : 503, body: `${problem ?? 'ready'}\n` }
}
