/** Patches of a real API server while somebody else changes their object between their trial and themselves. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { request as requestTls } from 'node:https'
import type { AddressInfo } from 'node:net'
import { kubernetesManifests } from '../../test/kubernetes-shop.ts'
import { type Agent, GuardedApi } from './guarded-api.ts'

const rules = `    - name: work
      match: {actions: ["k8s:get", "k8s:create", "k8s:patch", "k8s:update", "k8s:debug"], objects: [prod]}
      effect: allow
`

const named = { apiVersion: 'apps/v1', kind: 'Deployment' }
const deployment = {
  ...named,
  metadata: { name: 'web', namespace: 'prod' },
  spec: {
    replicas: 0,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'c', image: 'old:1' }] },
    },
  },
}
const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'box', namespace: 'prod' },
  spec: { automountServiceAccountToken: false, containers: [{ name: 'c', image: 'old:1' }] },
}

interface Sent {
  readonly type: string
  readonly body: string
}
type Metadata = Readonly<Record<string, string>>

const withImage = (image: string): object => ({
  template: { spec: { containers: [{ name: 'c', image }] } },
})
const jsonPatch = (image: string, before: readonly object[]): string =>
  JSON.stringify([...before, { op: 'replace', path: '/spec/template/spec/containers/0/image', value: image }])

/** Patches that set an image, by their kind, with what they say of the object's version. */
const kinds: Readonly<Record<string, (image: string, version?: string) => Sent>> = {
  strategic: (image, version) => ({
    type: 'application/strategic-merge-patch+json',
    body: JSON.stringify({ ...metadata(version), spec: withImage(image) }),
  }),
  merge: (image, version) => ({
    type: 'application/merge-patch+json',
    body: JSON.stringify({ spec: withImage(image), ...metadata(version) }),
  }),
  json: (image, version) => ({
    type: 'application/json-patch+json',
    body: jsonPatch(
      image,
      version === undefined ? [] : [{ op: 'test', path: '/metadata/resourceVersion', value: version }],
    ),
  }),
  apply: (image, version) => ({
    type: 'application/apply-patch+yaml',
    body: JSON.stringify({ ...named, ...metadata(version, { name: 'web' }), spec: withImage(image) }),
  }),
  'apply in YAML': (image, version) => ({
    type: 'application/apply-patch+yaml',
    body: `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
${version === undefined ? '' : `  resourceVersion: "${version}"\n`}spec: {template: {spec: {containers: [{name: c, image: "${image}"}]}}}
`,
  }),
}

function metadata(resourceVersion?: string, more: Metadata = {}): { readonly metadata?: Metadata } {
  const all = { ...more, ...(resourceVersion !== undefined && { resourceVersion }) }
  return Object.keys(all).length === 0 ? {} : { metadata: all }
}

