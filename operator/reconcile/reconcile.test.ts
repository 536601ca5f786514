import assert from 'node:assert/strict'
import type { ControlPlane } from '../../e2e/index.ts'
import { startApiServer } from '../../test/api-server.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import { NamespaceCompiler } from '../compile/namespace.ts'
import { World } from '../watch/world.ts'
import { EventRecorder } from './event-recorder.ts'
import { reconcileAll } from './run.ts'

const agents = `apiVersion: v1
kind: Namespace
metadata: {name: agents}
---
apiVersion: v1
kind: Namespace
metadata: {name: data, labels: {tier: data}, annotations: {firebreak.dev/resources-from: "agents, others"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: elsewhere, labels: {tier: data}}
---
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: orders-db, namespace: agents}
spec:
  type: postgresql
  address: orders-db.data.svc:5432
  tls: {mode: disable}
  roles: [{name: reader, credential: {secret: {name: orders-reader}}}]
  workload:
    podSelector: {matchLabels: {app: orders-db}}
    namespaceSelector: {matchLabels: {tier: data}}
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
metadata: {name: guard, namespace: agents}
spec:
  rules:
    - {name: read, match: {actions: ["sql:select"], condition: "command.sql.restricted"}, effect: allow}
`

describe('the reconcilers on a real API server', function () {
  this.timeout('4m')
  let cluster: ControlPlane
  const stop = new AbortController()
  const stack = new AsyncDisposableStack()
  /** Of the sidecars, by the pod's uid. */
  const acknowledged = new Map<string, { revision?: string; refusal?: string }>()
  let acknowledgement: (key: string) => void = () => {}
  const failures: string[] = []

  const get = async (what: string, path: string): Promise<string> =>
    (await cluster.kubectl.attempt(['get', '-n', 'agents', ...what.split(' '), '-o', `jsonpath=${path}`]))
      .stdout
  const condition = (what: string, type: string): Promise<string> =>
    get(
      what,
      `{.status.conditions[?(@.type=="${type}")].status} {.status.conditions[?(@.type=="${type}")].message}`,
    )
  /** As `kubectl describe` shows them: type, reason, age, from, message. */
  const describedEvents = async (kind: string, name: string): Promise<string> =>
    (await cluster.kubectl.run(['describe', '-n', 'agents', kind, name])).split('\nEvents:')[1] ?? ''
  const eventually = eventuallyWith(() => failures.join('\n'))

  before(async function () {
    this.timeout('45m')
    const api = stack.use(await startApiServer(['namespace', 'garbagecollector', 'serviceaccount']))
    const { client } = api
    cluster = api.cluster
    const world = stack.use(new World(client, (kind, error) => failures.push(`${kind}: ${error.message}`)))
    await world.synced
    const recorder = stack.use(
      new EventRecorder(client, { replica: 'one', lost: (error) => failures.push(error.message) }),
    )
    const done = reconcileAll(
      {
        world,
        compiler: new NamespaceCompiler(),
        client,
        operator: {
          namespace: 'firebreak-system',
          podSelector: { matchLabels: { app: 'operator' } },
          port: 1,
        },
        acknowledgements: {
          of: (uid) => acknowledged.get(uid),
          changes: {
            synced: Promise.resolve(),
            onKeys: (listener) => {
              acknowledgement = listener
            },
          },
        },
        sidecarVersion: 'new',
        recorder,
        tellApproval: () => {},
        probe: async () => [{ type: 'Reachable', status: 'True', reason: 'Connected', message: 'yes' }],
        events: {
          failed: (name, key, error) => failures.push(`${name} ${key}: ${error.message}`),
          reconciled: () => {},
          running: () => {},
        },
      },
      stop.signal,
    )
    stack.defer(async () => {
      stop.abort()
      await done
    })
    await cluster.kubectl.run(['apply', '-f', '-'], { input: agents })
  })
  after(() => stack.disposeAsync())

  it('says of a policy whether it is in force, and what is wrong where', async () => {
    await eventually(() => condition('guardrailpolicy guard', 'Ready'), /^True in force everywhere$/)
    await cluster.kubectl.run(['apply', '-f', '-'], {
      input: agents.replace('command.sql.restricted', 'command.sql.restricted ==='),
    })
    await eventually(
      () => condition('guardrailpolicy guard', 'Valid'),
      /^False spec\.rules\[0\]\.match\.condition: .+; the last valid version stays in force$/s,
    )
    await eventually(() => condition('guardrailpolicy guard', 'Ready'), /^False spec/)
    await cluster.kubectl.run(['apply', '-f', '-'], { input: agents })
    await eventually(() => condition('guardrailpolicy guard', 'Ready'), /^True/)
    assert.equal(await get('guardrailpolicy guard', '{.status.rules} {.status.identities}'), '1 1')
  })

  it('tells of what has changed in Events, once for what happens again', async () => {
    const seen = (): Promise<string> => describedEvents('guardrailpolicy', 'guard')
    await eventually(seen, /Normal +Compiled .*x2 over .* firebreak.dev\/operator +1 rules were compiled/)
    await eventually(seen, /Warning +InvalidRule .* firebreak.dev\/operator +spec\.rules\[0\]/)
    await eventually(
      () => describedEvents('protectedresource', 'orders-db'),
      /Warning +NamespaceDoesNotAgree .*namespace elsewhere needs the annotation/,
    )
  })

  it("puts a NetworkPolicy on a resource's pods, in namespaces that agree, and cleans up", async () => {
    await eventually(
      () => condition('protectedresource orders-db', 'Shielded'),
      /^False namespace elsewhere needs the annotation/,
    )
    const inData = async (): Promise<string> =>
      (
        await cluster.kubectl.attempt([
          'get',
          'networkpolicy',
          '-A',
          '-l',
          'firebreak.dev/resource',
          '-o',
          'name',
        ])
      ).stdout
    assert.equal(
      (await inData()).trim(),
      'networkpolicy.networking.k8s.io/firebreak-resource-agents-orders-db',
    )
    await cluster.kubectl.run(['annotate', 'namespace', 'elsewhere', 'firebreak.dev/resources-from=agents'])
    await eventually(() => condition('protectedresource orders-db', 'Ready'), /^True/)
    assert.equal((await inData()).trim().split('\n').length, 2)
    await cluster.kubectl.run(['delete', 'networkpolicy', '-n', 'data', '--all'])
    await eventually(async () => String((await inData()).trim().split('\n').length), /^2$/)
    await cluster.kubectl.run(['delete', 'protectedresource', '-n', 'agents', 'orders-db'])
    await eventually(inData, /^$/)
    await cluster.kubectl.run(['apply', '-f', '-'], { input: agents })
  })

  it('says of an identity whether all of its pods are contained, and which are not', async () => {
    const pod = (name: string, labels: object, annotations = {}) =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'agents', labels: { app: 'support-bot', ...labels }, annotations },
        spec: { containers: [{ name: 'agent', image: 'x' }] },
      })
    await eventually(() => condition('agentidentity support-bot', 'Ready'), /^True/)
    await eventually(() => condition('agentidentity support-bot', 'Contained'), /^True no pods match$/)
    await cluster.kubectl.run(['apply', '-f', '-'], { input: pod('old', {}) })
    await eventually(
      () => condition('agentidentity support-bot', 'Contained'),
      /^False 1 of 1 pods were made before the identity and have no sidecar \(old\)/,
    )
    await cluster.kubectl.run(['delete', 'pod', '-n', 'agents', 'old', '--grace-period=0', '--force'])
    await cluster.kubectl.run(['apply', '-f', '-'], {
      input: pod('new', { 'firebreak.dev/agent': 'support-bot' }, { 'firebreak.dev/injected': 'old' }),
    })
    await eventually(
      () => condition('agentidentity support-bot', 'Contained'),
      /^False 1 of 1 pods don't have the revision in force yet \(new\)$/,
    )
    acknowledged.set(await get('pod new', '{.metadata.uid}'), {
      revision: await get('agentidentity support-bot', '{.status.revision}'),
    })
    acknowledgement('agents/support-bot')
    await cluster.kubectl.run([
      'wait',
      '--for=condition=Ready',
      'agentidentity/support-bot',
      '-n',
      'agents',
      '--timeout=90s',
    ])
    assert.equal(
      await get('agentidentity support-bot', '{.status.pods} {.status.containedPods} {.status.policies}'),
      '1 1 1',
    )
    for (const told of [
      /Warning +NotInjected .*\(old\)/,
      /Normal +Injected .*pods get the sidecars of version old/,
      /Normal +AllPods .*all 1 pods have the revision in force/,
    ])
      await eventually(() => describedEvents('agentidentity', 'support-bot'), told)
  })

  it('says which pods have older sidecars, and is ready all the same', async () => {
    await eventually(
      () => condition('agentidentity support-bot', 'SidecarsCurrent'),
      /^False 1 of 1 pods have older sidecars than a new one gets \(new\); make them anew when it suits you$/,
    )
    assert.equal(await get('agentidentity support-bot', '{.status.outdatedPods}'), '1')
    assert.match(await condition('agentidentity support-bot', 'Ready'), /^True/)
    await eventually(() => describedEvents('agentidentity', 'support-bot'), /Warning +Outdated .*\(new\)/)
  })

  it('tells of a refused configuration, also while other pods have no sidecar at all', async () => {
    await cluster.kubectl.run(['apply', '-f', '-'], {
      input: JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name: 'a-bare-one',
          namespace: 'agents',
          labels: { app: 'support-bot' },
        },
        spec: { containers: [{ name: 'agent', image: 'x' }] },
      }),
    })
    const uid = await get('pod new', '{.metadata.uid}')
    acknowledged.set(uid, { refusal: 'enforcer: no such thing' })
    acknowledgement('agents/support-bot')
    await eventually(
      () => describedEvents('agentidentity', 'support-bot'),
      /Warning +Refused .*the sidecar of new refused the configuration: enforcer: no such thing; 1 of 2 pods were made before/,
    )
    acknowledged.set(uid, { revision: await get('agentidentity support-bot', '{.status.revision}') })
    await cluster.kubectl.run(['delete', 'pod', '-n', 'agents', 'a-bare-one', '--grace-period=0', '--force'])
    await eventually(() => condition('agentidentity support-bot', 'Contained'), /^True/)
  })

  it('puts NetworkPolicies on its pods, and puts back what others change', async () => {
    const egress = (): Promise<string> =>
      get('networkpolicy firebreak-agent-support-bot', '{.spec.egress[*].ports[*].port}')
    await eventually(egress, /^53 53 1 5432$/)
    const unchanged = 'networkpolicy firebreak-agent-support-bot-uninjected'
    assert.equal(
      await get(unchanged, '{.metadata.generation}'),
      '1',
      'what is as wanted is not written again',
    )
    await cluster.kubectl.run([
      'patch',
      'networkpolicy',
      'firebreak-agent-support-bot',
      '-n',
      'agents',
      '--type=merge',
      '-p',
      '{"spec":{"egress":[{}]}}',
    ])
    await eventually(egress, /^53 53 1 5432$/)
    await cluster.kubectl.run(['delete', 'agentidentity', 'support-bot', '-n', 'agents'])
    // the cluster's garbage collector learns of new kinds every half a minute
    await eventually(() => get('networkpolicy', '{.items[*].metadata.name}'), /^$/, 90)
  })

  it('did nothing that failed', () => {
    assert.deepEqual(failures, [])
  })
})
