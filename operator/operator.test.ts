import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import type { ControlPlane, User } from '../e2e/index.ts'
import { kubeConfigOf, startApiServer } from '../test/api-server.ts'
import { eventuallyWith } from '../test/eventually.ts'
import { layout } from './injection/layout.ts'
import { startOperator } from './operator.ts'

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const attempts = parse(readFileSync(file('../attacks/admission.yaml'), 'utf8')) as Record<
  'attacks' | 'benign',
  readonly Attempt[]
>

interface Attempt {
  readonly name: string
  readonly pod?: { readonly metadata?: { readonly labels?: object }; readonly spec?: object }
  readonly object?: { readonly metadata: object }
  readonly kubectl?: readonly string[]
  /** The service account of the agent's pods instead of the developer. */
  readonly byAgent?: boolean
  readonly says?: string
  /** What kubectl shows of something that is let pass. */
  readonly warns?: string
}

const manifests = `apiVersion: v1
kind: Namespace
metadata: {name: agents}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: developer, namespace: agents}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: everything-but-enter}
subjects: [{kind: User, name: developer}, {kind: ServiceAccount, name: default, namespace: agents}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: everything-but-enter}
rules:
  - {apiGroups: ["*"], resources: ["*"], verbs: [get, list, watch, create, update, patch, delete, deletecollection]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: developer-namespaces}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: everything-but-enter}
subjects: [{kind: User, name: developer}]
---
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: orders-db, namespace: agents}
spec:
  type: postgresql
  address: orders-db.data.svc:5432
  tls: {mode: disable}
  roles: [{name: reader, credential: {secret: {name: orders-reader}}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: support-bot, namespace: agents}
spec:
  workload: {podSelector: {matchLabels: {app: support-bot}}}
  access: [{resource: orders-db, roles: [reader]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: valid, namespace: agents}
spec:
  rules: [{name: no-drop, match: {actions: ["sql:drop"]}, effect: deny}]
`

describe('the operator on a real API server', function () {
  this.timeout('4m')
  let cluster: ControlPlane
  let developer: User
  let agent: User
  const logged: string[] = []
  const stack = new AsyncDisposableStack()
  let pods = 0

  const pod = (name: string, { metadata = {}, spec = {} }: NonNullable<Attempt['pod']> = {}): string =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { labels: { app: 'support-bot' }, ...metadata, name, namespace: 'agents' },
      spec: { containers: [{ name: 'agent', image: 'x' }], ...spec },
    })
  const attempt = async (what: Attempt): Promise<{ status: number | null; said: string }> => {
    const { kubectl } = what.byAgent ? agent : developer
    const { status, stdout, stderr } = what.kubectl
      ? await kubectl.attempt(['-n', 'agents', ...what.kubectl])
      : await kubectl.attempt(['apply', '-n', 'agents', '-f', '-'], {
          input: what.object ? JSON.stringify(what.object) : pod(`attempt-${++pods}`, what.pod),
        })
    return { status, said: stdout + stderr }
  }

  before(async function () {
    this.timeout('45m')
    const api = stack.use(await startApiServer(['namespace', 'serviceaccount', 'garbagecollector']))
    cluster = api.cluster
    await cluster.kubectl.run(['create', 'namespace', 'firebreak-system'])
    developer = await cluster.user({ name: 'developer' })
    const operator = await cluster.user({ name: 'firebreak-operator', groups: ['system:masters'] })
    stack.use(
      await startOperator({
        kubeConfig: kubeConfigOf(operator),
        replica: 'one',
        user: operator.name,
        place: {
          namespace: 'firebreak-system',
          podSelector: { matchLabels: { app: 'operator' } },
          port: 18000,
        },
        certificate: { namespace: 'firebreak-system', name: 'firebreak-operator', hosts: ['127.0.0.1'] },
        webhooks: { host: '127.0.0.1', port: 0, outside: true },
        images: { enforcer: 'firebreak/sidecar:test', envoy: 'envoyproxy/envoy:test' },
        stream: { host: '127.0.0.1', port: 0 },
        control: 'firebreak-operator.firebreak-system.svc:18000',
        probe: async () => [],
        log: {
          error: (fields, message) => logged.push(`${message} ${JSON.stringify(fields)}`),
          info: () => {},
        },
      }),
    )
    await cluster.kubectl.run(['apply', '-f', '-'], { input: manifests })
    const eventually = eventuallyWith(() => logged.join('\n'), 60)
    await eventually(
      () => cluster.kubectl.run(['get', 'namespace', 'agents', '--show-labels']),
      /firebreak\.dev\/agents=true/,
    )
    await eventually(
      () => cluster.kubectl.run(['get', 'networkpolicy', '-n', 'agents', '-o', 'name']),
      /support-bot/,
    )
    agent = await cluster.serviceAccount('agents', 'default')
    for (const name of ['running', 'starting', 'disposable'])
      await cluster.kubectl.run(['apply', '-f', '-'], { input: pod(name) })
    const rules = { name: layout.rulesContainer, image: 'x', imageID: 'x', ready: true, restartCount: 0 }
    const initContainerStatuses = [{ ...rules, state: { terminated: { exitCode: 0 } } }]
    const running = JSON.stringify({ status: { phase: 'Running', initContainerStatuses } })
    const status = ['--subresource=status', '--type=merge', '-p', running]
    await cluster.kubectl.run(['patch', 'pod', 'running', '-n', 'agents', ...status])
    await cluster.kubectl.run(['apply', '-f', '-'], {
      input: pod('bystander', { metadata: { labels: { app: 'other' } } }),
    })
  })
  after(() => stack.disposeAsync())

  it('injects the pods of an agent, and no others', async () => {
    const containers = async (name: string): Promise<string> =>
      await cluster.kubectl.run([
        'get',
        'pod',
        name,
        '-n',
        'agents',
        '-o',
        'jsonpath={.spec.initContainers[*].name} {.metadata.labels.firebreak\\.dev/agent}',
      ])
    assert.equal(
      await containers('running'),
      'firebreak-enforcer firebreak-envoy firebreak-rules support-bot',
    )
    assert.equal(await containers('bystander'), ' ')
  })

  for (const what of attempts.attacks) {
    it(`refuses ${what.name}`, async () => {
      const { status, said } = await attempt(what)
      assert.notEqual(status, 0, said)
      assert.ok(said.includes(what.says ?? ''), said)
    })
  }
  for (const what of attempts.benign) {
    it(`lets pass ${what.name}`, async () => {
      const { status, said } = await attempt(what)
      assert.equal(status, 0, said)
      if (what.warns === undefined) assert.doesNotMatch(said, /Warning: spec/)
      else assert.ok(said.includes(`Warning: ${what.warns}`), said)
    })
  }

  it('lets enter whom RBAC lets', async () => {
    // there is no kubelet here: what is asked of it fails after admission
    const { stderr } = await cluster.kubectl.attempt([
      'exec',
      '-n',
      'agents',
      'running',
      '-c',
      'agent',
      '--',
      'sh',
    ])
    assert.match(stderr, /does not have a host assigned/)
  })

  it('logged no failure', () => {
    assert.deepEqual(logged, [])
  })
})
