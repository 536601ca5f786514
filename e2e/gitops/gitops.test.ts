/** A GitOps tool and the operator at work on the same objects. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type KubernetesObject,
  KubernetesObjectApi,
  PatchStrategy,
  type V1ManagedFieldsEntry,
} from '@kubernetes/client-node'
import { parse, parseAllDocuments } from 'yaml'
import { managed } from '../../operator/containment/names.ts'
import { startOperator } from '../../operator/operator.ts'
import { type ApiServer, kubeConfigOf, startApiServer } from '../../test/api-server.ts'
import { argoHealth } from './argo-health.ts'
import { fluxKustomizationCrd } from './flux-crd.ts'
import { kstatus, type Watched } from './kstatus.ts'

interface Manifest extends Watched {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: Watched['metadata'] & {
    readonly name: string
    readonly namespace?: string
    readonly resourceVersion?: string
    readonly managedFields?: readonly V1ManagedFieldsEntry[]
  }
}

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const examples = globSync(file('../../examples/*/firebreak.yaml')).sort()
const argo = (
  parse(readFileSync(file('../../docs/gitops/argocd-cm.yaml'), 'utf8')) as { data: Record<string, string> }
).data
const system = 'firebreak-system'

function objectsIn(path: string): Manifest[] {
  return parseAllDocuments(readFileSync(path, 'utf8')).map((document) => document.toJS() as Manifest)
}

/** Each in a namespace of its own: they use the same names. */
function exampleIn(path: string): Manifest[] {
  const namespace = `example-${basename(dirname(path))}`
  return objectsIn(path).map((manifest) => ({ ...manifest, metadata: { ...manifest.metadata, namespace } }))
}

function permutations<Item>(items: readonly Item[]): Item[][] {
  if (items.length < 2) return [[...items]]
  return items.flatMap((first) =>
    permutations(items.filter((item) => item !== first)).map((rest) => [first, ...rest]),
  )
}

