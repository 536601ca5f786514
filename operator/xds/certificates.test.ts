/** What a sidecar shows clients that come by TLS, from the Secret at the API server to a handshake. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TLSSocket } from 'node:tls'
import type { ControlPlane } from '../../e2e/index.ts'
import { type ApiServer, startApiServer } from '../../test/api-server.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import { SidecarProcess } from '../../test/sidecar-process.ts'
import { CertificateAuthority } from '../certificates/authority.ts'
import { ReplicaProcess } from '../testdata/replica-process.ts'

const base64 = (value: string): string => Buffer.from(value).toString('base64')

const manifests = (port: number, ca: string): string => `apiVersion: v1
kind: Secret
metadata: {name: crm, namespace: agents}
data: {password: ${base64('of the role')}, ca.crt: ${base64(ca)}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: bot, namespace: agents}
---
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: crm, namespace: agents}
spec:
  type: http
  address: localhost:${port}
  tls: {ca: {secret: {name: crm, key: ca.crt}}}
  roles: [{name: support, credential: {secret: {name: crm}}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: bot, namespace: agents}
spec:
  workload: {podSelector: {matchLabels: {app: bot}}}
  access: [{resource: crm, roles: [support]}]
`

const policy = (method: string): string => `apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: guard, namespace: agents}
spec:
  rules: [{name: read, match: {actions: ["http:${method}"]}, effect: allow}]
`

/** What a client hears, and of the certificate that it was shown the number and for whom it is. */
interface Heard {
  readonly said: string
  readonly serial: string
  readonly hosts: string
}

describe('clients that come by TLS', function () {
  this.timeout('4m')
  const stack = new AsyncDisposableStack()
  let api: ApiServer
  let cluster: ControlPlane
  let replica: ReplicaProcess
  let sidecar: SidecarProcess
  let startReplica: (controlPort: number) => Promise<ReplicaProcess>
  const eventually = eventuallyWith(() => `${replica.log}\n${sidecar?.log}`)
  const bundle = (): string => readFileSync(join(sidecar.runDirectory, 'ca.crt'), 'utf8')

  /** As an agent's client, which trusts this. @param servername empty: it says none. */
  const get = async (ca: string, servername = 'localhost'): Promise<Heard> => {
    const port = sidecar.ports.get('crm') ?? 0
    const asking = request({ host: '127.0.0.1', port, path: '/customers', ca, servername, agent: false })
    asking.end()
    const [response] = await once(asking, 'response')
    const { serialNumber, subjectaltname } = (response.socket as TLSSocket).getPeerCertificate()
    return { said: await text(response), serial: serialNumber, hosts: subjectaltname ?? '' }
  }

  before(async function () {
    this.timeout('45m')
    const authority = await CertificateAuthority.create('the real one')
    const { certificate, key } = await authority.server({ name: 'crm' }, ['localhost'])
    const target = createServer({ cert: certificate, key }, ({ headers }, response) =>
      response.setHeader('content-type', 'text/plain').end(headers.authorization),
    )
    await once(target.listen(0, 'localhost'), 'listening')
    stack.defer(() => void target.close().closeAllConnections())
    const { port } = target.address() as AddressInfo
    api = stack.use(await startApiServer(['namespace', 'garbagecollector']))
    cluster = api.cluster
    for (const namespace of ['firebreak-system', 'agents'])
      await cluster.kubectl.run(['create', 'namespace', namespace])
    const { kubeconfig, name: user } = await cluster.user({ name: 'operator', groups: ['system:masters'] })
    startReplica = async (controlPort) =>
      stack.use(await ReplicaProcess.start({ kubeconfig, user, replica: 'one', controlPort }))
    replica = await startReplica(0)
    await cluster.kubectl.apply(`${manifests(port, authority.certificate)}---\n${policy('read')}`)
    const label = ['get', 'namespace', 'agents', '-o', 'jsonpath={.metadata.labels}']
    await eventually(() => cluster.kubectl.run(label), /firebreak.dev\/agents/)
    const pod = { containers: [{ name: 'agent', image: 'x' }], serviceAccountName: 'bot' }
    const metadata = { name: 'bot-1', namespace: 'agents', labels: { app: 'bot' } }
    await cluster.kubectl.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata, spec: pod }))
    const uid = await cluster.kubectl.run('get pod bot-1 -n agents -o jsonpath={.metadata.uid}'.split(' '))
    const token = await cluster.kubectl.run([
      ...['create', 'token', 'bot', '-n', 'agents', '--audience=firebreak-control'],
      ...['--bound-object-kind=Pod', '--bound-object-name=bot-1', `--bound-object-uid=${uid}`],
    ])
    sidecar = stack.use(
      await SidecarProcess.start({
        control: `127.0.0.1:${replica.controlPort}`,
        ca: replica.controlCa,
        token: token.trim(),
        pod: { namespace: 'agents', name: 'bot-1', uid },
        listen: ['crm'],
      }),
    )
    await eventually(() => sidecar.log, /is in force/)
  })
  after(() => stack.disposeAsync())

  it('are shown a certificate that the bundle of the pod trusts, for the API and nothing else', async () => {
    assert.equal((await get(bundle())).said, 'Bearer of the role')
    await assert.rejects(get(bundle(), 'bank.example'), /does not match/)
    await assert.rejects(get(''), /self-signed|unable to (get|verify)/)
  })

  it('are shown addresses where they say no name, and otherwise none, which some can’t verify', async () => {
    assert.equal((await get(bundle(), '')).hosts, 'DNS:localhost, IP Address:127.0.0.1')
    assert.equal((await get(bundle())).hosts, 'DNS:localhost')
  })

  it('trust public authorities as well, and one of this agent', () => {
    const all = bundle().match(/-----BEGIN[\s\S]+?END CERTIFICATE-----/g) ?? []
    const subjects = all.map((each) => new X509Certificate(each).subject)
    assert.ok(subjects.length > 100)
    assert.equal(
      subjects.filter((subject) => /^CN=Firebreak for agent [0-9a-f]{16}$/.test(subject)).length,
      1,
    )
  })

  it('find no key in a file', () => {
    for (const name of ['ca.crt', 'kubeconfig', 'audit.jsonl']) {
      const path = join(sidecar.runDirectory, name)
      assert.ok(existsSync(path), name)
      assert.doesNotMatch(readFileSync(path, 'utf8'), /PRIVATE KEY/, name)
    }
  })

  it('go on to trust what they have read when the operator is another process, with other certificates', async () => {
    const trusted = bundle()
    const { serial } = await get(trusted)
    const { controlPort } = replica
    await replica[Symbol.asyncDispose]()
    replica = await startReplica(controlPort)
    // what is in force stays until something changes
    assert.equal((await get(trusted)).serial, serial)
    await cluster.kubectl.apply(policy('delete'))
    await eventually(async () => (await get(trusted)).said, /no rule allows http:read/)
    assert.notEqual((await get(trusted)).serial, serial)
  })
})
