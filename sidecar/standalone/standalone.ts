/** The sidecar without a cluster: a directory of manifests, loopback listeners, an audit file. */
import { join } from 'node:path'
import type { ApprovalRequest, ManifestProblem, ProtectedResource } from '@firebreak/crds'
import type { QualifiedName } from '@firebreak/policy'
import { apiPort, needsApi, type OpenApi, openApi } from '../api/open.ts'
import { type AccessRequest, requestAccess } from '../approvals/access.ts'
import { FileStore } from '../approvals/file-store.ts'
import { Notifier } from '../approvals/notifier.ts'
import { asksPeople, openApprovals } from '../approvals/open.ts'
import { holdsRequests, openOwnFolder } from '../approvals/own-folder.ts'
import { loadConfiguration } from '../configuration/configuration.ts'
import { nameOf } from '../configuration/name.ts'
import { watchDirectory } from '../configuration/watch.ts'
import {
  auditEvents,
  endSessions,
  followTraces,
  inOneLine,
  measure,
  metricsPage,
  openAudit,
  openListener,
  protocols,
} from '../guarding.ts'
import { identitiesFor, isLoopbackIdentity } from '../listen/authenticate.ts'
import type { Address, Listener } from '../listen/listener.ts'
import { PageServer } from '../listen/pages.ts'
import type { SidecarMetrics } from '../metrics/metrics.ts'
import { placeOfRecordings } from '../recording/guarded-place.ts'
import { Runtime } from '../runtime.ts'
import type { Result } from '../session.ts'
import { BaselineFiles } from '../signals/baseline-files.ts'
import { inWords } from '../system-errors.ts'
import { refuseUnknownNames } from './names.ts'
import type { StandaloneOptions } from './options.ts'
import { openNear } from './ports.ts'

