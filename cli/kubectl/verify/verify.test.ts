/** What verify does where nothing can run: a real API server, without nodes. With nodes it is tried in e2e/product. */
import assert from 'node:assert/strict'
import { ApprovalCluster, namespace } from '../../../test/approval-cluster.ts'
import { KubectlPlugin, type Said } from '../../../test/kubectl-plugin.ts'
import { labelsFor, probePod } from './manifests.ts'

describe('kubectl firebreak verify, without nodes', function () {
  this.timeout(600_000)
  let cluster: ApprovalCluster
  let plugin: KubectlPlugin
  const admin = async (): Promise<string> =>
    (await cluster.cluster.user({ name: 'admin', groups: ['system:masters'] })).kubeconfig
  const verify = async (...words: string[]): Promise<Said> =>
    plugin.run(await admin(), ['firebreak', 'verify', '-n', namespace, ...words])
  const left = (): Promise<string> =>
    cluster.kubectl('get', 'pods', '-n', namespace, '-l', 'firebreak.dev/verify', '-o', 'name')

  before(async function () {
    this.timeout('45m')
    cluster = await ApprovalCluster.start(1)
    plugin = new KubectlPlugin(cluster.cluster.kubectl.program)
  })
  after(async () => {
    plugin?.[Symbol.dispose]()
    await cluster?.[Symbol.asyncDispose]()
  })

  it('says so when a pod does not start in time, and leaves none', async () => {
    const { status, out, err } = await verify('--timeout', '1s', '-o', 'json')
    assert.equal(status, 1, err)
    const { proven, checks } = JSON.parse(out)
    assert.equal(proven, false)
    assert.deepEqual(
      checks.map(({ check, outcome }: { check: string; outcome: string }) => [check, outcome]),
      [['Ingress', 'unknown']],
    )
    assert.match(checks[0].message, /firebreak-verify-\w+-greeter does not start/)
    assert.equal(await left(), '')
    const conditions = [
      'get',
      'protectedresource',
      'shop',
      '-n',
      namespace,
      '-o',
      'jsonpath={.status.conditions}',
    ]
    assert.match(
      await cluster.kubectl(...conditions),
      /"reason":"NotProven","status":"Unknown","type":"Verified"/,
    )
  })

  it('proves nothing where there are no agents', async () => {
    const { status, out } = await plugin.run(await admin(), ['firebreak', 'verify', '-n', 'default'])
    assert.deepEqual([status, out], [1, 'There are no agents: nothing is proven.\n'])
  })

  it('says who may not make pods', async () => {
    const { kubeconfig } = await cluster.cluster.user({ name: 'reader' })
    const role = ['create', 'role', 'reads', '-n', namespace, '--verb=list']
    await cluster.kubectl(
      ...role,
      '--resource=agentidentities.firebreak.dev,protectedresources.firebreak.dev',
    )
    await cluster.kubectl('create', 'rolebinding', 'reads', '-n', namespace, '--role=reads', '--user=reader')
    const { status, out, err } = await plugin.run(kubeconfig, ['firebreak', 'verify', '-n', namespace])
    assert.equal(status, 1)
    assert.match(out, /✗ its pods get their sidecars +pods is forbidden: User "reader" cannot create/)
    assert.match(err, /not noted on agents\/shop: .*forbidden/)
  })

  it('makes pods that the strictest Pod Security lets pass', async () => {
    await cluster.kubectl('create', 'namespace', 'strict')
    await cluster.kubectl('label', 'namespace', 'strict', 'pod-security.kubernetes.io/enforce=restricted')
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x', uid: 'x' } }
    const description = { namespace: 'strict', name: 'probe', run: 'a', owner, image: 'x', args: [] }
    const manifest = { apiVersion: 'v1', kind: 'Pod', ...probePod(description) }
    const apply = ['create', '--dry-run=server', '-f', '-']
    await cluster.cluster.kubectl.run(apply, { input: JSON.stringify(manifest) })
  })

  it('says so when pods of agents get no sidecars', async () => {
    const configuration = ['mutatingwebhookconfiguration', 'firebreak']
    const { webhooks } = JSON.parse(await cluster.kubectl('get', ...configuration, '-o', 'json')) as {
      webhooks: { name: string }[]
    }
    const index = webhooks.findIndex(({ name }) => name === 'inject.firebreak.dev')
    const path = `/webhooks/${index}/objectSelector`
    const patch = [{ op: 'replace', path, value: { matchLabels: { no: 'pod' } } }]
    await cluster.kubectl('patch', ...configuration, '--type=json', '-p', JSON.stringify(patch))
    const { status, out } = await verify()
    assert.equal(status, 1)
    assert.match(out, /^AgentIdentity agents\/support-bot\n {2}✗ its pods get their sidecars /m)
    assert.match(out, /\? the network plugin keeps out .*no pod of an agent gets a sidecar/)
    assert.equal(await left(), '')
  })

  it('finds labels by which a selector selects', () => {
    assert.deepEqual(
      labelsFor({
        matchLabels: { app: 'bot' },
        matchExpressions: [
          { key: 'tier', operator: 'In', values: ['a', 'b'] },
          { key: 'team', operator: 'Exists' },
          { key: 'old', operator: 'DoesNotExist' },
          { key: 'zone', operator: 'NotIn', values: ['x'] },
        ],
      }),
      { app: 'bot', tier: 'a', team: 'firebreak-verify' },
    )
  })
})
