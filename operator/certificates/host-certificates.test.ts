import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import type { ProtectedResource } from '@firebreak/crds'
import type {
  KeyAndCertificate,
  SentCertificates,
  ShownCertificate,
} from '@firebreak/sidecar/control/certificates.ts'
import { authorityKey, CertificateAuthority } from './authority.ts'
import { HostCertificates } from './host-certificates.ts'

const agent = 'agents/deployer'
const resource = (name: string, address: string, more: object = {}): ProtectedResource =>
  ({
    apiVersion: 'firebreak.dev/v1alpha1',
    kind: 'ProtectedResource',
    metadata: { name, namespace: 'agents' },
    spec: { type: 'http', address, tls: { mode: 'verify-full' }, roles: [], ...more },
  }) as unknown as ProtectedResource
const crm = resource('crm', 'crm.data.svc:443')
const api = resource('api', 'API.example:8443')
const cluster = resource('cluster', 'kubernetes.default.svc:443', { type: 'kubernetes' })

/** What a client says to a server that shows this certificate: empty when it trusts it. */
async function verdict(shown: KeyAndCertificate, ca: string, servername: string): Promise<string> {
  await using server = createServer({ cert: shown.certificate, key: shown.key })
  server.on('tlsClientError', () => {})
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const socket = connect({ host: '127.0.0.1', port, ca, ...(isIP(servername) === 0 && { servername }) })
  const [error] = (await Promise.race([
    once(socket, 'secureConnect').then(() => [undefined]),
    once(socket, 'error'),
  ])) as [Error | undefined]
  socket.destroy()
  return error?.message ?? ''
}

