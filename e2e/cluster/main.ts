/** npm run cluster -- up|down|status: the test cluster, by hand. */
import { parseArgs } from 'node:util'
import { type Cluster, findCluster, prepareCluster, startCluster, stopCluster } from './cluster.ts'

const usage = `npm run cluster -- up [--nodes N]     start the test cluster (Linux, root)
npm run cluster -- status [--json]    whether it runs, and how to reach it
npm run cluster -- down               stop it and remove all traces
npm run cluster -- prepare            compile and fetch what a first start needs, and no more`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { nodes: { type: 'string', default: '1' }, json: { type: 'boolean', default: false } },
})

switch (positionals.join(' ')) {
  case 'up':
    await up(Number(values.nodes))
    break
  case 'down':
    await stopCluster()
    break
  case 'prepare':
    await prepareCluster()
    break
  case 'status':
    await print(await findCluster())
    break
  default:
    console.error(usage)
    process.exitCode = 2
}

async function up(nodes: number): Promise<void> {
  if (Number.isInteger(nodes) && nodes >= 1 && nodes <= 9) {
    await print(await startCluster({ nodes, outlivesParent: true }))
  } else {
    console.error('The number of nodes must be from 1 to 9')
    process.exitCode = 2
  }
}

async function print(cluster: Cluster | undefined): Promise<void> {
  if (cluster === undefined) process.exitCode = 1
  const status = cluster === undefined ? ({ running: false } as const) : await statusOf(cluster)
  console.log(values.json ? JSON.stringify(status, null, 2) : describe(status))
}

type Status = Awaited<ReturnType<typeof statusOf>>

async function statusOf(cluster: Cluster) {
  return {
    running: true,
    version: cluster.version,
    endpoint: cluster.endpoint,
    kubeconfig: cluster.kubeconfig,
    apiServer: cluster.apiServer.running,
    etcd: cluster.etcd.running,
    nodes: cluster.nodes.map(({ name, running, addresses, directory }) => ({
      name,
      running,
      addresses: [addresses.ipv4, addresses.ipv6],
      logs: directory,
    })),
  }
}

function describe(status: Status | { readonly running: false }): string {
  if (!('nodes' in status)) return 'There is no test cluster. npm run cluster -- up starts one.'
  const state = (running: boolean): string => (running ? 'running' : 'stopped')
  return [
    `Kubernetes ${status.version} at ${status.endpoint}: API server ${state(status.apiServer)}, etcd ${state(status.etcd)}`,
    ...status.nodes.map(
      ({ name, running, addresses, logs }) =>
        `${name} ${state(running)} at ${addresses.join(' and ')}, logs in ${logs}`,
    ),
    `export KUBECONFIG=${status.kubeconfig}`,
  ].join('\n')
}
