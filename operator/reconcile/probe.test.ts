import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { ProtectedResource } from '@firebreak/crds'
import { parse } from 'yaml'
import { freePort, startPostgres } from '../../tools/postgres.ts'
import { CertificateAuthority } from '../certificates/authority.ts'
import type { World } from '../watch/world.ts'
import { probeResource } from './probe.ts'

interface Case {
  readonly name: string
  readonly server: string
  readonly ca?: string
  readonly tls?: object
  readonly says: string
}

const cases = parse(readFileSync(new URL('testdata/probes.yaml', import.meta.url), 'utf8')) as readonly Case[]

const credentialCases = parse(
  readFileSync(new URL('testdata/probed-credentials.yaml', import.meta.url), 'utf8'),
) as readonly { readonly name: string; readonly spec: object; readonly says: string }[]

describe('the probe of a protected resource', function () {
  this.timeout('2m')
  const stack = new AsyncDisposableStack()
  const addresses = new Map<string, string>()
  const secrets = new Map<string, { data: Record<string, string> }>()
  const authority = (name: string, pem: string): void => {
    secrets.set(`agents/${name}`, { data: { 'ca.crt': Buffer.from(pem).toString('base64') } })
  }
  const at = (name: string, { port }: { readonly port: number }): void => {
    addresses.set(name, `127.0.0.1:${port}`)
  }
  const answering = async (answer: string | undefined): Promise<{ port: number }> => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      if (answer !== undefined) socket.once('data', () => socket.end(answer))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    stack.defer(() => void server.close())
    return server.address() as { port: number }
  }

  before(async () => {
    const ours = await CertificateAuthority.create('databases', 2)
    authority('authority', ours.certificate)
    authority('other', (await CertificateAuthority.create('others', 2)).certificate)
    authority('unreadable', '-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n')
    const withTls = async (days: number) =>
      stack.use(await startPostgres({ tls: await ours.server({ name: 'db' }, ['localhost'], days) }))
    at('secure', await withTls(1))
    at('lapsed', await withTls(0))
    at('plain', stack.use(await startPostgres()))
    at('nobody', { port: await freePort() })
    at('silent', await answering(undefined))
    at('hangsUp', await answering(''))
    at('garbage', await answering('SHTTP/1.1 400 Bad Request\r\n\r\n'))
    addresses.set('unknown', 'nobody.invalid:5432')
  })
  after(() => stack.disposeAsync())

  for (const { name, server, ca, tls = { mode: 'verify-full', serverName: 'localhost' }, says } of cases)
    it(`tells of ${name}`, async () => {
      const address = addresses.get(server) ?? ''
      const resource = {
        kind: 'ProtectedResource',
        metadata: { name: 'db', namespace: 'agents' },
        spec: {
          type: 'postgresql',
          address,
          tls: { ...tls, ...(ca && { ca: { secret: { name: ca, key: 'ca.crt' } } }) },
          roles: [],
        },
      }
      const world = { secrets, readsSecretsOf: () => true } as unknown as World
      const findings = await probeResource(resource as unknown as ProtectedResource, world)
      const { status, reason, message } = findings.find(({ type }) => type === 'Reachable') ?? assert.fail()
      const told = `${status} ${reason}: ${message}`
      assert.ok(told.startsWith(says.replace('ADDRESS', address)), told)
    })

  for (const { name, spec, says } of credentialCases)
    it(`tells of ${name}`, async () => {
      const resource = {
        kind: 'ProtectedResource',
        metadata: { name: 'crm', namespace: 'agents' },
        spec: { type: 'http', address: addresses.get('nobody'), tls: { mode: 'disable' }, ...spec },
      }
      const stored = new Map([['agents/stored', { data: { password: '', 'tls.crt': '', 'tls.key': '' } }]])
      const world = { secrets: stored, readsSecretsOf: () => true } as unknown as World
      const findings = await probeResource(resource as unknown as ProtectedResource, world)
      const { status, reason, message } =
        findings.find(({ type }) => type === 'CredentialsResolved') ?? assert.fail()
      assert.equal(`${status} ${reason}: ${message}`, says)
    })
})
