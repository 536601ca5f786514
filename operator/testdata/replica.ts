/** The program of {@link ReplicaProcess}. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { ApiServerAccess } from '../kubernetes/client.ts'
import { startOperator } from '../operator.ts'
import type { RecordsOptions } from '../options.ts'
import { probeResource } from '../reconcile/probe.ts'
import type { RecordTargets } from '../records/records.ts'
import type { ReplicaSettings } from './replica-process.ts'

const settings = JSON.parse(process.argv[2] ?? '') as ReplicaSettings
const service = { namespace: 'firebreak-system', name: 'firebreak-operator' }
const write = (fields: object, message: string): void => console.log(message, JSON.stringify(fields))
const operator = await startOperator({
  kubeConfig: accessBy(settings.kubeconfig),
  replica: settings.replica,
  user: settings.user,
  place: { namespace: 'firebreak-system', podSelector: { matchLabels: { app: 'operator' } }, port: 18000 },
  certificate: { ...service, hosts: ['127.0.0.1', `${service.name}.${service.namespace}.svc`] },
  webhooks: settings.webhooks
    ? {
        host: '127.0.0.1',
        port: settings.webhooks.port,
        service: { ...service, port: settings.webhooks.servicePort },
      }
    : { host: '127.0.0.1', port: 0, outside: true },
  images: { enforcer: 'firebreak/sidecar:test', envoy: 'envoyproxy/envoy:test' },
  stream: { host: '127.0.0.1', port: settings.controlPort },
  control: 'firebreak-operator.firebreak-system.svc:18000',
  probe: probeResource,
  notify: settings.notify,
  records: recordsFrom(settings.records),
  log: { error: write, info: write },
})

function recordsFrom(file: string | undefined): RecordsOptions | undefined {
  return file === undefined
    ? undefined
    : {
        authoritySecret: 'firebreak-recording-authority',
        spoolDirectory: `${file}.spool`,
        read: () => JSON.parse(readFileSync(file, 'utf8')) as RecordTargets,
      }
}

const { controlPort, controlCa } = operator
process.send?.({ controlPort, controlCa })
process.once('SIGTERM', () => {
  void operator[Symbol.asyncDispose]().then(() => process.exit(0))
})

interface TestKubeconfig {
  readonly clusters: readonly [{ readonly cluster: Record<string, string> }]
  readonly users: readonly [{ readonly user: Record<string, string> }]
}

/** Without KubeConfig, which a replica in a cluster doesn't load either. */
function accessBy(path: string): ApiServerAccess {
  const { clusters, users } = parse(readFileSync(path, 'utf8')) as TestKubeconfig
  const [[{ cluster }], [{ user }]] = [clusters, users]
  const data = (of: Record<string, string>, name: string): string => of[`${name}-data`] ?? ''
  return {
    getCurrentCluster: () => ({
      name: 'test',
      server: cluster.server ?? '',
      caData: data(cluster, 'certificate-authority'),
      skipTLSVerify: false,
    }),
    getCurrentUser: () => ({
      name: 'test',
      certData: data(user, 'client-certificate'),
      keyData: data(user, 'client-key'),
    }),
    async applyToHTTPSOptions() {},
  }
}
