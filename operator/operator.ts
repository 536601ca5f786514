/** One replica of the operator: it answers the API server and the sidecars, and as the leader it reconciles. */
import { Notifier } from '@firebreak/sidecar/approvals/notifier.ts'
import { ApprovalRequests } from './approvals/requests.ts'
import { tellApproval } from './approvals/tell.ts'
import { authorityKey } from './certificates/authority.ts'
import { HostCertificates } from './certificates/host-certificates.ts'
import { keepServingCertificate } from './certificates/serving.ts'
import { NamespaceCompiler } from './compile/namespace.ts'
import { templateVersion } from './injection/inject.ts'
import { KubernetesClient } from './kubernetes/client.ts'
import { keptSecret } from './kubernetes/kept-secret.ts'
import { mutatingWebhooks, validatingWebhooks } from './kubernetes/objects.ts'
import { Metrics } from './metrics.ts'
import type { OperatorLog, OperatorOptions, RecordsOptions } from './options.ts'
import { EventRecorder } from './reconcile/event-recorder.ts'
import { leadWhenElected } from './reconcile/leadership.ts'
import { reconcileAll } from './reconcile/run.ts'
import { recordingAuthority } from './records/authority.ts'
import { publishRecordings } from './records/publish.ts'
import { Records } from './records/records.ts'
import { keepRetention } from './records/retention.ts'
import { tellSignal } from './signals/tell.ts'
import { World } from './watch/world.ts'
import { type WebhookTarget, webhookConfigurations } from './webhooks/configurations.ts'
import { authorizer, reviews } from './webhooks/reviews.ts'
import { WebhookServer } from './webhooks/server.ts'
import { AcknowledgementLedger } from './xds/acknowledgements.ts'
import { Replicas } from './xds/replicas.ts'
import { type ControlEvents, ControlServer } from './xds/server.ts'
import { AgentSnapshots } from './xds/snapshots.ts'

const renewEvery = 3_600_000
/** An operator that stops waits no longer for the API server: the kubelet gives it 30 s, 5 of which it still serves. In milliseconds. */
const answeredWithin = 8_000

export interface Operator extends AsyncDisposable {
  /** Of the configuration stream. */
  readonly controlPort: number
  /** PEM of the authority that its certificate is verified with. */
  readonly controlCa: string
  readonly metrics: Metrics
}

