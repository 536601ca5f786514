import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeOnCluster } from '../suite.ts'
import { chart, Helm } from './helm.ts'
import { imageValues, productImages } from './images.ts'

const agents = fileURLToPath(new URL('agents.yaml', import.meta.url))
const namespace = 'firebreak-system'
const release = ['firebreak', chart, '--namespace', namespace]

describeOnCluster('the chart, on a cluster with nodes', (cluster) => {
  let helm: Helm
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-chart-'))
  const kubectl = (...args: string[]): Promise<string> => cluster().kubectl.run(args)

  before(async function () {
    this.timeout('10m')
    const images = await productImages(directory)
    for (const archive of Object.values(images)) await cluster().loadImage(archive)
    helm = await Helm.find(cluster().kubeconfig)
    await kubectl('create', 'namespace', namespace)
    await kubectl('label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted')
  })
  after(async function () {
    this.timeout('3m')
    helm?.[Symbol.dispose]()
    rmSync(directory, { recursive: true, force: true })
    const made = ['agents', 'data', namespace]
    await kubectl('delete', 'namespace', ...made, '--ignore-not-found', '--wait=false')
    await kubectl('delete', 'crd', '--ignore-not-found', ...kinds.map((kind) => `${kind}.firebreak.dev`))
  })
  const kinds = ['agentidentities', 'approvalrequests', 'guardrailpolicies', 'protectedresources']

  /** The addresses behind the API server's Service, and no others. */
  async function apiServer(): Promise<{ cidrs: string[]; ports: number[] }> {
    const selector = ['-n', 'default', '-l', 'kubernetes.io/service-name=kubernetes', '-o', 'json']
    const { items } = JSON.parse(await kubectl('get', 'endpointslices', ...selector)) as {
      items: { endpoints: { addresses: string[] }[]; ports: { port: number }[] }[]
    }
    const addresses = items.flatMap(({ endpoints }) => endpoints.flatMap((endpoint) => endpoint.addresses))
    return {
      cidrs: addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
      ports: items.flatMap(({ ports }) => ports.map(({ port }) => port)),
    }
  }

  it('brings up two replicas, one of which leads', async () => {
    await helm.run(['install', ...release], {
      images: imageValues,
      networkPolicy: { apiServer: await apiServer() },
    })
    const status = ['status', 'deployment/firebreak-operator', '-n', namespace, '--timeout=150s']
    const { stderr, status: code } = await cluster().kubectl.attempt(['rollout', ...status])
    if (code !== 0) {
      const pods = await kubectl('describe', 'pods', '-n', namespace)
      const logs = await cluster().kubectl.attempt(['logs', '-n', namespace, 'deployment/firebreak-operator'])
      assert.fail(`${stderr}\n${pods}\n${logs.stdout}${logs.stderr}`)
    }
    const lease = await kubectl(
      'get',
      'lease',
      'firebreak-operator',
      '-n',
      namespace,
      '-o',
      'jsonpath={.spec.holderIdentity}',
    )
    assert.match(lease, /^firebreak-operator-/)
  }).timeout('3m')

  it('has pods of agents injected, by way of its Service and through its own NetworkPolicy', async () => {
    await kubectl('apply', '-f', agents)
    const until = Date.now() + 60_000
    while (
      !(await kubectl('get', 'namespace', 'agents', '--show-labels')).includes('firebreak.dev/agents=true')
    )
      assert.ok(Date.now() < until, 'the namespace has no label')
    await kubectl('run', 'agent', '-n', 'agents', '--image=x', '--labels=app=support-bot', '--restart=Never')
    const injected = await kubectl(
      'get',
      'pod',
      'agent',
      '-n',
      'agents',
      '-o',
      'jsonpath={.spec.initContainers[*].name}',
    )
    assert.match(injected, /firebreak-rules firebreak-enforcer firebreak-envoy/)
  }).timeout('2m')

  it('contains them, and configures their sidecars over the stream', async () => {
    const state = (index: number, path: string): string =>
      `--for=jsonpath={.status.initContainerStatuses[${index}].${path}}`
    const wait = async (condition: string): Promise<void> => {
      const { status, stderr } = await cluster().kubectl.attempt([
        ...['wait', 'pod/agent', '-n', 'agents', '--timeout=60s', condition],
      ])
      if (status === 0) return
      const logs = ['logs', 'agent', '-n', 'agents', '--all-containers', '--prefix', '--tail=20']
      assert.fail(`${stderr}${(await cluster().kubectl.attempt(logs)).stdout}`)
    }
    await wait(`${state(0, 'state.terminated.exitCode')}=0`)
    // its startup probe asks whether a configuration is in force
    await wait(`${state(1, 'started')}=true`)
  }).timeout('3m')

  it('is uninstalled by its own Job, and leaves nothing in the way', async () => {
    await helm.run(['uninstall', 'firebreak', '--namespace', namespace])
    assert.equal(await kubectl('get', 'mutatingwebhookconfigurations', 'firebreak', '--ignore-not-found'), '')
    assert.equal(
      await kubectl('get', 'validatingwebhookconfigurations', 'firebreak', '--ignore-not-found'),
      '',
    )
    assert.equal(await kubectl('get', 'namespaces', '-l', 'firebreak.dev/agents', '-o', 'name'), '')
    assert.equal(await kubectl('get', 'jobs', '-n', namespace, '-o', 'name'), '')
    await kubectl('run', 'later', '-n', 'agents', '--image=x', '--labels=app=support-bot', '--restart=Never')
  }).timeout('5m')
})
