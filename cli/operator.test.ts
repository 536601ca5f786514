import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Metrics } from '@firebreak/operator/metrics.ts'
import { type ApiServer, startApiServer } from '../test/api-server.ts'
import { eventuallyWith } from '../test/eventually.ts'
import { missingFrom, queriesAbout } from '../test/monitoring.ts'
import { Program } from '../test/program.ts'
import { freePort } from '../tools/postgres.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))

describe('firebreak operator', function () {
  this.timeout(300_000)
  const stack = new AsyncDisposableStack()
  let api: ApiServer

  before(async function () {
    this.timeout('45m')
    api = stack.use(await startApiServer())
    await api.cluster.kubectl.run(['create', 'namespace', 'firebreak-system'])
  })
  after(() => stack.disposeAsync())

  it('tells whether it is ready and what it does, and gives its lease up when it is stopped', async () => {
    const ports = {
      webhook: await freePort(),
      control: await freePort(),
      metrics: await freePort(),
      health: await freePort(),
    }
    const words = [
      'operator',
      '--service=firebreak',
      '--certificate-secret=firebreak-certificate',
      '--pod-labels=app=operator,part=all',
      '--enforcer-image=firebreak/sidecar:test',
      '--envoy-image=envoyproxy/envoy:test',
      ...Object.entries(ports).map(([name, port]) => `--${name}-port=${port}`),
    ]
    const child = spawn(process.execPath, [main, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        KUBECONFIG: api.cluster.kubeconfig,
        FIREBREAK_POD_NAME: 'firebreak-0',
        FIREBREAK_POD_NAMESPACE: 'firebreak-system',
        FIREBREAK_SERVICE_ACCOUNT: 'firebreak',
      },
    })
    const operator = stack.use(new Program(child))
    const page = async (port: number, path: string): Promise<string> => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined)
      return response ? `${response.status} ${await response.text()}` : 'nobody answers'
    }
    const eventually = eventuallyWith(() => operator.log, 120)
    await eventually(() => page(ports.health, '/healthz'), /^200 ok/)
    await eventually(() => page(ports.health, '/readyz'), /^200 ok/)
    const metrics = await eventually(
      () => page(ports.metrics, '/metrics'),
      /firebreak_queue_depth\{controller="AgentIdentity"\} 0/,
    )
    assert.match(metrics, /firebreak_streams\{server="control"\} 0/)
    assert.match(metrics, /firebreak_watch_restarts\{kind="Pod"\} 0/)
    assert.match(await page(ports.health, '/metrics'), /^404/)
    const counted = `${metrics}\n${await countedOnce()}`
    const queries = queriesAbout('operator')
    assert.ok(queries.length > 10)
    assert.deepEqual(
      queries.flatMap((query) => missingFrom(counted, query)),
      [],
    )
    const holder = (): Promise<string> =>
      api.cluster.kubectl.run([
        ...['get', 'lease', '-n', 'firebreak-system', 'firebreak-operator'],
        ...['-o', 'jsonpath={.spec.holderIdentity}'],
      ])
    await eventually(holder, /^firebreak-0$/)
    await eventually(() => operator.log, /"msg":"this replica leads"/)
    assert.equal(await operator.end('SIGTERM'), 0, operator.log)
    assert.equal(await holder(), '')
  })

  it('says what it lacks', async () => {
    const child = spawn(process.execPath, [main, 'operator'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env.PATH },
    })
    const operator = stack.use(new Program(child))
    assert.deepEqual(await once(child, 'close'), [2, null])
    assert.match(operator.log, /operator needs the environment variable FIREBREAK_POD_NAMESPACE/)
  })
})

/** What is exported once everything has happened. */
async function countedOnce(): Promise<string> {
  const metrics = new Metrics()
  metrics.reconciled('c', 1)
  metrics.reconcileFailed('c')
  metrics.reviewed('/p', true, 1)
  metrics.reviewFailed('/p')
  metrics.pushed('t')
  metrics.answered('t', true)
  metrics.streamRejected()
  metrics.signalled('tampering', 'critical')
  return (await metrics.text()).body
}