/** Runs until it is disposed of: then it gives up leadership, finishes what has begun, and closes. */
export async function startOperator(options: OperatorOptions): Promise<Operator> {
  await using starting = new AsyncDisposableStack()
  const { log } = options
  const metrics = new Metrics()
  const client = starting.use(new KubernetesClient(options.kubeConfig))
  const world = starting.use(
    new World(
      client,
      (kind, error) => log.error({ kind, error: error.message }, 'a watch failed; it starts again'),
      options.secretNamespaces,
    ),
  )
  const certificate = await keepServingCertificate(client, options.certificate)
  await world.synced
  const certificates = starting.use(
    new HostCertificates(
      await keptSecret(
        client,
        {
          namespace: options.place.namespace,
          name: options.clientAuthoritySecret ?? 'firebreak-client-authority',
        },
        'authority.key',
        authorityKey,
      ),
      options.apiServer,
      (agent, error) => log.error({ agent, error: error.message }, 'its certificates could not be made'),
    ),
  )
  const context = { images: options.images, control: options.control, controlCa: certificate.ca }
  const server = starting.use(
    await WebhookServer.start(
      certificate,
      reviews(world, context, certificates, options.user, authorizer(client)),
      {
        reviewed: (...review) => metrics.reviewed(...review),
        failed: (path, error) => {
          metrics.reviewFailed(path)
          log.error({ path, error: error.message }, 'a review failed')
        },
      },
      options.webhooks,
    ),
  )
  const ledger = starting.use(new AcknowledgementLedger())
  const records = options.records && starting.use(await recordsOf(client, options.records, options))
  const compiler = new NamespaceCompiler(records, certificates)
  world.policies.onChange((key, now) => {
    if (!now) compiler.forget(key)
  })
  const snapshots = starting.use(
    new AgentSnapshots(world, compiler, records, certificates, (agent, error) =>
      log.error({ agent, error: error.message }, 'its configuration could not be made'),
    ),
  )
  const recorder = starting.use(
    new EventRecorder(client, {
      replica: options.replica,
      lost: (error) => log.info({ error: error.message }, 'an Event could not be written'),
    }),
  )
  const notifier =
    options.notify &&
    starting.use(
      new Notifier({
        ...options.notify,
        onLost: (event, request, reason) =>
          log.error({ event, request, reason }, 'a notification could not be delivered'),
      }),
    )
  const stream = starting.use(
    await ControlServer.start(
      certificate,
      {
        client,
        world,
        snapshots,
        ledger,
        approvals: new ApprovalRequests(client, world, compiler),
        tellSignal: tellSignal({
          world,
          recorder,
          notifier,
          counted: (kind, severity) => metrics.signalled(kind, severity),
        }),
        events: streamEvents(metrics, log),
      },
      options.stream,
    ),
  )
  starting.use(
    new Replicas(client, ledger, {
      namespace: options.place.namespace,
      replica: options.replica,
      failed: (error) => log.error({ error: error.message }, "other replicas can't be told"),
    }),
  )
  const queues = new Map<string, () => number>()
  watchAll(metrics, world, queues, stream)
  const target: WebhookTarget = {
    caBundle: certificate.ca,
    ...('service' in options.webhooks
      ? { service: options.webhooks.service }
      : { url: `https://${options.webhooks.host}:${server.port}` }),
  }
  const stop = new AbortController()
  const leading = leadWhenElected(
    // its own: the lease is given up even if nothing else is answered
    starting.use(new KubernetesClient(options.kubeConfig)),
    {
      namespace: options.place.namespace,
      name: 'firebreak-operator',
      holder: options.replica,
      onError: (error) => log.error({ error: error.message }, 'leadership'),
    },
    async (signal) => {
      log.info({ replica: options.replica }, 'this replica leads')
      const { mutating, validating } = webhookConfigurations(target, options.user)
      await client.apply(mutatingWebhooks, mutating)
      await client.apply(validatingWebhooks, validating)
      if (records) await publishRecordings(client, options.place.namespace, records)
      const retention = keepRecords(records, options, signal)
      await reconcileAll(
        {
          world,
          compiler,
          client,
          operator: options.place,
          acknowledgements: ledger,
          sidecarVersion: templateVersion(context),
          probe: options.probe,
          recorder,
          records,
          certificates,
          tellApproval: tellApproval(world, recorder, notifier),
          events: {
            failed: (controller, key, error) => {
              metrics.reconcileFailed(controller)
              log.error({ controller, key, error: error.message }, 'could not reconcile; trying again')
            },
            reconciled: (controller, milliseconds) => metrics.reconciled(controller, milliseconds),
            running: (controller, depth) => queues.set(controller, depth),
          },
        },
        signal,
      )
      await retention
    },
    stop.signal,
  )
  const renewal = setInterval(() => {
    keepServingCertificate(client, options.certificate).then(
      (renewed) => {
        server.renew(renewed)
        stream.renew(renewed)
      },
      (error: Error) => log.error({ error: error.message }, "the certificate can't be renewed"),
    )
  }, renewEvery)
  starting.defer(async () => {
    clearInterval(renewal)
    stop.abort()
    await leading
  })
  const running = starting.move()
  return {
    controlPort: stream.port,
    controlCa: certificate.ca,
    metrics,
    [Symbol.asyncDispose]: async () => {
      const late = setTimeout(() => void client[Symbol.asyncDispose](), answeredWithin)
      await running.disposeAsync()
      clearTimeout(late)
    },
  }
}

async function recordsOf(
  client: KubernetesClient,
  { authoritySecret: name, read }: RecordsOptions,
  { place: { namespace }, log }: OperatorOptions,
): Promise<Records> {
  const authority = await recordingAuthority(client, { namespace, name })
  return new Records(authority, read, (error) =>
    log.error({ error: error.message }, 'where records go can not be read again; what was read before stays'),
  )
}

async function keepRecords(
  records: Records | undefined,
  { records: options, log }: OperatorOptions,
  signal: AbortSignal,
): Promise<void> {
  if (!records || !options) return
  const failed = (reason: string): void => log.error({ reason }, 'retention of recordings')
  await keepRetention(records, { spoolDirectory: options.spoolDirectory, failed }, signal).catch(
    (error: Error) => failed(error.message),
  )
}

function streamEvents(metrics: Metrics, log: OperatorLog): ControlEvents {
  return {
    opened: ({ key, agent }) => log.info({ pod: key, agent }, 'a sidecar is connected'),
    ended: ({ key, agent }, reason) => log.info({ pod: key, agent, reason }, 'a sidecar is disconnected'),
    rejected: (reason) => {
      metrics.streamRejected()
      log.info({ reason }, 'a stream was not let in')
    },
    pushed: (typeUrl) => metrics.pushed(typeUrl),
    answered: ({ key, agent }, type, refusal) => {
      metrics.answered(type, refusal !== undefined)
      if (refusal !== undefined) log.info({ pod: key, agent, type, refusal }, 'a sidecar refused what it got')
    },
  }
}

function watchAll(
  metrics: Metrics,
  world: World,
  queues: ReadonlyMap<string, () => number>,
  stream: ControlServer,
): void {
  metrics.watch('queue_depth', 'Keys that wait to be reconciled.', 'controller', () =>
    [...queues].map(([controller, depth]) => [controller, depth()]),
  )
  metrics.watch('watch_restarts', 'Watches that were started again after a failure.', 'kind', () =>
    world.restarts(),
  )
  metrics.watch('streams', 'Sidecars that are connected.', 'server', () => [['control', stream.streams]])
}