describe('certificates for the hosts of protected APIs', () => {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-certificates-'))
  let key: string
  let now = Date.UTC(2026, 0, 1, 12)
  let certificates: HostCertificates

  const unexpected = (of: string, error: Error): void => assert.fail(`${of}: ${error.message}`)
  const made = async (of = agent, ...resources: ProtectedResource[]): Promise<SentCertificates> => {
    const told = new Promise<void>((resolve) =>
      certificates.onChange((about) => {
        if (about === of) resolve()
      }),
    )
    assert.equal(certificates.for(of, resources), undefined, 'they are being made')
    await told
    return certificates.for(of, resources) ?? assert.fail('they are there')
  }
  const shownFor = (sent: SentCertificates, name: string): ShownCertificate =>
    sent.certificates[name] ?? assert.fail(`one for ${name}`)

  before(async () => {
    key = await authorityKey()
  })
  beforeEach(() => {
    certificates = new HostCertificates(key, '10.96.0.1', unexpected, () => now)
  })
  afterEach(() => certificates[Symbol.dispose]())
  after(() => rmSync(directory, { recursive: true, force: true }))

  it('are trusted under all names of the host, and no others', async () => {
    const sent = await made(agent, crm, api)
    const authority = sent.authority ?? assert.fail()
    for (const [name, hosts] of [
      ['crm', ['crm.data.svc', 'crm.data', 'crm.data.svc.cluster.local', 'localhost', '127.0.0.1']],
      ['api', ['api.example', 'localhost', '127.0.0.1']],
    ] as const)
      for (const host of hosts) {
        const { byName, ...whole } = shownFor(sent, name)
        const shown = isIP(host) === 0 ? [whole, byName ?? assert.fail('one without addresses')] : [whole]
        for (const each of shown) assert.equal(await verdict(each, authority, host), '', host)
      }
    for (const host of ['api.example', 'crm', 'data.svc'])
      assert.match(await verdict(shownFor(sent, 'crm'), authority, host), /does not match/, host)
  })

  it('are without addresses for who says a name: BoringSSL can’t verify these where they are limited', async () => {
    const { byName } = shownFor(await made(agent, crm), 'crm')
    const { subjectAltName } = new X509Certificate(byName?.certificate ?? '')
    assert.equal(
      subjectAltName,
      'DNS:crm.data.svc, DNS:crm.data, DNS:crm.data.svc.cluster.local, DNS:localhost',
    )
  })

  for (const address of [
    '999.1.1.1:443',
    '[::::]:443',
    '[2001:DB8::5]:443',
    `${'x'.repeat(250)}.example:443`,
  ])
    it(`are made for whatever can be declared: ${address.slice(0, 20)}`, async () => {
      const sent = await made(agent, resource('odd', address))
      assert.equal(await verdict(shownFor(sent, 'odd'), sent.authority ?? '', 'localhost'), '')
    })

  it("are for the Service's address as well where the API is the cluster's own", async () => {
    const sent = await made(agent, cluster)
    const { subjectAltName } = new X509Certificate(shownFor(sent, 'cluster').certificate)
    const names = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc.cluster.local']
    for (const name of names) assert.ok(subjectAltName?.includes(`DNS:${name}`), subjectAltName)
    assert.ok(subjectAltName?.includes('IP Address:10.96.0.1'), subjectAltName)
  })

  it('can be verified by who is strict, as Python is', async () => {
    const sent = await made(agent, crm)
    const [ca, leaf] = ['ca.crt', 'leaf.crt'].map((name) => join(directory, name)) as [string, string]
    writeFileSync(ca, sent.authority ?? '')
    writeFileSync(leaf, shownFor(sent, 'crm').certificate)
    const words = ['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', 'crm.data.svc']
    const { stdout, stderr } = spawnSync('openssl', [...words, '-CAfile', ca, leaf], { encoding: 'utf8' })
    assert.match(stdout, /leaf\.crt: OK/, stderr)
  })

  for (const host of ['bank.example', 'example', 'xapi.example', '10.1.2.3', '::1'])
    it(`can't be made for ${host} by who gets hold of the key`, async () => {
      const sent = await made(agent, api)
      // all that is in the certificate but the limits is the thief's to choose
      const name = new X509Certificate(sent.authority ?? '').subject.replace(/^CN=/, '')
      const thief = await CertificateAuthority.limited(name, key, [host, '127.0.0.1', 'localhost'], 1)
      const forged = await thief.server({ name: 'forged' }, [host, '127.0.0.1'])
      assert.match(await verdict(forged, sent.authority ?? '', '127.0.0.1'), /permitted subtree violation/)
    })

  it('of one agent are nothing to the pods of another', async () => {
    const mine = await made(agent, crm)
    const theirs = await made('agents/other', crm)
    assert.notEqual(
      await verdict(shownFor(mine, 'crm'), theirs.authority ?? '', 'crm.data.svc'),
      '',
      'the same key, and another authority',
    )
  })

  it('are made anew each day, and good for a week; what pods trust stays good', async () => {
    const first = await made(agent, crm)
    const told: (string | undefined)[] = []
    certificates.onChange((about) => told.push(about))
    certificates.look()
    assert.deepEqual(told, [])
    const { version } = certificates
    now += 86_400_000
    certificates.look()
    assert.deepEqual(told, [undefined])
    assert.notEqual(certificates.version, version)
    const second = await made(agent, crm)
    assert.notEqual(shownFor(second, 'crm').certificate, shownFor(first, 'crm').certificate)
    assert.equal(await verdict(shownFor(second, 'crm'), first.authority ?? '', 'crm.data.svc'), '')
    const { validTo } = new X509Certificate(shownFor(second, 'crm').certificate)
    const days = (Date.parse(validTo) - Date.now()) / 86_400_000
    assert.ok(days > 6.9 && days < 7.1, validTo)
  })

  it('are the same in all replicas as far as trust goes', async () => {
    const sent = await made(agent, crm)
    using other = new HostCertificates(key, '10.96.0.1', unexpected, () => now)
    assert.equal(other.version, certificates.version)
    const elsewhere = await other.authorityFor(agent, [crm])
    assert.equal(await verdict(shownFor(sent, 'crm'), elsewhere, 'crm.data.svc'), '')
  })

  it('are none where nobody comes by TLS', () => {
    const plain = resource('plain', 'plain.data.svc:80', { tls: { mode: 'disable' } })
    const database = resource('orders', 'orders.data.svc:5432', { type: 'postgresql' })
    assert.deepEqual(certificates.for(agent, [plain, database]), { authority: undefined, certificates: {} })
  })
})
