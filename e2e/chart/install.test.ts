import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'yaml'
import { keepServingCertificate } from '../../operator/certificates/serving.ts'
import { KubernetesClient } from '../../operator/kubernetes/client.ts'
import { approvalRequests } from '../../operator/kubernetes/objects.ts'
import { type Operator, startOperator } from '../../operator/operator.ts'
import { Informer } from '../../operator/watch/informer.ts'
import { World } from '../../operator/watch/world.ts'
import { provePod } from '../../operator/xds/authenticate.ts'
import { kubeConfigOf } from '../../test/api-server.ts'
import { approvalClient, encoded, heldCommand } from '../../test/approval-client.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import { type ControlPlane, startControlPlane, type User } from '../index.ts'
import { chart, Helm } from './helm.ts'
import { documentedRights, grantedRights, usedRights, withoutName } from './rights.ts'

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const page = readFileSync(file('../../docs/install.md'), 'utf8')
const namespace = 'firebreak-system'
const account = 'firebreak-operator'
const certificate = { namespace, name: 'firebreak-operator-certificate', hosts: ['127.0.0.1'] }

/** Rights that the API server asks for by itself while it does something else, and one that is used after 30 s. */
const notInTheAuditLog = [
  'create configmaps',
  'create mutatingwebhookconfigurations.admissionregistration.k8s.io',
  'create networkpolicies.networking.k8s.io',
  'create validatingwebhookconfigurations.admissionregistration.k8s.io',
  'delete configmaps',
  'update agentidentities.firebreak.dev/finalizers',
  'update protectedresources.firebreak.dev/finalizers',
]

