import assert from 'node:assert/strict'
import type { ControlPlane } from '../e2e/index.ts'
import { startApiServer } from '../test/api-server.ts'
import { eventuallyWith } from '../test/eventually.ts'
import { makeInjectedPod } from '../test/injected-pod.ts'
import { Service } from '../test/service.ts'
import { SidecarProcess } from '../test/sidecar-process.ts'
import { freePort } from '../tools/postgres.ts'
import { ReplicaProcess } from './testdata/replica-process.ts'

/** The API server comes to this machine for the Service, at the port that the webhooks say. */
const service = `apiVersion: v1
kind: Service
metadata: {name: firebreak-operator, namespace: firebreak-system}
spec: {type: ExternalName, externalName: localhost}
`

const manifests = `apiVersion: v1
kind: ServiceAccount
metadata: {name: bot, namespace: agents}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-agent, namespace: agents}
stringData: {username: u, password: p}
---
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop, namespace: agents}
spec:
  type: postgresql
  address: 127.0.0.1:1
  tls: {mode: disable}
  roles: [{name: agent, credential: {secret: {name: shop-agent}}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: support-bot, namespace: agents}
spec:
  workload: {podSelector: {matchLabels: {app: support-bot}}}
  access: [{resource: shop, roles: [agent]}]
`

const policy = (action: string): string => `apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: guard, namespace: agents}
spec: {rules: [{name: only, match: {actions: ["${action}"]}, effect: allow}]}
`