describe('GitOps', function () {
  this.timeout('15m')
  const stack = new AsyncDisposableStack()
  const failures: string[] = []
  let api: ApiServer
  let tool: KubernetesObjectApi

  before(async function () {
    this.timeout('45m')
    api = stack.use(await startApiServer(['namespace', 'garbagecollector', 'serviceaccount']))
    const { cluster } = api
    tool = KubernetesObjectApi.makeApiClient(kubeConfigOf(cluster))
    const ofExamples = examples.map((path) => `example-${basename(dirname(path))}`)
    for (const namespace of [system, ...ofExamples]) await kubectl('create', 'namespace', namespace)
  })
  after(() => stack.disposeAsync())

  const kubectl = (...args: string[]): Promise<string> => api.cluster.kubectl.run(args)

  /** As Flux and Argo CD do: server-side apply, under a name of its own, by force. */
  async function apply(object: Manifest): Promise<Manifest> {
    const strategy = PatchStrategy.ServerSideApply
    return (await tool.patch(
      object as unknown as KubernetesObject,
      undefined,
      undefined,
      'gitops',
      true,
      strategy,
    )) as unknown as Manifest
  }

  async function read({ apiVersion, kind, metadata: { name, namespace = '' } }: Manifest): Promise<Manifest> {
    const header = { apiVersion, kind, metadata: { name, namespace } }
    return (await tool.read(header)) as unknown as Manifest
  }

  async function until(manifest: Manifest, wanted: (now: Manifest) => boolean): Promise<Manifest> {
    for (const end = Date.now() + 120_000; ; ) {
      const now = await read(manifest)
      if (wanted(now)) return now
      assert.ok(Date.now() < end, `${JSON.stringify(now, undefined, 1)}\n${failures.join('\n')}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  const health = async (object: Manifest): Promise<string> =>
    (await argoHealth(argo[`resource.customizations.health.firebreak.dev_${object.kind}`] ?? '', object))
      .status
  const message = ({ status }: Manifest, type: string): string | undefined =>
    (status?.conditions as { type: string; message: string }[] | undefined)?.find(
      (each) => each.type === type,
    )?.message

  it('waits for what the operator has not seen yet', async () => {
    for (const manifest of examples.flatMap(exampleIn)) {
      const object = await apply(manifest)
      assert.equal(kstatus(object), 'InProgress', manifest.kind)
      assert.equal(await health(object), 'Progressing', manifest.kind)
    }
  })

  it('sees all examples settle', async () => {
    const { cluster } = api
    const whoAmI = await kubectl('auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}')
    stack.use(
      await startOperator({
        kubeConfig: kubeConfigOf(cluster),
        replica: 'one',
        user: whoAmI,
        place: { namespace: system, podSelector: { matchLabels: { app: 'operator' } }, port: 18000 },
        certificate: { namespace: system, name: 'certificate', hosts: ['127.0.0.1'] },
        webhooks: { host: '127.0.0.1', port: 0, outside: true },
        images: { enforcer: 'firebreak/enforcer:test', envoy: 'envoyproxy/envoy:test' },
        stream: { host: '127.0.0.1', port: 0 },
        control: `firebreak-operator.${system}.svc:18000`,
        probe: async () => [{ type: 'Reachable', status: 'True', reason: 'Connected', message: 'yes' }],
        log: {
          error: (fields, said) => failures.push(`${said} ${JSON.stringify(fields)}`),
          info: () => {},
        },
      }),
    )
    for (const manifest of examples.flatMap(exampleIn)) {
      // neither the namespace that its resource's pods are in is there, nor a place for what it wants recorded
      const waits = (now: Manifest): boolean =>
        /^(namespaceSelector selects no namespace$|the operator has no place for recordings)/.test(
          message(now, 'Ready') ?? '',
        )
      const seen = await until(manifest, (now) => kstatus(now) === 'Current' || waits(now))
      assert.equal(await health(seen), waits(seen) ? 'Progressing' : 'Healthy')
    }
  })

  for (const path of examples)
    it(`applies ${path.split('/').slice(-2).join('/')} a hundred times and changes nothing`, async () => {
      const manifests = exampleIn(path)
      const before = await Promise.all(manifests.map((manifest) => read(manifest)))
      for (let time = 0; time < 100; time++)
        for (const manifest of manifests) {
          const answer = await apply(manifest)
          const was = before.find(
            ({ kind, metadata }) => kind === answer.kind && metadata.name === answer.metadata.name,
          )
          assert.deepEqual(
            [answer.metadata.resourceVersion, answer.metadata.managedFields],
            [was?.metadata.resourceVersion, was?.metadata.managedFields],
          )
        }
    })

  const parts = objectsIn(file('../../examples/support-bot/firebreak.yaml'))

  it('takes a policy before what it is about, which says for what it waits', async () => {
    await kubectl('create', 'namespace', 'early')
    const policy = parts.find(({ kind }) => kind === 'GuardrailPolicy')
    assert.ok(policy)
    const early = { ...policy, metadata: { ...policy.metadata, namespace: 'early' } }
    await apply(early)
    const waiting = await until(early, ({ status }) => (status?.conditions?.length ?? 0) > 0)
    assert.equal(
      message(waiting, 'TargetsFound'),
      'waits for ProtectedResource orders-db: there is none in this namespace',
    )
    assert.deepEqual([kstatus(waiting), await health(waiting)], ['InProgress', 'Progressing'])
    for (const manifest of parts)
      await apply({ ...manifest, metadata: { ...manifest.metadata, namespace: 'early' } })
    await until(early, (now) => kstatus(now) === 'Current')
  })

  it('creates and prunes in any order', async () => {
    await kubectl('create', 'namespace', 'data')
    const orders = permutations(parts)
    for (const [index, order] of orders.entries()) {
      const namespace = `order-${index}`
      await kubectl('create', 'namespace', namespace)
      const agreeing = orders.map((_, each) => `order-${each}`).join(',')
      await kubectl(
        'annotate',
        '--overwrite',
        'namespace',
        'data',
        `firebreak.dev/resources-from=agents,${agreeing}`,
      )
      const own = order.map((manifest) => ({ ...manifest, metadata: { ...manifest.metadata, namespace } }))
      for (const manifest of own) await apply(manifest)
      for (const manifest of own) {
        const ready = await until(manifest, (now) => kstatus(now) === 'Current')
        assert.equal(await health(ready), 'Healthy')
      }
    }
    const pruned = orders.toReversed()
    for (const [index, order] of pruned.entries()) {
      const namespace = `order-${index}`
      for (const { kind, metadata } of order)
        await kubectl('delete', kind, metadata.name, '-n', namespace, '--timeout=180s')
      assert.equal(await kubectl('get', 'firebreak', '-n', namespace, '-o', 'name'), '')
    }
    assert.doesNotMatch(
      await kubectl('get', 'networkpolicies', '-n', 'data', '-o', 'jsonpath={.items[*].metadata.labels}'),
      /order-\d/,
    )
  })

  it('is told when waiting is of no use', async () => {
    // only what was there before the webhooks can be so wrong
    await kubectl('delete', 'validatingwebhookconfigurations', '--all')
    const broken = {
      apiVersion: 'firebreak.dev/v1alpha1',
      kind: 'GuardrailPolicy',
      metadata: { name: 'broken', namespace: 'early' },
      spec: { rules: [{ name: 'x', match: { condition: 'command.sql ===' }, effect: 'deny' }] },
    }
    await apply(broken)
    const stalled = await until(broken, ({ status }) => (status?.conditions?.length ?? 0) > 0)
    assert.deepEqual([kstatus(stalled), await health(stalled)], ['Failed', 'Degraded'])
    await kubectl('delete', 'guardrailpolicy', 'broken', '-n', 'early')
  })

  it('is configured in Flux as documented, by names that are there', async () => {
    const crd = await fluxKustomizationCrd()
    await kubectl('apply', '--server-side', '-f', crd)
    await kubectl('wait', '--for=condition=Established', '--timeout=180s', '-f', crd)
    await kubectl('create', 'namespace', 'flux-system')
    const path = file('../../docs/gitops/flux.yaml')
    await kubectl('apply', '--validate=strict', '-f', path)
    const [kustomization] = objectsIn(path) as unknown as { spec: { healthChecks: object[] } }[]
    assert.deepEqual(
      kustomization?.spec.healthChecks,
      parts.map(({ apiVersion, kind, metadata: { name, namespace } }) => ({
        apiVersion,
        kind,
        name,
        namespace,
      })),
    )
  })

  it('leaves alone what the operator makes', async () => {
    const script = argo['resource.customizations.health.firebreak.dev_ApprovalRequest'] ?? ''
    assert.equal((await argoHealth(script, {})).status, 'Suspended')
    assert.equal((await argoHealth(script, { status: { state: 'Approved' } })).status, 'Healthy')
    assert.deepEqual(parse(argo['resource.exclusions'] ?? ''), [
      { apiGroups: ['firebreak.dev'], kinds: ['ApprovalRequest'], clusters: ['*'] },
    ])
    const page = readFileSync(file('../../docs/gitops.md'), 'utf8')
    for (const [label, value] of Object.entries(managed)) assert.ok(page.includes(`\`${label}!=${value}\``))
    const made = await kubectl('get', 'networkpolicies', '-A', '-o', 'json')
    for (const { metadata } of (JSON.parse(made) as { items: { metadata: { labels: object } }[] }).items)
      assert.deepEqual({ ...metadata.labels, ...managed }, metadata.labels)
  })
})
