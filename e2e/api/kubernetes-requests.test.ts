/** What requests are about, and how bodies are read: by the API server itself, and by the analysis of the sidecar. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { readRequestInfo } from '@firebreak/sidecar/protocols/kubernetes/analysis/request-info.ts'
import { builtinKinds, kindOf } from '@firebreak/sidecar/protocols/kubernetes/analysis/resources.ts'
import type { Document } from '@firebreak/sidecar/protocols/kubernetes/documents/document.ts'
import { parseJson, plainValue } from '@firebreak/sidecar/protocols/kubernetes/documents/json.ts'
import { decodeProtobuf } from '@firebreak/sidecar/protocols/kubernetes/protobuf/decode.ts'
import { requestOf } from '@firebreak/sidecar/protocols/kubernetes/testing.ts'
import { parse } from 'yaml'
import { type ControlPlane, startControlPlane } from '../index.ts'

/** As the audit log has it: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/ */
interface AuditEvent {
  readonly auditID: string
  readonly verb: string
  readonly objectRef?: {
    readonly resource?: string
    readonly namespace?: string
    readonly name?: string
    readonly apiGroup?: string
    readonly apiVersion?: string
    readonly subresource?: string
  }
}

interface Attacks {
  readonly attacks: readonly { readonly request: string }[]
  readonly benign: readonly { readonly request: string }[]
}

const own = parse(readFileSync(new URL('kubernetes-requests.yaml', import.meta.url), 'utf8')) as string[]
const { attacks, benign } = parse(
  readFileSync(new URL('../../attacks/kubernetes.yaml', import.meta.url), 'utf8'),
) as Attacks

interface Named {
  readonly metadata: { readonly name: string; readonly namespace?: string }
}

const container = {
  name: 'c',
  image: 'i:1',
  env: [
    { name: 'A', valueFrom: { secretKeyRef: { name: 'db', key: 'k' } } },
    { name: 'B', value: 'b' },
  ],
  envFrom: [{ secretRef: { name: 'all' } }, { configMapRef: { name: 'map' } }],
  ports: [{ containerPort: 80, hostPort: 80 }],
  resources: { limits: { memory: '64Mi' } },
  livenessProbe: { httpGet: { path: '/', port: 'web' } },
  securityContext: {
    privileged: true,
    capabilities: { add: ['SYS_ADMIN'] },
    seccompProfile: { type: 'Unconfined' },
  },
}
const podSpec = {
  serviceAccountName: 'admin',
  hostNetwork: true,
  hostPID: true,
  nodeName: 'n1',
  restartPolicy: 'Always',
  containers: [container],
  volumes: [
    { name: 'a', secret: { secretName: 'db' } },
    { name: 'b', hostPath: { path: '/' } },
    {
      name: 'c',
      projected: { sources: [{ secret: { name: 'db' } }, { serviceAccountToken: { path: 't' } }] },
    },
    { name: 'd', csi: { driver: 'd', nodePublishSecretRef: { name: 'db' } } },
  ],
}
const laboratory = { namespace: 'laboratory' }
const labels = { app: 'x' }
const protobufExamples: readonly (readonly [string, object])[] = [
  ['api/v1/namespaces/laboratory/serviceaccounts', { metadata: { name: 'admin', ...laboratory } }],
  [
    'api/v1/namespaces/laboratory/pods',
    {
      metadata: {
        name: 'p',
        labels,
        ...laboratory,
        ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'o', uid: 'u' }],
      },
      spec: podSpec,
    },
  ],
  [
    'api/v1/namespaces/laboratory/secrets',
    { metadata: { name: 's', ...laboratory }, data: { a: 'AAECAw==' } },
  ],
  [
    'apis/apps/v1/namespaces/laboratory/deployments',
    {
      metadata: { name: 'd', ...laboratory },
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { ...podSpec, nodeName: undefined } },
      },
    },
  ],
  [
    'apis/batch/v1/namespaces/laboratory/cronjobs',
    {
      metadata: { name: 'j', ...laboratory },
      spec: {
        schedule: '* * * * *',
        jobTemplate: { spec: { template: { spec: { ...podSpec, restartPolicy: 'Never' } } } },
      },
    },
  ],
  [
    'apis/networking.k8s.io/v1/namespaces/laboratory/networkpolicies',
    {
      metadata: { name: 'n', ...laboratory },
      spec: { podSelector: {}, ingress: [{ ports: [{ port: 80 }, { port: 'web' }] }] },
    },
  ],
]