describe('two replicas of the operator', function () {
  this.timeout('8m')
  const stack = new AsyncDisposableStack()
  const replicas = new Map<string, ReplicaProcess>()
  const webhookPorts = new Map<string, number>()
  const sidecars: SidecarProcess[] = []
  let cluster: ControlPlane
  let webhooks: Service
  let control: Service
  let startReplica: (name: string) => Promise<void>
  const pods = ['bot-1', 'bot-2']

  const eventually = eventuallyWith(
    () => [...replicas.values(), ...sidecars].map(({ log }) => log).join('\n----\n'),
    60,
  )
  const kubectl = (...words: string[]): Promise<string> => cluster.kubectl.run(words)
  const holder = (): Promise<string> =>
    kubectl(
      ...['get', 'lease', 'firebreak-operator', '-n', 'firebreak-system'],
      ...['-o', 'jsonpath={.spec.holderIdentity}'],
    )
  const inForce = (): Promise<string> =>
    kubectl(
      ...['get', 'agentidentity', 'support-bot', '-n', 'agents'],
      ...['-o', 'jsonpath={.status.revision} {.status.containedPods}/{.status.pods}'],
    )
  const pod = (name: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'agents', labels: { app: 'support-bot' } },
    spec: { serviceAccountName: 'bot', containers: [{ name: 'agent', image: 'x' }] },
  })
  /** No longer ready, as Kubernetes notices: before a replica is stopped, and some time after it was killed. */
  const leaves = (name: string): void => {
    webhooks.endpoints.delete(webhookPorts.get(name) ?? 0)
    control.endpoints.delete(replicas.get(name)?.controlPort ?? 0)
  }
  /** Has pods admitted, one after the other. @returns what to call for the answers. */
  const admitting = (): (() => Promise<readonly string[]>) => {
    let going = true
    const answers: string[] = []
    const done = (async () => {
      while (going) {
        const { status, stdout, stderr } = await cluster.kubectl.attempt(
          ['create', '--dry-run=server', '-o', 'jsonpath={.spec.initContainers[*].name}', '-f', '-'],
          { input: JSON.stringify(pod('tried')) },
        )
        answers.push(status === 0 ? stdout : stderr)
      }
    })()
    return async () => {
      going = false
      await done
      return answers
    }
  }
  const onlyInjected = (answers: readonly string[]): void => {
    assert.ok(answers.length > 3, `${answers.length} answers`)
    assert.deepEqual(
      answers.filter((answer) => !answer.startsWith('firebreak-enforcer firebreak-envoy firebreak-rules')),
      [],
    )
  }

  before(async function () {
    this.timeout('45m')
    // to a Service's address, and not to its endpoints
    const flags = { 'enable-aggregator-routing': 'false' }
    cluster = stack.use(await startApiServer(['namespace', 'garbagecollector'], flags)).cluster
    webhooks = stack.use(await Service.open())
    control = stack.use(await Service.open())
    for (const namespace of ['firebreak-system', 'agents']) await kubectl('create', 'namespace', namespace)
    await cluster.kubectl.apply(service)
    const user = await cluster.user({ name: 'firebreak-operator', groups: ['system:masters'] })
    startReplica = async (name) => {
      const port = await freePort()
      const replica = stack.use(
        await ReplicaProcess.start({
          kubeconfig: user.kubeconfig,
          user: user.name,
          replica: name,
          controlPort: 0,
          webhooks: { port, servicePort: webhooks.port },
        }),
      )
      replicas.set(name, replica)
      webhookPorts.set(name, port)
      webhooks.endpoints.add(port)
      control.endpoints.add(replica.controlPort)
    }
    for (const name of ['one', 'two']) await startReplica(name)
    await eventually(() => kubectl('get', 'validatingwebhookconfigurations', '-o', 'name'), /firebreak/)
    await cluster.kubectl.apply(manifests)
    await cluster.kubectl.apply(policy('sql:select'))
    await eventually(
      () => kubectl('get', 'namespace', 'agents', '--show-labels'),
      /firebreak\.dev\/agents=true/,
    )
    for (const name of pods) {
      await makeInjectedPod(cluster.kubectl, eventually, pod(name))
      const uid = await kubectl('get', 'pod', name, '-n', 'agents', '-o', 'jsonpath={.metadata.uid}')
      const token = await kubectl(
        ...['create', 'token', 'bot', '-n', 'agents', '--audience=firebreak-control'],
        ...['--bound-object-kind=Pod', `--bound-object-name=${name}`, `--bound-object-uid=${uid}`],
      )
      const sidecar = await SidecarProcess.start({
        control: `127.0.0.1:${control.port}`,
        ca: replicas.get('one')?.controlCa ?? '',
        token: token.trim(),
        pod: { namespace: 'agents', name, uid },
        listen: ['shop'],
      })
      sidecars.push(stack.use(sidecar))
    }
  })
  after(() => stack.disposeAsync())

  it('serve the sidecars together, and one of them reconciles', async () => {
    await eventually(inForce, / 2\/2$/)
    assert.match(await holder(), /^(one|two)$/)
    for (const { log } of replicas.values()) assert.match(log, /a sidecar is connected/)
  })

  it('go on when the leader is killed: pods are admitted, sidecars get the next policy, the status is complete', async () => {
    const leader = await holder()
    const before = await inForce()
    await replicas.get(leader)?.end('SIGKILL')
    const answers = admitting()
    await cluster.kubectl.apply(policy('sql:insert'))
    await eventually(holder, leader === 'one' ? /^two$/ : /^one$/)
    leaves(leader)
    replicas.delete(leader)
    const after = await eventually(inForce, new RegExp(`^(?!${before.split(' ')[0]}).* 2/2$`))
    assert.notEqual(after, before)
    onlyInjected(await answers())
  })

  it('hand over at once when the leader is stopped, and nobody notices', async () => {
    const leader = await holder()
    await startReplica('three')
    const answers = admitting()
    await cluster.kubectl.apply(policy('sql:update'))
    const before = await eventually(inForce, / 2\/2$/)
    leaves(leader)
    await replicas.get(leader)?.end('SIGTERM')
    // it doesn't lapse: it is given up
    assert.notEqual(await holder(), leader)
    await eventually(holder, /^three$/)
    replicas.delete(leader)
    await cluster.kubectl.apply(policy('sql:delete'))
    await eventually(inForce, new RegExp(`^(?!${before.split(' ')[0]}).* 2/2$`))
    onlyInjected(await answers())
  })

  it('end in the time that the kubelet gives them, though the API server answers nothing', async () => {
    const leader = replicas.get(await holder())
    cluster.apiServer.signal('SIGSTOP')
    const startedAt = performance.now()
    assert.equal(await leader?.end('SIGTERM'), 0)
    const milliseconds = performance.now() - startedAt
    // 30 s, of which it still serves for 5
    assert.ok(milliseconds < 25_000, `${milliseconds} ms\n${leader?.log}`)
  })
})
