import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { type Operator, probeResource, startOperator } from '@firebreak/operator'
import type { OperatorPlace } from '@firebreak/operator/containment/names.ts'
import type { ApiServerAccess } from '@firebreak/operator/kubernetes/client.ts'
import { ownCluster } from '@firebreak/operator/kubernetes/own-cluster.ts'
import { PageServer } from '@firebreak/sidecar/listen/pages.ts'
import { pino } from 'pino'
import { type CliCommand, UsageError } from './command.ts'
import { parseRecords, recordsHelp, recordsOptions } from './operator-records.ts'
import { readNotify, stopSignal } from './serving.ts'

const levels = ['debug', 'info', 'warn', 'error']

export const operator: CliCommand = {
  name: 'operator',
  summary: 'run a replica of the operator in a cluster',
  options: [
    'service',
    'certificate-secret',
    'pod-labels',
    'enforcer-image',
    'envoy-image',
    'secret-namespaces',
    'client-authority-secret',
    'api-server-cidrs',
    'api-server-ports',
    'webhook-port',
    'control-port',
    'metrics-port',
    'health-port',
    'notify',
    'notify-secret-file',
    'log-level',
    'authority-secret',
    'spool',
    ...Object.keys(recordsOptions),
  ],
  help: `Runs a replica of the operator: webhooks and configuration streams, and as the leader the reconcilers.

Usage: firebreak operator --service=NAME --certificate-secret=NAME --pod-labels=KEY=VALUE,…
       --enforcer-image=IMAGE --envoy-image=IMAGE [OPTIONS]

  --service NAME             the Service by which the API server (port 443) and the sidecars reach the operator
  --certificate-secret NAME  where its certificate is kept; it is made where there is none
  --pod-labels K=V,…         labels that the operator's pods are selected by
  --enforcer-image IMAGE, --envoy-image IMAGE
                             what is injected
  --secret-namespaces A,B…   the only namespaces whose Secrets are read (default all)
  --client-authority-secret NAME
                             where the key is kept of what agents' clients trust; it is made where there is none
                             (default firebreak-client-authority)
  --api-server-cidrs A,B…, --api-server-ports A,B…
                             where NetworkPolicies let agents reach this cluster's own API, where it is a protected
                             resource of theirs (default everywhere, 443 and 6443)
  --webhook-port PORT        (default 8443)
  --control-port PORT        of the configuration streams, here and at the Service (default 18000)
  --metrics-port PORT        Prometheus' metrics at /metrics (default 9090)
  --health-port PORT         /healthz and /readyz (default 8081)
  --notify URL --notify-secret-file FILE
                             POST what happens to approval requests, and signals, to URL, signed with the secret in FILE
${recordsHelp}
  --authority-secret NAME    where the key is kept that vouches for recordings; it is made where there is none
                             (default firebreak-recording-authority)
  --spool DIR                where the operator's own audit lines wait for these targets (default /var/spool/firebreak)
  --log-level LEVEL          ${levels.join(', ')} (default info)

Environment: FIREBREAK_POD_NAME, FIREBREAK_POD_NAMESPACE, FIREBREAK_SERVICE_ACCOUNT. The cluster is the one that it runs
in, or that of KUBECONFIG.

Exit code 0: stopped by SIGTERM, SIGINT or SIGHUP. 1: the API server can't be reached, or a port is taken.`,
  async run(words) {
    // V8 lets garbage grow to several times of what is in use, and there is always a little: docs/decisions/xds.md
    setFlagsFromString('--heap-growing-percent=20')
    const { values } = parseArgs({
      args: [...words],
      options: {
        service: { type: 'string' },
        'certificate-secret': { type: 'string' },
        'pod-labels': { type: 'string' },
        'enforcer-image': { type: 'string' },
        'envoy-image': { type: 'string' },
        'secret-namespaces': { type: 'string' },
        'client-authority-secret': { type: 'string' },
        'api-server-cidrs': { type: 'string' },
        'api-server-ports': { type: 'string' },
        'webhook-port': { type: 'string', default: '8443' },
        'control-port': { type: 'string', default: '18000' },
        'metrics-port': { type: 'string', default: '9090' },
        'health-port': { type: 'string', default: '8081' },
        notify: { type: 'string' },
        'notify-secret-file': { type: 'string' },
        'log-level': { type: 'string', default: 'info' },
        'authority-secret': { type: 'string', default: 'firebreak-recording-authority' },
        spool: { type: 'string', default: '/var/spool/firebreak' },
        ...recordsOptions,
      },
    })
    const level = values['log-level']
    if (!levels.includes(level)) throw new UsageError(`--log-level is one of ${levels.join(', ')}`)
    const namespace = variable('FIREBREAK_POD_NAMESPACE')
    const service = needed('service', values.service)
    const notify = readNotify(values.notify, values['notify-secret-file'])
    const records = await parseRecords(values)
    const controlPort = port('control-port', values['control-port'])
    const log = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime })
    const stopped = stopSignal()
    let running: Operator | undefined
    await using _health = await PageServer.open(
      { port: port('health-port', values['health-port']) },
      {
        '/healthz': async () => ({ status: 200, body: 'ok\n' }),
        '/readyz': async () =>
          running ? { status: 200, body: 'ok\n' } : { status: 503, body: 'it is starting\n' },
      },
    )
    await using started = await startOperator({
      kubeConfig: ownCluster() ?? (await apiServerOfUser()),
      replica: variable('FIREBREAK_POD_NAME'),
      user: `system:serviceaccount:${namespace}:${variable('FIREBREAK_SERVICE_ACCOUNT')}`,
      place: {
        namespace,
        podSelector: { matchLabels: parseLabels(needed('pod-labels', values['pod-labels'])) },
        port: controlPort,
        ...apiServerPlace(values['api-server-cidrs'], values['api-server-ports']),
      },
      certificate: {
        namespace,
        name: needed('certificate-secret', values['certificate-secret']),
        hosts: [service, `${service}.${namespace}`, `${service}.${namespace}.svc`],
      },
      webhooks: {
        port: port('webhook-port', values['webhook-port']),
        service: { namespace, name: service, port: 443 },
      },
      clientAuthoritySecret: values['client-authority-secret'],
      apiServer: process.env.KUBERNETES_SERVICE_HOST,
      images: {
        enforcer: needed('enforcer-image', values['enforcer-image']),
        envoy: needed('envoy-image', values['envoy-image']),
      },
      secretNamespaces: values['secret-namespaces']?.split(','),
      stream: { port: controlPort },
      control: `${service}.${namespace}.svc:${controlPort}`,
      probe: probeResource,
      notify,
      records: records && {
        authoritySecret: values['authority-secret'],
        spoolDirectory: values.spool,
        read: records,
      },
      log,
    })
    await using _metrics = await PageServer.open(
      { port: port('metrics-port', values['metrics-port']) },
      {
        '/metrics': async () => ({ status: 200, ...(await started.metrics.text()) }),
      },
    )
    running = started
    log.info({}, 'this replica serves')
    await stopped
    running = undefined
    log.info({}, 'this replica stops')
    return 0
  },
}