describe('the chart, installed by helm', function () {
  this.timeout('5m')
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-chart-'))
  const auditLog = join(directory, 'audit.log')
  const stack = new AsyncDisposableStack()
  const logged: string[] = []
  let helm: Helm
  let cluster: ControlPlane
  let operatorAccount: User
  let operator: Operator

  const kubectl = (...args: string[]): Promise<string> => cluster.kubectl.run(args)
  const eventually = eventuallyWith(() => logged.join('\n'), 60)
  const agentPod = (name: string): string =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'agents', labels: { app: 'support-bot' } },
      spec: { containers: [{ name: 'agent', image: 'x' }] },
    })
  const install = ['firebreak', chart, '--namespace', namespace]

  before(async function () {
    this.timeout('45m')
    stack.defer(() => rmSync(directory, { recursive: true, force: true }))
    cluster = stack.use(
      await startControlPlane({
        controllers: ['namespace', 'serviceaccount', 'garbagecollector'],
        apiServer: {
          // what OpenShift has on: who makes somebody an owner needs rights on the owner
          'enable-admission-plugins': 'NodeRestriction,OwnerReferencesPermissionEnforcement',
          'audit-policy-file': file('audit-policy.yaml'),
          'audit-log-path': auditLog,
        },
      }),
    )
    helm = stack.use(await Helm.find(cluster.kubeconfig))
    await kubectl('create', 'namespace', namespace)
  })
  after(() => stack.disposeAsync())

  /** Another version of the chart, in which a CRD has no printer columns. */
  function olderChart(): string {
    const older = join(directory, 'older')
    cpSync(chart, older, { recursive: true })
    const crd = join(older, 'files/crds/agentidentity.yaml')
    const { spec, ...rest } = parse(readFileSync(crd, 'utf8')) as { spec: { versions: object[] } }
    const versions = spec.versions.map((version) => ({ ...version, additionalPrinterColumns: undefined }))
    writeFileSync(crd, stringify({ ...rest, spec: { ...spec, versions } }))
    return older
  }

  it('installs', async () => {
    const notes = await helm.run(['install', 'firebreak', olderChart(), '--namespace', namespace])
    assert.match(notes, /rollout status deployment\/firebreak-operator/)
    operatorAccount = await cluster.serviceAccount(namespace, account)
    await kubectl('wait', '--for=condition=Established', '--timeout=120s', 'crd', '--all')
  })

  it('gives the operator what it needs for all that it does', async () => {
    operator = await startOperator({
      kubeConfig: kubeConfigOf(operatorAccount),
      replica: 'one',
      user: operatorAccount.name,
      place: { namespace, podSelector: { matchLabels: { app: 'operator' } }, port: 18000 },
      clientAuthoritySecret: 'firebreak-operator-client-authority',
      certificate,
      webhooks: { host: '127.0.0.1', port: 0, outside: true },
      images: { enforcer: 'firebreak/enforcer:test', envoy: 'envoyproxy/envoy:test' },
      stream: { host: '127.0.0.1', port: 0 },
      control: `firebreak-operator.${namespace}.svc:18000`,
      probe: async () => [],
      log: {
        error: (fields, message) => logged.push(`${message} ${JSON.stringify(fields)}`),
        info: () => {},
      },
    })
    await kubectl('apply', '-f', file('agents.yaml'))
    await eventually(
      () => kubectl('get', 'namespace', 'agents', '--show-labels'),
      /firebreak\.dev\/agents=true/,
    )
    await eventually(() => kubectl('get', 'networkpolicies', '-A'), /^agents .*^data /ms)
    for (const kind of ['agentidentities', 'guardrailpolicies', 'protectedresources'])
      await eventually(
        () => kubectl('get', kind, '-n', 'agents', '-o', 'jsonpath={.items[*].status}'),
        /conditions/,
      )
    await eventually(() => kubectl('get', 'serviceaccounts', '-n', 'agents', '-o', 'name'), /default/)
    await cluster.kubectl.apply(agentPod('contained'))
    assert.match(
      await kubectl(
        'get',
        'pod',
        'contained',
        '-n',
        'agents',
        '-o',
        'jsonpath={.spec.initContainers[*].name}',
      ),
      /firebreak-rules/,
    )
    const entering = ['exec', '-n', 'agents', 'contained', '-c', 'agent', '--', 'sh']
    // there is no kubelet here: what is asked of it fails after admission
    assert.match((await cluster.kubectl.attempt(entering)).stderr, /does not have a host assigned/)
    await eventually(
      () => kubectl('get', 'configmaps', '-n', namespace, '-o', 'name'),
      /acknowledgements-one/,
    )
  })

  it('lets it prove whose token a sidecar shows', async () => {
    await using client = new KubernetesClient(kubeConfigOf(operatorAccount))
    const bound = ['--bound-object-kind=Pod', '--bound-object-name=contained']
    const args = ['create', 'token', 'default', '-n', 'agents', '--audience=firebreak-control', ...bound]
    const nothingSeenYet = { pods: { get: () => undefined } } as unknown as Parameters<typeof provePod>[2]
    const proof = await provePod((await kubectl(...args)).trim(), client, nothingSeenYet)
    assert.ok(proof.ok, proof.ok ? '' : proof.error)
    assert.equal(proof.value.agent, 'agents/support-bot')
  })

  it('lets it write what waits for people, and delete it when it was kept long enough', async () => {
    const bound = ['--bound-object-kind=Pod', '--bound-object-name=contained']
    const args = ['create', 'token', 'default', '-n', 'agents', '--audience=firebreak-control', ...bound]
    const { controlPort, controlCa } = operator
    const { client, options } = approvalClient(controlPort, controlCa, (await kubectl(...args)).trim())
    const requirements = [{ policy: 'agents/read-only', rule: 'asks', groups: ['dba'], quorum: 1 }]
    const spec = { resource: 'orders-db', role: 'reader', requirements }
    const request = heldCommand('DELETE FROM carts', spec)
    // it is there for two seconds: who only looks now and then may never see it
    await using api = new KubernetesClient(kubeConfigOf(cluster))
    using requests = new Informer(api, approvalRequests, { failed: (error) => logged.push(error.message) })
    await requests.synced
    const states: string[] = []
    requests.onChange((_key, now) => states.push(now ? (now.status?.state ?? '') : 'gone'))
    await client.ask({ request: encoded(request) }, options)
    const { name } = request.metadata
    assert.equal((await client.use({ name, claim: 'x' }, options)).used, false, 'nobody has approved')
    await eventually(() => states.join(' '), / Expired gone$/)
  })

  it('lets it renew its certificate', async () => {
    await using client = new KubernetesClient(kubeConfigOf(operatorAccount))
    const before = await keepServingCertificate(client, certificate)
    const renewed = await keepServingCertificate(client, certificate, Date.now() + 80 * 86_400_000)
    assert.equal(renewed.ca, before.ca)
    assert.notEqual(renewed.certificate, before.certificate)
  })

  it('lets it take back what it made elsewhere', async () => {
    const resource = ['protectedresource', 'orders-db', '-n', 'agents']
    const finalizers = await kubectl('get', ...resource, '-o', 'jsonpath={.metadata.finalizers}')
    assert.match(finalizers, /firebreak.dev\/network-policies/)
    await kubectl('delete', ...resource, '--timeout=120s')
    assert.equal(await kubectl('get', 'networkpolicies', '-n', 'data', '-o', 'name'), '')
    await kubectl('apply', '-f', file('agents.yaml'))
    await eventually(
      () => kubectl('get', ...resource, '-o', 'jsonpath={.metadata.finalizers}'),
      /firebreak\.dev/,
    )
    // an Event that counts: the resource was found a second time
    await eventually(
      () => kubectl('get', 'events.events.k8s.io', '-n', 'agents', '-o', 'jsonpath={.items[*].series}'),
      /count/,
    )
  })

  it('grants what the documentation says, and nothing else', async () => {
    const nobody = await cluster.serviceAccount('default', 'default')
    const granted = (where: string) => grantedRights(operatorAccount.kubectl, nobody.kubectl, where)
    assert.deepEqual([...(await granted('agents'))].sort(), [...documentedRights(page, ['cluster'])].sort())
    assert.deepEqual(
      [...(await granted(namespace))].sort(),
      [...documentedRights(page, ['cluster', 'namespace'])].sort(),
    )
  })

  it('grants nothing that the operator does not use, and forbids nothing that it tries', async () => {
    const { used, forbidden } = usedRights(readFileSync(auditLog, 'utf8'), operatorAccount.name)
    assert.deepEqual([...forbidden], [])
    const unused = [...documentedRights(page, ['cluster', 'namespace'])]
      .map(withoutName)
      .filter((right) => !used.has(right))
    assert.deepEqual([...new Set(unused)].sort(), notInTheAuditLog)
  })

  it('upgrades, and the CRDs with it', async () => {
    const columns = ['jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}']
    const crd = ['crd', 'agentidentities.firebreak.dev']
    assert.equal(await kubectl('get', ...crd, '-o', ...columns), '')
    await helm.run(['upgrade', ...install], { replicas: 3 })
    assert.match(await kubectl('get', ...crd, '-o', ...columns), /Age/)
    const replicas = await kubectl(
      'get',
      'deployment',
      account,
      '-n',
      namespace,
      '-o',
      'jsonpath={.spec.replicas}',
    )
    assert.equal(replicas, '3')
  })

  it('reads Secrets of no other namespaces than it is given', async () => {
    const mayWatch = async (where: string): Promise<string> =>
      (
        await operatorAccount.kubectl.attempt(['auth', 'can-i', 'watch', 'secrets', '-n', where])
      ).stdout.trim()
    assert.equal(await mayWatch('data'), 'yes')
    await helm.run(['upgrade', ...install], { secretNamespaces: ['agents'] })
    await eventually(() => mayWatch('data'), /^no$/)
    await eventually(() => mayWatch('agents'), /^yes$/)
    await using client = new KubernetesClient(kubeConfigOf(operatorAccount))
    using world = new World(client, (kind, error) => logged.push(`${kind}: ${error.message}`), ['agents'])
    await world.synced
    const username = (): string => world.secrets.get('agents/orders-reader')?.data?.username ?? 'none'
    assert.equal(username(), Buffer.from('reader').toString('base64'))
    const patch = JSON.stringify({ stringData: { username: 'another' } })
    await kubectl('patch', 'secret', 'orders-reader', '-n', 'agents', '-p', patch)
    await eventually(username, new RegExp(Buffer.from('another').toString('base64')))
    assert.deepEqual(
      [...world.secrets.list()].map(({ metadata }) => metadata.namespace),
      ['agents'],
    )
    await helm.run(['upgrade', ...install], { secretNamespaces: [] })
    await eventually(() => mayWatch('data'), /^yes$/)
  })

  it('leaves nothing in the way when it is uninstalled, and no policy is lost', async () => {
    const replica = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'replica', namespace, labels: operatorLabels },
    }
    const spec = { containers: [{ name: 'operator', image: 'x' }] }
    await cluster.kubectl.apply(JSON.stringify({ ...replica, spec }))
    const uninstalling = helm.run(['uninstall', 'firebreak', '--namespace', namespace])
    await Promise.all([uninstalling, stopWhenScaledDown(), runCleanupJob()])

    const webhooks = ['mutatingwebhookconfigurations,validatingwebhookconfigurations', '-o', 'name']
    assert.equal(await kubectl('get', ...webhooks), '')
    assert.equal(await kubectl('get', 'namespaces', '-l', 'firebreak.dev/agents', '-o', 'name'), '')
    const resource = ['protectedresource', 'orders-db', '-n', 'agents']
    assert.equal(await kubectl('get', ...resource, '-o', 'jsonpath={.metadata.finalizers}'), '')
    assert.match(await kubectl('get', 'networkpolicies', '-A', '-o', 'name'), /support-bot/)
    const left =
      'clusterroles,clusterrolebindings,deployments,jobs,roles,rolebindings,services,serviceaccounts'
    assert.doesNotMatch(await kubectl('get', left, '-n', namespace, '-o', 'name'), /firebreak/)
    await cluster.kubectl.apply(agentPod('after'))
  })

  it('installs again, with the policies of before', async () => {
    await helm.run(['install', ...install])
    assert.match(await kubectl('get', 'guardrailpolicies', '-n', 'agents', '-o', 'name'), /read-only/)
  })

  const operatorLabels = {
    'app.kubernetes.io/name': 'firebreak-operator',
    'app.kubernetes.io/instance': 'firebreak',
  }

  /** What the controllers and the kubelet do on a cluster with nodes. */
  async function stopWhenScaledDown(): Promise<void> {
    const replicas = ['deployment', account, '-n', namespace, '-o', 'jsonpath={.spec.replicas}']
    await eventually(() => kubectl('get', ...replicas), /^0$/)
    await operator[Symbol.asyncDispose]()
    await kubectl('delete', 'pod', 'replica', '-n', namespace, '--grace-period=0', '--force')
  }

  async function runCleanupJob(): Promise<void> {
    const job = ['job', `${account}-cleanup`, '-n', namespace]
    await eventually(async () => String((await cluster.kubectl.attempt(['get', ...job])).status), /^0$/)
    const template = '{.spec.template.spec.serviceAccountName} {.spec.template.spec.containers[0].args}'
    const described = await kubectl('get', ...job, '-o', `jsonpath=${template}`)
    const [, name = '', args = '[]'] = /^(\S+) (.*)$/.exec(described) ?? []
    const { kubeconfig } = await cluster.serviceAccount(namespace, name)
    const child = spawn(process.execPath, [file('../../cli/main.ts'), ...(JSON.parse(args) as string[])], {
      env: { PATH: process.env.PATH, HOME: directory, KUBECONFIG: kubeconfig },
    })
    const [said, status] = await Promise.all([
      text(child.stderr),
      new Promise((resolve) => child.once('close', resolve)),
    ])
    assert.equal(status, 0, said)
    const now = new Date().toISOString()
    const condition = (type: string) => ({ type, status: 'True', lastTransitionTime: now })
    const done = {
      startTime: now,
      completionTime: now,
      succeeded: 1,
      conditions: [condition('SuccessCriteriaMet'), condition('Complete')],
    }
    await kubectl(
      'patch',
      ...job,
      '--subresource=status',
      '--type=merge',
      '-p',
      JSON.stringify({ status: done }),
    )
  }
})