/** Without what protobuf writes of empty fields and JSON doesn't, and without times, which have another form. */
function comparable(document: Document): unknown {
  if (document instanceof Map) {
    const entries = [...(document as ReadonlyMap<string, Document>)]
      .map(([name, value]) => [name, comparable(value)] as const)
      .filter(([name, value]) => value !== undefined && !/(Time|Timestamp|^time)$/.test(name))
      .sort(([a], [b]) => (a < b ? -1 : 1))
    return entries.length === 0 ? undefined : Object.fromEntries(entries)
  }
  if (Array.isArray(document)) return document.length === 0 ? undefined : document.map(comparable)
  return document === null || document === '' || document === 0 || document === false ? undefined : document
}

describe('requests to an API server', function () {
  this.timeout('2m')
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-audit-'))
  const auditLog = join(directory, 'audit.log')
  let plane: ControlPlane

  before(async function () {
    // the first run on a machine compiles the API server
    this.timeout('45m')
    const policy = join(directory, 'policy.yaml')
    writeFileSync(policy, 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n')
    plane = await startControlPlane({
      apiServer: {
        'audit-policy-file': policy,
        'audit-log-path': auditLog,
        'audit-log-mode': 'blocking',
        'runtime-config': 'api/all=true',
      },
    })
    // what is asked about is removed by it
    for (const namespace of ['prod', 'laboratory'])
      await plane.kubectl.run(['create', 'namespace', namespace])
    await plane.kubectl.run(['create', 'serviceaccount', 'default', '--namespace=laboratory'])
  })
  after(async () => {
    await plane?.[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true, force: true })
  })

  const send = async (
    line: string,
    headers: Readonly<Record<string, string>> = {},
    body?: string,
  ): Promise<{ readonly status: number; readonly body: string; readonly bytes: Buffer }> => {
    const [method = '', path = ''] = line.split(/ (.*)/)
    // a removal would go without its body otherwise
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request(
        plane.endpoint,
        {
          method,
          path,
          ca: plane.ca,
          cert: plane.admin.certificate,
          key: plane.admin.key,
          agent: false,
          headers: { ...headers, ...length },
        },
        resolve,
      )
      sent.once('error', reject).end(body)
    })
    const bytes = await buffer(answer)
    return { status: answer.statusCode ?? 0, body: bytes.toString(), bytes }
  }
  const sendForBytes = async (line: string, accept: string): Promise<Buffer> =>
    (await send(line, { accept })).bytes

  /** What the API server says that a request was about. */
  const auditOf = async (line: string): Promise<AuditEvent> => {
    const auditID = randomUUID()
    await send(line, { 'audit-id': auditID, 'content-type': 'application/json' })
    // the first line of it is written before it is answered, the last one may still be being written
    const written = readFileSync(auditLog, 'utf8').split('\n')
    const event = written.slice(0, -1).find((line) => line.includes(auditID))
    assert.ok(event, 'the request is not in the audit log')
    return JSON.parse(event) as AuditEvent
  }

  const lines = new Set([...own, ...[...attacks, ...benign].map((attack) => attack.request)])
  let compared = 0
  for (const line of lines) {
    const parsed = requestOf(line)
    if (typeof parsed === 'string') continue
    const info = readRequestInfo(parsed)
    // follows what is there until it ends
    const endless =
      info.ok &&
      info.value.kind === 'resource' &&
      info.value.verb === 'watch' &&
      !line.includes('timeoutSeconds=1')
    if (!info.ok || endless) continue
    compared++
    it(`are about the same: ${line}`, async () => {
      const { verb, objectRef = {} } = await auditOf(line)
      if (info.value.kind === 'other') {
        assert.equal(objectRef.resource, undefined)
        assert.equal(verb, info.value.method.toLowerCase())
        return
      }
      const { resource, group, version, subresource, namespace, name } = info.value
      assert.deepEqual(
        { verb: info.value.verb, resource, group, version, subresource, namespace, name },
        {
          verb,
          resource: objectRef.resource ?? '',
          group: objectRef.apiGroup ?? '',
          version: objectRef.apiVersion ?? '',
          subresource: objectRef.subresource ?? '',
          // to RBAC a namespace is in itself
          namespace: objectRef.resource === 'namespaces' ? '' : (objectRef.namespace ?? ''),
          name: objectRef.name ?? '',
        },
      )
    })
  }

  it('were compared in numbers', () => assert.ok(compared >= 100, String(compared)))

  it('are about kinds of which the table is that of the API server', async () => {
    const served = new Set<string>()
    const groups = JSON.parse((await send('GET /apis')).body) as {
      readonly groups: readonly { readonly versions: readonly { readonly groupVersion: string }[] }[]
    }
    const versions = groups.groups.flatMap(({ versions }) => versions.map(({ groupVersion }) => groupVersion))
    for (const path of ['/api/v1', ...versions.map((version) => `/apis/${version}`)]) {
      const list = JSON.parse((await send(`GET ${path}`)).body) as {
        readonly resources: readonly { readonly name: string; readonly namespaced: boolean }[]
      }
      const group = path === '/api/v1' ? '' : (path.split('/')[2] ?? '')
      for (const { name, namespaced } of list.resources)
        if (!name.includes('/')) served.add(`${group}/${name} ${namespaced}`)
    }
    const known = new Set(
      [...builtinKinds()].map(([group, name, namespaced]) => `${group}/${name} ${namespaced}`),
    )
    assert.deepEqual(
      [...served].filter((kind) => !known.has(kind)),
      [],
    )
  })

  it('have what may be there made by an update for just the kinds that are known to be', async () => {
    const isNotFound = async (group: string, resource: string): Promise<boolean> => {
      const { namespaced } = kindOf(group, resource)
      const prefix = group === '' ? '/api/v1' : `/apis/${group}/v1`
      const path = `${prefix}${namespaced ? '/namespaces/laboratory' : ''}/${resource}/nobody`
      const body = JSON.stringify({
        metadata: { name: 'nobody', ...(namespaced && { namespace: 'laboratory' }) },
      })
      const { status } = await send(`PUT ${path}?dryRun=All`, { 'content-type': 'application/json' }, body)
      return status === 404
    }
    const wrong: string[] = []
    for (const [group, resource] of builtinKinds()) {
      const prefix = group === '' ? '/api/v1' : `/apis/${group}/v1`
      const list = await send(`GET ${prefix}`)
      const served = list.status === 200 && list.body.includes(`"name":"${resource}",`)
      const updates = new RegExp(`"name":"${resource}",[^{}]*"verbs":\\[[^\\]]*"update"`).test(list.body)
      if (served && updates && (await isNotFound(group, resource)) && kindOf(group, resource).madeByUpdate)
        wrong.push(`${group}/${resource} isn't made`)
      if (served && updates && !(await isNotFound(group, resource)) && !kindOf(group, resource).madeByUpdate)
        wrong.push(`${group}/${resource} may be made`)
    }
    assert.deepEqual(wrong, [])
  })

  it('have objects in protobuf that are read as they are in JSON', async () => {
    for (const [path, object] of protobufExamples) {
      const { status, body } = await send(
        `POST /${path}`,
        { 'content-type': 'application/json' },
        JSON.stringify(object),
      )
      assert.equal(status, 201, body)
    }
    const lists = [
      'api/v1/namespaces/laboratory/pods',
      'api/v1/namespaces/laboratory/secrets',
      'api/v1/services',
      'api/v1/namespaces',
      'apis/apps/v1/namespaces/laboratory/deployments',
      'apis/batch/v1/namespaces/laboratory/cronjobs',
      'apis/rbac.authorization.k8s.io/v1/clusterroles',
      'apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
      'apis/flowcontrol.apiserver.k8s.io/v1/flowschemas',
      'apis/networking.k8s.io/v1/namespaces/laboratory/networkpolicies',
      'apis/coordination.k8s.io/v1/leases',
    ]
    let objects = 0
    for (const list of lists) {
      const { items } = JSON.parse((await send(`GET /${list}`)).body) as { items: readonly Named[] }
      for (const { metadata } of items) {
        const base =
          metadata.namespace === undefined || list.includes('namespaces/')
            ? list
            : list.replace(/[^/]+$/, `namespaces/${metadata.namespace}/$&`)
        const path = `GET /${base}/${metadata.name.replaceAll(':', '%3A')}`
        const json = parseJson(await sendForBytes(path, 'application/json'))
        const protobuf = decodeProtobuf(await sendForBytes(path, 'application/vnd.kubernetes.protobuf'))
        assert.ok(json.ok && protobuf.ok, protobuf.ok ? path : `${path}: ${protobuf.error}`)
        assert.deepEqual(comparable(protobuf.value), comparable(plainValue(json.value)), path)
        objects++
      }
    }
    assert.ok(objects > 60, String(objects))
  })

  describe('mean what the analysis goes by', () => {
    const configMap = async (name: string, query = ''): Promise<unknown> => {
      const made = await send(
        `POST /api/v1/namespaces/laboratory/configmaps${query}`,
        { 'content-type': 'application/json' },
        JSON.stringify({ metadata: { name }, data: { a: 'b' } }),
      )
      assert.equal(made.status, 201, made.body)
      return JSON.parse(made.body)
    }
    const exists = async (name: string): Promise<boolean> =>
      (await send(`GET /api/v1/namespaces/laboratory/configmaps/${name}`)).status === 200

    it('a dry run of a removal in the query alone removes, when there is a body', async () => {
      await configMap('doomed')
      const json = { 'content-type': 'application/json' }
      await send(
        'DELETE /api/v1/namespaces/laboratory/configmaps/doomed?dryRun=All',
        json,
        '{"kind":"DeleteOptions","apiVersion":"v1"}',
      )
      assert.equal(await exists('doomed'), false)
    })

    it('a dry run in the body of a removal removes nothing', async () => {
      await configMap('kept')
      const json = { 'content-type': 'application/json' }
      await send(
        'DELETE /api/v1/namespaces/laboratory/configmaps/kept',
        json,
        '{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]}',
      )
      assert.equal(await exists('kept'), true)
    })

    it('an empty patch that is only tried shows the object', async () => {
      await configMap('shown')
      const merge = { 'content-type': 'application/merge-patch+json' }
      const { body } = await send(
        'PATCH /api/v1/namespaces/laboratory/configmaps/shown?dryRun=All',
        merge,
        '{}',
      )
      assert.deepEqual((JSON.parse(body) as { data: unknown }).data, { a: 'b' })
    })

    it('yes is true in YAML, and the last of two keys counts', async () => {
      const yaml = { 'content-type': 'application/yaml' }
      const pod =
        'apiVersion: v1\nkind: Pod\nmetadata: {name: yes-it-is}\nspec: {hostPID: yes, containers: [{name: c, image: i}]}\n'
      const made = await send('POST /api/v1/namespaces/laboratory/pods?dryRun=All', yaml, pod)
      assert.ok(made.body.includes('"hostPID":true'), made.body)
      const json = { 'content-type': 'application/json' }
      const twice = await send(
        'POST /api/v1/namespaces/laboratory/configmaps?dryRun=All',
        json,
        '{"metadata":{"name":"t"},"data":{"a":"first"},"data":{"a":"last"}}',
      )
      assert.ok(twice.body.includes('"a":"last"'), twice.body)
    })

    it('a parameter in another spelling is none', async () => {
      await configMap('unspelled')
      await send('DELETE /api/v1/namespaces/laboratory/configmaps/unspelled?dryrun=All')
      assert.equal(await exists('unspelled'), false)
    })
  })
})
