/** kubectl's usual verbs, and informers for many kinds, from within an agent's pod by the kubeconfig that it is given. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { CertificateAuthority } from '../../operator/certificates/authority.ts'
import type { Output } from '../cluster/command.ts'
import { toolsImage } from '../cluster/images/standard.ts'
import type { AgentPod } from './agent-pod.ts'
import { Deployer } from './deployer.ts'
import type { Product } from './product.ts'
import { describeWithProduct } from './suite.ts'

interface Typed {
  readonly name: string
  readonly run: string
  readonly prints: readonly string[]
  readonly status?: number
  readonly really?: readonly [object: string, jsonPath: string, value: string]
}

const fileOf = (name: string): string =>
  readFileSync(new URL(`kubectl-verbs/${name}`, import.meta.url), 'utf8').replaceAll('IMAGE', toolsImage)
const typed = parse(fileOf('commands.yaml')) as readonly Typed[]
/** In the agent's directory. */
const files = ['shop.yaml', 'note.yaml', 'editor.sh'] as const
/** That are watched at once. */
const kinds =
  'deployments.v1.apps replicasets.v1.apps pods.v1. services.v1. configmaps.v1. events.v1. endpointslices.v1.discovery.k8s.io widgets.v1.lab.example'

const declared = ['policy.yaml', 'rights.yaml', 'widgets.yaml'] as const
const clusterWide = ['rights.yaml', 'widgets.yaml'] as const
const metricsApi = ['apiservice', 'v1beta1.metrics.k8s.io', '--ignore-not-found'] as const

/** As metrics-server would, where the cluster has none. */
class Metrics implements AsyncDisposable {
  readonly #product: Product

  static async serve(product: Product): Promise<Metrics | undefined> {
    if ((await product.kubectl('get', ...metricsApi)) !== '') return undefined
    const authority = await CertificateAuthority.create('metrics')
    const { certificate, key } = await authority.server({ name: 'metrics' }, ['metrics.metrics.svc'])
    await product.kubectl('create', 'namespace', 'metrics')
    await product.secret('metrics', 'certificate', { 'tls.crt': certificate, 'tls.key': key })
    const program = `--from-literal=metrics.py=${fileOf('metrics.py')}`
    await product.kubectl('create', 'configmap', 'program', '-n', 'metrics', program)
    const bundle = Buffer.from(authority.certificate).toString('base64')
    await product.cluster.kubectl.apply(fileOf('metrics.yaml').replace('CA\n', `${bundle}\n`))
    const available = ['--for=condition=Available', '--timeout=180s']
    await product.kubectl('wait', 'apiservice/v1beta1.metrics.k8s.io', ...available)
    return new Metrics(product)
  }

  constructor(product: Product) {
    this.#product = product
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // while nobody serves it, clients that ask what there is are told of an error
    await this.#product.kubectl('delete', ...metricsApi)
    await remove(this.#product, 'metrics.yaml')
    await this.#product.kubectl('delete', 'namespace', 'metrics', '--ignore-not-found')
  }
}

async function remove(product: Product, name: string): Promise<void> {
  await product.cluster.kubectl.attempt(['delete', '-f', '-', '--ignore-not-found'], { input: fileOf(name) })
}

describeWithProduct("kubectl's verbs in a pod of an agent", (product) => {
  let deployer: Deployer
  let agent: AgentPod
  let metrics: Metrics | undefined

  const inPod = (script: string): Promise<Output> =>
    agent.run(['timeout', '170', 'sh', '-c', `cd /tmp/work; ${script}`])

  before(async function () {
    this.timeout('15m')
    const { kubectl } = product().cluster
    // what a process left behind that was killed; on a cluster of one's own it may be in use
    if (product().cluster.machinery) await new Metrics(product())[Symbol.asyncDispose]()
    deployer = await Deployer.deploy(product())
    for (const name of declared) await kubectl.apply(fileOf(name))
    metrics = await Metrics.serve(product())
    await product().kubectl(
      'wait',
      'crd/widgets.lab.example',
      '--for=condition=Established',
      '--timeout=120s',
    )
    await product().inForce(deployer.namespace, 'agentidentity/operator', 'protectedresource/lab')
    agent = await deployer.startAgent('operator', { labels: { app: 'operator' } })
    for (const name of files)
      await agent.run(['sh', '-c', `mkdir -p /tmp/work && cat > /tmp/work/${name}`], { input: fileOf(name) })
  })
  after(async function () {
    this.timeout('10m')
    await metrics?.[Symbol.asyncDispose]()
    await deployer?.[Symbol.asyncDispose]()
    for (const name of clusterWide) await remove(product(), name)
  })

  for (const { name, run, prints, status = 0, really } of typed)
    it(name, async () => {
      const output = await inPod(run)
      const said = output.stdout + output.stderr
      assert.equal(output.status, status, said)
      for (const expected of prints) assert.match(said, new RegExp(expected, 'm'))
      if (really === undefined) return
      const [object, jsonPath, value] = really
      assert.equal(await product().kubectl('get', object, '-n', 'shop', '-o', `jsonpath=${jsonPath}`), value)
    }).timeout('3m')

  it('are there for informers for many kinds at once, which list again what no server remembers', async () => {
    const { status, stdout } = await inPod(`informer shop ${kinds} > informed & trap "kill $!" EXIT
      until grep -q ^synced informed; do sleep 0.1; done
      kubectl -n shop label deployment/web configmap/settings widget/gears seen=it > /dev/null
      for kind in deployments configmaps widgets
      do until grep -q "^updated $kind .* it" informed; do sleep 0.1; done; done
      until [ "$(grep -c '^watches widgets' informed)" = 2 ]; do sleep 0.1; done
      cat informed`)
    assert.equal(status, 0, stdout)
    assert.match(stdout, /^added events /m)
    assert.match(stdout, /^updated configmaps settings it \*{8}$/m)
    const ofWidgets = stdout.match(/^(lists|watches) widgets$/gm)
    assert.deepEqual(ofWidgets, ['lists widgets', 'watches widgets', 'lists widgets', 'watches widgets'])
  }).timeout('3m')

  it('are there for informers that are told by a bookmark that they have all there is', async () => {
    const { status, stdout } =
      await inPod(`KUBE_FEATURE_WatchListClient=true informer shop ${kinds} > streamed & trap "kill $!" EXIT
      until grep -q ^synced streamed; do sleep 0.1; done
      until grep -q '^added widgets' streamed; do sleep 0.1; done
      cat streamed`)
    assert.equal(status, 0, stdout)
    assert.match(stdout, /^streams widgets$/m)
    assert.match(stdout, /^added configmaps settings it \*{8}$/m)
    assert.doesNotMatch(stdout, /^lists /m)
  }).timeout('3m')
})