/** Outside of a cluster: the one of whoever runs it. */
async function apiServerOfUser(): Promise<ApiServerAccess> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  config.loadFromDefault()
  return config
}

function needed(option: string, value: string | undefined): string {
  if (value === undefined) throw new UsageError(`operator needs --${option}`)
  return value
}

function port(option: string, value: string): number {
  const number = Number(value)
  if (!/^\d+$/.test(value) || number > 65_535) throw new UsageError(`--${option} takes a port number`)
  return number
}

function apiServerPlace(
  cidrs: string | undefined,
  ports: string | undefined,
): Pick<OperatorPlace, 'apiServer'> {
  if ((cidrs === undefined) !== (ports === undefined))
    throw new UsageError('--api-server-cidrs and --api-server-ports go together')
  if (cidrs === undefined || ports === undefined) return {}
  return {
    apiServer: {
      cidrs: cidrs.split(','),
      ports: ports.split(',').map((each) => port('api-server-ports', each)),
    },
  }
}

function parseLabels(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(',').map((item): [string, string] => {
      const equals = item.indexOf('=')
      if (equals < 1) throw new UsageError(`--pod-labels takes KEY=VALUE,…, not ${text}`)
      return [item.slice(0, equals), item.slice(equals + 1)]
    }),
  )
}

function variable(name: string): string {
  const value = process.env[name]
  if (!value) throw new UsageError(`operator needs the environment variable ${name}`)
  return value
}