/** The directory holds no valid configuration. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
  readonly problems: readonly ManifestProblem[]
  constructor(problems: readonly ManifestProblem[]) {
    super('the configuration is not valid')
    this.problems = problems
  }
}

export class Standalone implements AsyncDisposable {
  readonly #options: StandaloneOptions
  readonly #runtime: Runtime
  readonly #listeners: Listener[] = []
  readonly #watch: Disposable
  readonly #ticking: NodeJS.Timeout
  #pages: PageServer | undefined
  readonly #notifier: Notifier | undefined
  #openingApprovals = false
  #api: Promise<OpenApi | undefined> | undefined

  /**
   * @throws ConfigurationError; and Error in words when there is nothing to guard, an option names what is not there, or
   * a listener or the audit file can't be opened.
   */
  static async start(options: StandaloneOptions): Promise<Standalone> {
    // watched before it is read: what is written while this begins is read once it has begun
    let changed = false
    let whenChanged = (): void => {
      changed = true
    }
    using watching = new DisposableStack()
    const watch = watching.use(watchDirectory(options.directory, () => whenChanged()))
    const { configuration, problems } = loadConfiguration(options.directory)
    if (!configuration) throw new ConfigurationError(problems)
    refuseUnknownNames(options, configuration)
    const audit = await openAudit(options.audit, auditEvents(options.onEvent))
    const runtime = new Runtime(configuration, audit, {
      ...options,
      tokenFailed: (identity, { message }) => options.onEvent({ kind: 'tokenFailed', identity, message }),
      classifiesNothing: (doubt) => options.onEvent({ kind: 'classifiesNothing', doubt }),
    })
    const metrics = options.metrics && (await measure(runtime))
    await followTraces(runtime, options.traces, {}, options.onEvent)
    const standalone = new Standalone(options, runtime, watch)
    watching.move()
    options.onEvent({ kind: 'applied', revision: configuration.snapshot.revision, problems })
    audit.notice('configuration.applied', { revision: configuration.snapshot.revision })
    try {
      if (metrics) await standalone.#serveMetrics(metrics)
      await standalone.#openRecordings()
      await standalone.#openApprovals()
      await standalone.#keepBaselines()
      await standalone.#openApi()
      for (const resource of configuration.manifests.resources) await standalone.#listenFor(resource)
      if (standalone.#listeners.length === 0)
        throw new Error(
          `there is nothing to guard: ${options.directory} has no ProtectedResource of a type that is spoken and that an AgentIdentity may use`,
        )
    } catch (error) {
      await standalone[Symbol.asyncDispose]()
      throw error
    }
    whenChanged = () => standalone.#reload()
    if (changed) standalone.#reload()
    return standalone
  }

  private constructor(options: StandaloneOptions, runtime: Runtime, watch: Disposable) {
    this.#options = options
    this.#runtime = runtime
    this.#notifier =
      options.notify &&
      new Notifier({
        ...options.notify,
        onLost: (event, request, reason) =>
          runtime.audit.notice('notification.lost', { notification: event, request, reason }),
      })
    runtime.signals.notify = (signal) => this.#notifier?.signal(signal)
    runtime.signals.problem = (message) => options.onEvent({ kind: 'signalsFailed', message })
    this.#watch = watch
    const base = options.stateDirectory ?? options.directory
    runtime.recordings = placeOfRecordings(runtime, options.onEvent, {
      assignment: {
        target: options.recordings ?? { kind: 'directory', path: join(base, 'recordings') },
        recipients: options.recordingRecipients ?? [],
        unmaskedRecipients: options.unmaskedRecipients ?? [],
        signer: { directory: join(base, 'recording-keys') },
      },
      expires: true,
    })
    runtime.tick()
    this.#ticking = setInterval(() => runtime.tick(), 1_000).unref()
  }

  /** Asks for more rights in the name of an identity, as this process may: whoever starts it is trusted. @returns why not, in words. */
  requestAccess(identity: QualifiedName, request: AccessRequest): Promise<Result<ApprovalRequest, string>> {
    const { manifests } = this.#runtime.configuration
    const groups = manifests.identities.find((candidate) => nameOf(candidate) === identity)?.spec.groups ?? []
    return requestAccess(this.#runtime, [{ identity, groups }], request)
  }

  /** Absent where nothing is counted. */
  get metrics(): SidecarMetrics | undefined {
    return this.#runtime.metrics
  }

  get listeners(): readonly Listener[] {
    return this.#listeners
  }

  /** Tells every session, closes the listeners and writes the rest of the audit. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]()
    clearInterval(this.#ticking)
    this.#runtime.approvals?.stop()
    await (await this.#api)?.server.close()
    await this.#pages?.[Symbol.asyncDispose]()
    await endSessions(this.#runtime, this.#listeners)
    await this.#runtime.signals.save()
    await this.#runtime.approvals?.[Symbol.asyncDispose]()
    await this.#notifier?.[Symbol.asyncDispose]()
    await this.#runtime.recordings?.[Symbol.asyncDispose]()
    await this.#runtime.traces?.[Symbol.asyncDispose]()
    const lines = await this.#runtime.audit.close()
    if (lines > 0) this.#options.onEvent({ kind: 'auditLost', lines })
  }

  async #serveMetrics(metrics: SidecarMetrics): Promise<void> {
    const { metrics: address = { host: '127.0.0.1', port: 0 }, onEvent } = this.#options
    this.#pages = await PageServer.open(address, { '/metrics': () => metricsPage(metrics) }).catch(
      (error: unknown) => {
        throw new Error(`metrics can't be served on ${address.host}:${address.port}: ${inWords(error)}`)
      },
    )
    onEvent({ kind: 'metrics', address: { host: address.host, port: this.#pages.port } })
  }

  async #listenFor(resource: ProtectedResource): Promise<void> {
    const { type, database } = resource.spec
    const supported = protocols[type]
    const name = nameOf(resource)
    if (identitiesFor(resource, this.#runtime.configuration).length === 0) return
    if (!supported) {
      this.#options.onEvent({ kind: 'unsupported', resource: name, type })
      return
    }
    const { listen, identity } = this.#options
    const asked = listen?.get(resource.metadata.name)
    const open = (address: Address): Promise<Listener> =>
      openListener(resource, supported.protocol, this.#runtime, address, identity)
    const listener = asked
      ? await open(asked).catch((error: unknown) => {
          throw new Error(`${name} can't be guarded on ${asked.host}:${asked.port}: ${inWords(error)}`)
        })
      : await openNear(supported.port, open)
    this.#listeners.push(listener)
    this.#options.onEvent({ kind: 'listening', resource: name, type, address: listener.address, database })
    const identities = identitiesFor(resource, this.#runtime.configuration)
      .filter(isLoopbackIdentity)
      .map(({ metadata }) => metadata.name)
    if (identities.length > 1 && identity === undefined)
      this.#options.onEvent({ kind: 'ambiguous', resource: name, identities })
  }

  /** Once a policy wants sessions recorded; with each session it is tried again. */
  async #openRecordings(): Promise<void> {
    const { recordings, configuration } = this.#runtime
    if (configuration.manifests.policies.some(({ spec }) => (spec.recording?.mode ?? 'off') !== 'off'))
      await recordings
        ?.open()
        .catch((error: unknown) =>
          this.#options.onEvent({ kind: 'recordingsFailed', message: inWords(error) }),
        )
  }

  /** Once a policy asks people: where none does, nothing is written. */
  async #openApprovals(): Promise<void> {
    const runtime = this.#runtime
    const directory = this.#stateDirectory
    // whoever was suspended stays so, whatever policies say by now
    const needed = asksPeople(runtime.configuration) || holdsRequests(directory)
    if (runtime.approvals || this.#openingApprovals || !needed) return
    this.#openingApprovals = true
    const { agentUsers = [] } = this.#options
    try {
      await openApprovals(runtime, {
        store: await FileStore.open(directory),
        agentUsers,
        notify: (event) => this.#notifier?.notify(event),
      })
      this.#options.onEvent({ kind: 'approvals', directory, anybody: agentUsers.length === 0 })
    } catch (error) {
      runtime.approvalsProblem = error instanceof Error ? error.message : String(error)
      this.#options.onEvent({ kind: 'approvalsFailed', message: runtime.approvalsProblem })
    }
    this.#openingApprovals = false
  }

  /** Once a policy watches for signals. */
  async #keepBaselines(): Promise<void> {
    const { signals, configuration } = this.#runtime
    if (!configuration.manifests.policies.some(({ spec }) => (spec.signals ?? []).length > 0)) return
    try {
      signals.keepIn(new BaselineFiles(await openOwnFolder(this.#stateDirectory)))
    } catch (error) {
      this.#options.onEvent({ kind: 'signalsFailed', message: inWords(error) })
    }
  }

  /** Once agents may ask for something. One that can't be opened is tried again with the next configuration. */
  async #openApi(): Promise<void> {
    if (this.#api || !needsApi(this.#runtime.configuration)) return
    const { api: asked, identity, onEvent } = this.#options
    const socket = join(this.#stateDirectory, 'api.sock')
    this.#api = openApi(
      this.#runtime,
      (listen) => (asked ? listen(asked) : openNear(apiPort, listen)),
      identity,
      socket,
    ).catch((error: unknown) => {
      this.#api = undefined
      onEvent({ kind: 'apiFailed', message: inWords(error) })
      return undefined
    })
    const api = await this.#api
    if (api) onEvent({ kind: 'api', address: api.address, socket })
  }

  get #stateDirectory(): string {
    return this.#options.stateDirectory ?? join(this.#options.directory, 'approvals')
  }

  #reload(): void {
    const before = this.#runtime.configuration.snapshot.revision
    const { configuration, problems } = loadConfiguration(this.#options.directory)
    if (!configuration) {
      this.#runtime.audit.notice('configuration.refused', {
        revision: before,
        problems: problems.map(inOneLine),
      })
      this.#options.onEvent({ kind: 'refused', problems, revision: before })
      return
    }
    this.#runtime.apply(configuration)
    void this.#openRecordings()
    void this.#openApprovals()
    void this.#keepBaselines()
    void this.#openApi()
    const { revision } = configuration.snapshot
    if (revision === before) return
    this.#runtime.audit.notice('configuration.applied', { revision, before })
    this.#options.onEvent({ kind: 'applied', revision, problems })
  }
}
