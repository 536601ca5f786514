/** What containment costs a pod of a real cluster: until it is ready, and for each statement. */
import { stringify } from 'yaml'
import { toStandardError } from '../e2e/cluster/progress.ts'
import { AgentPod, agentPod } from '../e2e/product/agent-pod.ts'
import { postgresImage } from '../e2e/product/images.ts'
import { Product } from '../e2e/product/product.ts'
import { SupportBot } from '../e2e/product/support-bot.ts'
import { local } from '../e2e/providers/local.ts'
import type { TestCluster } from '../e2e/providers/provider.ts'
import { kubeConfigOf } from '../test/api-server.ts'
import { median } from './median.ts'
import { type Phases, startOf } from './pod-phases.ts'

const rounds = 5
/** Of pods that nobody contains. */
const strangers = 'strangers'

/** @throws Error when the machine can't carry a cluster. */
export async function benchPods(): Promise<void> {
  await using cluster = await local.provide(toStandardError)
  await using product = await Product.install(cluster)
  await using supportBot = await SupportBot.deploy(product)
  await using stack = new AsyncDisposableStack()
  await product.kubectl('create', 'namespace', strangers)
  stack.defer(async () => void (await product.kubectl('delete', 'namespace', strangers)))
  await benchStart(cluster, supportBot.namespace)
  await benchStatements(cluster, supportBot.namespace)
}

async function benchStart(cluster: TestCluster, agents: string): Promise<void> {
  const starts = [
    { title: 'without sidecars', namespace: strangers, all: [] as Phases[] },
    { title: 'contained', namespace: agents, all: [] as Phases[] },
  ]
  // images are unpacked with the first pod
  for (let round = 0; round <= rounds; round++)
    for (const { namespace, all } of starts) {
      const spec = namespace === strangers ? { serviceAccountName: 'default' } : {}
      const name = `pod-${round}`
      const phases = await startOf(
        kubeConfigOf(cluster),
        namespace,
        name,
        async () => await cluster.kubectl.apply(stringify(agentPod(namespace, name, { spec }))),
      )
      if (round > 0) all.push(phases)
      await new AgentPod(cluster.kubectl, namespace, name)[Symbol.asyncDispose]()
    }
  console.log(`\nfrom kubectl apply on, as the API server hears of it, median of ${rounds}`)
  for (const { title, all } of starts) {
    console.log(`  ${title}`)
    for (const phase of all[0]?.keys() ?? []) {
      const seconds = median(all.map((phases) => phases.get(phase) ?? Number.NaN)) / 1_000
      console.log(`    ${phase.padEnd(30)} ${seconds.toFixed(1)} s`)
    }
  }
}

const statements = 10_000
const database = 'plain-db'

/** By psql in a pod: one statement after the other of each client. */
async function benchStatements(cluster: TestCluster, agents: string): Promise<void> {
  await cluster.kubectl.apply(stringify(plainDatabase()))
  await new AgentPod(cluster.kubectl, strangers, database).ready()
  const start = async (namespace: string, spec: object): Promise<AgentPod> => {
    await cluster.kubectl.apply(stringify(agentPod(namespace, 'client', { spec })))
    const pod = new AgentPod(cluster.kubectl, namespace, 'client')
    await pod.ready()
    return pod
  }
  await using free = await start(strangers, { serviceAccountName: 'default' })
  await using contained = await start(agents, {})
  const address = await cluster.kubectl.run([
    ...['get', 'pod', database, '-n', strangers],
    ...['-o', 'jsonpath={.status.podIP}'],
  ])
  const ways = [
    { title: 'direct', pod: free, where: `-h ${address} -U postgres -d postgres` },
    { title: 'loopback listener', pod: contained, where: '' },
    { title: 'captured', pod: contained, where: '-h orders-db.data.svc -p 5432' },
  ]
  for (const clients of [1, 8]) {
    const times = ways.map((): number[] => [])
    for (let round = 0; round <= 3; round++)
      for (const [index, { pod, where }] of ways.entries()) {
        const time = await timeOf(pod, where, clients)
        if (round > 0) times[index]?.push(time)
      }
    const [directly = 1] = times.map(median)
    console.log(`\n${clients} clients with ${statements} statements each, by psql in a pod, median of 3`)
    for (const [index, { title }] of ways.entries()) {
      const time = median(times[index] ?? [])
      const each = (time / statements).toFixed(2)
      console.log(`  ${title.padEnd(18)} ${each} ms each, ${(directly / time).toFixed(2)} of direct`)
    }
  }
}

/** @returns milliseconds until all clients are done, measured in the pod itself. */
async function timeOf(pod: AgentPod, where: string, clients: number): Promise<number> {
  const script = `
yes 'SELECT total FROM orders WHERE id = 0;' | head -n ${statements} > /tmp/load.sql
began=$(date +%s%N)
for client in $(seq ${clients}); do
  psql ${where} -v ON_ERROR_STOP=1 -qAt -o /dev/null -f /tmp/load.sql || echo failed &
done
wait
echo "took $(( ($(date +%s%N) - began) / 1000000 ))"`
  const { stdout, stderr } = await pod.run(['sh', '-c', script])
  const [, time] = /^took (\d+)$/m.exec(stdout) ?? []
  if (time === undefined || stdout.includes('failed'))
    throw new Error(`psql measured nothing: ${stdout}${stderr}`)
  return Number(time)
}

/** As the one that the agent's policy protects, for who is not contained. */
function plainDatabase(): object {
  const script = `PATH=/usr/local/postgresql/bin:$PATH
initdb -D /data/database -U postgres -E UTF8 --locale=C --no-sync
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=${database} -keyout /data/tls.key -out /data/tls.crt
printf 'local all all trust\\nhostssl all all all trust\\n' > /data/database/pg_hba.conf
(until psql -h /data -U postgres -c 'CREATE TABLE orders AS SELECT 1 AS id, 19.90 AS total'; do sleep 0.2; done) &
exec postgres -D /data/database -c listen_addresses='*' -c unix_socket_directories=/data -c fsync=off \\
  -c ssl=on -c ssl_cert_file=/data/tls.crt -c ssl_key_file=/data/tls.key`
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: database, namespace: strangers },
    spec: {
      terminationGracePeriodSeconds: 1,
      securityContext: { runAsUser: 65_534, runAsGroup: 65_534, fsGroup: 65_534 },
      containers: [
        {
          name: 'postgresql',
          image: postgresImage,
          command: ['sh', '-euc', script],
          readinessProbe: {
            exec: { command: ['psql', '-h', '/data', '-U', 'postgres', '-c', 'SELECT * FROM orders'] },
            periodSeconds: 1,
          },
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        },
      ],
      volumes: [{ name: 'data', emptyDir: {} }],
    },
  }
}
