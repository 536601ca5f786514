import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parse, parseAllDocuments } from 'yaml'
import { type ControlPlane, startControlPlane } from '../index.ts'
import { chart, Helm } from './helm.ts'

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const read = <T>(name: string): T => parse(readFileSync(file(name), 'utf8')) as T

interface Values {
  readonly name: string
  readonly values: object
  readonly kinds?: readonly string[]
  readonly without?: readonly string[]
  readonly has?: readonly string[]
}

interface Rendered {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec?: { readonly template?: { readonly spec: object } }
}

describe('the chart', function () {
  this.timeout('4m')
  const namespace = 'firebreak-system'
  let helm: Helm
  let cluster: ControlPlane
  const stack = new AsyncDisposableStack()
  before(async function () {
    this.timeout('45m')
    helm = stack.use(await Helm.find())
    cluster = stack.use(await startControlPlane())
    await cluster.kubectl.run(['create', 'namespace', namespace])
    await cluster.kubectl.run([
      'label',
      'namespace',
      namespace,
      'pod-security.kubernetes.io/enforce=restricted',
    ])
    const others = ['-f', file('others.yaml')]
    await cluster.kubectl.run(['apply', ...others])
    await cluster.kubectl.run(['wait', '--for=condition=Established', '--timeout=180s', ...others])
  })
  after(() => stack.disposeAsync())

  it('has nothing that helm lint objects to', async () => {
    await helm.run(['lint', '--strict', chart])
  })

  for (const { name, values, kinds = [], without = [], has = [] } of read<readonly Values[]>('values.yaml')) {
    it(`with ${name} is what the API server takes`, async () => {
      const text = await helm.run(['template', 'firebreak', chart, '--namespace', namespace], values)
      const objects = parseAllDocuments(text).flatMap((document) => (document.toJS() ?? []) as Rendered)
      const rendered = new Set(objects.map(({ kind }) => kind))
      for (const kind of kinds) assert.ok(rendered.has(kind), `no ${kind}`)
      for (const kind of without) assert.ok(!rendered.has(kind), kind)
      for (const part of has) assert.ok(text.includes(part), part)
      const pods = objects.flatMap(({ kind, metadata, spec }) =>
        spec?.template
          ? {
              ...spec.template,
              apiVersion: 'v1',
              kind: 'Pod',
              metadata: { name: `${kind}-${metadata.name}`.toLowerCase() },
            }
          : [],
      )
      const input = [text, ...pods.map((pod) => JSON.stringify(pod))].join('\n---\n')
      const { status, stderr } = await cluster.kubectl.attempt(
        ['apply', '--dry-run=server', '--validate=strict', '--namespace', namespace, '-f', '-'],
        { input },
      )
      assert.equal(status, 0, stderr)
      assert.doesNotMatch(stderr, /warning/i)
    })
  }

  for (const { name, values, says } of read<readonly (Values & { says: string })[]>('refused-values.yaml')) {
    it(`refuses ${name}`, async () => {
      const { status, stderr } = await helm.attempt(['template', 'firebreak', chart], values)
      assert.notEqual(status, 0)
      assert.ok(stderr.includes(says), stderr)
    })
  }
})

describe('the Kustomize base', function () {
  this.timeout('4m')
  const namespace = 'firebreak-system'
  let cluster: ControlPlane
  before(async function () {
    this.timeout('45m')
    cluster = await startControlPlane()
    await cluster.kubectl.run(['create', 'namespace', namespace])
  })
  after(() => cluster[Symbol.asyncDispose]())

  it('is what the chart renders', async () => {
    await promisify(execFile)(process.execPath, [file('../../deploy/generate.ts'), '--check'])
  })

  for (const [name, has] of [
    ['base', ['replicas: 2', 'pod-security.kubernetes.io/enforce: restricted']],
    [
      'overlays/pinned',
      [
        'replicas: 3',
        'image: registry.example/firebreak/operator@sha256:',
        '--enforcer-image=registry.example/firebreak/enforcer@sha256:',
        '--envoy-image=registry.example/envoy@sha256:',
      ],
    ],
  ] as const) {
    it(`${name} is what the API server takes`, async () => {
      const text = await cluster.kubectl.run(['kustomize', file(`../../deploy/kustomize/${name}`)])
      for (const part of has) assert.ok(text.includes(part), part)
      for (const address of text.matchAll(/cidr: (.*)/g))
        assert.equal(name !== 'base', address[1]?.startsWith('192.0.2.'), address[0])
      const arguments_ = ['apply', '--dry-run=server', '--validate=strict', '-f', '-']
      await cluster.kubectl.run(arguments_, { input: text })
    })
  }
})