describe('patches whose object is changed before they come', function () {
  this.timeout('3m')
  let api: GuardedApi
  let agent: Agent
  let relay: Server
  let trials = 0
  /** What somebody does before a trial's answer is with the gateway. */
  let meddle: (() => Promise<unknown>) | undefined

  before(async function () {
    // the first run on a machine compiles the API server
    this.timeout('45m')
    api = await GuardedApi.start()
    const { kubectl } = api.plane
    await kubectl.run(['create', 'serviceaccount', 'default', '--namespace=prod'])
    await kubectl.apply(jobs)
    await kubectl.run(['wait', '--for=condition=established', 'crd/jobs.example.com'])
    await kubectl.apply(JSON.stringify(deployment))
    await kubectl.apply(JSON.stringify(pod))
    relay = createServer((request, response) => void relayed(request, response))
    relay.listen(0, '127.0.0.1')
    await once(relay, 'listening')
    const address = `127.0.0.1:${(relay.address() as AddressInfo).port}`
    agent = await api.agent(() => kubernetesManifests({ address, rules }))
  })
  after(async () => {
    await api?.[Symbol.asyncDispose]()
    relay?.closeAllConnections()
    relay?.close()
  })
  beforeEach(() => {
    trials = 0
    meddle = undefined
  })

  async function relayed(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { endpoint, ca } = api.plane
    const { method, url = '', headers } = request
    const out = requestTls(new URL(url, endpoint), { method, headers, ca })
    request.pipe(out)
    const [answer] = (await once(out, 'response')) as [IncomingMessage]
    if (url.includes('dryRun=All')) {
      trials++
      await meddle?.()
    }
    response.writeHead(answer.statusCode ?? 0, answer.headers)
    answer.pipe(response)
  }

  const field = (path: string, object = 'deployment/web'): Promise<string> =>
    api.plane.kubectl.run(['get', object, '--namespace=prod', '-o', `jsonpath={${path}}`])
  const imageNow = (): Promise<string> => field('.spec.template.spec.containers[0].image')
  let labels = 0
  const label = (object = 'deployment/web'): Promise<string> =>
    api.plane.kubectl.run(['label', object, '--namespace=prod', '--overwrite', `n=${++labels}`])
  const setHostPid = (value: true | null): Promise<string> => {
    const patch = JSON.stringify({ spec: { template: { spec: { hostPID: value } } } })
    return api.plane.kubectl.run(['patch', 'deployment/web', '--namespace=prod', `--patch=${patch}`])
  }
  /** That many times. */
  const meddling = (times: number, how: () => Promise<unknown>): void => {
    meddle = async () => {
      if (times-- > 0) await how()
    }
  }

  async function send(
    { type, body }: Sent,
    path = '/apis/apps/v1/namespaces/prod/deployments/web?fieldManager=tester&force=true',
    method = 'PATCH',
  ): Promise<{ readonly status: number; readonly reason: string; readonly message: string }> {
    const url = new URL(path, `http://127.0.0.1:${agent.guard.address.port}`)
    if (!type.includes('apply')) url.searchParams.delete('force')
    const answer = await fetch(url, { method, headers: { 'content-type': type }, body })
    const { reason = '', message = '' } = (await answer.json()) as Readonly<Record<string, string>>
    return { status: answer.status, reason, message }
  }

  for (const [kind, setting] of Object.entries(kinds)) {
    it(`pass where nobody changes it, with its version and without (${kind})`, async () => {
      assert.equal((await send(setting(`plain:${kind.length}`))).status, 200)
      assert.equal(await imageNow(), `plain:${kind.length}`)
      const version = await field('.metadata.resourceVersion')
      const { status, message } = await send(setting('own:1', version))
      assert.deepEqual([status, await imageNow(), trials], [200, 'own:1', 2], message)
    })

    it(`are the API server's to refuse where they name another version (${kind})`, async () => {
      const version = await field('.metadata.resourceVersion')
      await label()
      const { status } = await send(setting('stale:1', version))
      assert.deepEqual([status, trials], [kind === 'json' ? 422 : 409, 1])
      const current = await field('.metadata.resourceVersion')
      meddling(1, label)
      const late = await send(setting('stale:1', current))
      assert.equal(late.status, kind === 'json' ? 422 : 409, late.message)
      assert.notEqual(await imageNow(), 'stale:1')
    })

    it(`are tried again where it is changed (${kind})`, async () => {
      meddling(2, label)
      const { status, message } = await send(setting(`again:${kind.length}`))
      assert.deepEqual([status, trials, await imageNow()], [200, 3, `again:${kind.length}`], message)
    })

    it(`are a conflict where it is changed each time (${kind})`, async () => {
      meddling(Number.POSITIVE_INFINITY, label)
      const { status, reason, message } = await send(setting('never:1'))
      assert.deepEqual([status, reason], [409, 'Conflict'], message)
      assert.match(message, /what it changes has changed meanwhile/)
      assert.notEqual(await imageNow(), 'never:1')
    })

    it(`are refused where it gets a power (${kind})`, async () => {
      meddling(1, () => setHostPid(true))
      const { status, message } = await send(setting('evil:1'))
      assert.equal(status, 403, message)
      assert.match(message, /no rule allows k8s:hostAccess on object prod\.deployments\.web/)
      assert.notEqual(await imageNow(), 'evil:1')
      await setHostPid(null)
    })
  }

  it('hold for debug containers by an update as well', async () => {
    const path = '/api/v1/namespaces/prod/pods/box/ephemeralcontainers'
    const { metadata: about, apiVersion, kind } = pod
    const updating = (name: string): Sent => ({
      type: 'application/json',
      body: JSON.stringify({
        apiVersion,
        kind,
        metadata: about,
        spec: { ephemeralContainers: [{ name, image: 'debug:1' }] },
      }),
    })
    meddling(1, () => label('pod/box'))
    const { status, message } = await send(updating('one'), path, 'PUT')
    assert.deepEqual([status, trials], [200, 2], message)
    assert.equal(await field('.spec.ephemeralContainers[*].name', 'pod/box'), 'one')
  })

  const makes: readonly (readonly [path: string, object: object, evil: object])[] = [
    [
      '/apis/apps/v1/namespaces/prod/deployments/made',
      { ...deployment, metadata: { name: 'made' } },
      { template: { spec: { hostPID: true } } },
    ],
    [
      '/apis/example.com/v1/namespaces/prod/jobs/made',
      { apiVersion: 'example.com/v1', kind: 'Job', metadata: { name: 'made' }, spec: { image: 'own:1' } },
      { hostPID: true },
    ],
  ]
  for (const [path, object, evil] of makes) {
    const resource = path.includes('example') ? 'jobs.example.com/made' : 'deployment/made'
    const query = '?fieldManager=tester&force=true'
    const apply = () =>
      send({ type: 'application/apply-patch+yaml', body: JSON.stringify(object) }, path + query)
    it(`hold for one that makes its object (${resource})`, async () => {
      meddling(1, async () => {
        const made = JSON.stringify({ ...object, metadata: { name: 'made', namespace: 'prod' } })
        await api.plane.kubectl.apply(made)
        const args = ['patch', resource, '--namespace=prod', '--type=merge']
        await api.plane.kubectl.run([...args, `--patch=${JSON.stringify({ spec: evil })}`])
      })
      const refused = await apply()
      assert.equal(refused.status, 403, refused.message)
      assert.match(refused.message, /no rule allows k8s:hostAccess/)
      assert.ok(!(await field('.metadata.managedFields[*].manager', resource)).includes('tester'))
      await api.plane.kubectl.run(['delete', resource, '--namespace=prod'])
      const { status, message } = await apply()
      assert.deepEqual([status, trials], [201, 3], message)
      await api.plane.kubectl.run(['delete', resource, '--namespace=prod'])
    })
  }
})

const jobs = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: jobs.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: jobs, singular: job, kind: Job}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`
