import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compileConfiguration } from '../configuration/configuration.ts'
import { ClientFiles, guardedClusters, kubeconfigFor } from './client-files.ts'

const shop = { name: 'shop', port: 15432, roles: ['deployer', 'viewer'], namespace: 'agents' }
const staging = { name: 'staging', port: 15433, roles: ['deployer'] }

describe('the kubeconfig of an agent', () => {
  it('has a context for each cluster, and one for each role where there are several', () => {
    const { contexts, users, clusters, ...rest } = JSON.parse(kubeconfigFor([shop, staging]))
    assert.deepEqual(contexts, [
      { name: 'shop', context: { cluster: 'shop', user: 'shop', namespace: 'agents' } },
      { name: 'shop/deployer', context: { cluster: 'shop', user: 'shop/deployer', namespace: 'agents' } },
      { name: 'shop/viewer', context: { cluster: 'shop', user: 'shop/viewer', namespace: 'agents' } },
      { name: 'staging', context: { cluster: 'staging', user: 'staging' } },
    ])
    assert.deepEqual(users, [
      { name: 'shop', user: { username: 'deployer' } },
      { name: 'shop/deployer', user: { username: 'deployer' } },
      { name: 'shop/viewer', user: { username: 'viewer' } },
      { name: 'staging', user: { username: 'deployer' } },
    ])
    assert.deepEqual(clusters, [
      { name: 'shop', cluster: { server: 'http://127.0.0.1:15432' } },
      { name: 'staging', cluster: { server: 'http://127.0.0.1:15433' } },
    ])
    assert.deepEqual(rest, { apiVersion: 'v1', kind: 'Config', 'current-context': 'shop' })
  })

  it('is empty where there is no cluster', () => {
    const { contexts, 'current-context': current } = JSON.parse(kubeconfigFor([]))
    assert.deepEqual([contexts, current], [[], ''])
  })
})

describe('the clusters of an agent', () => {
  const { configuration } = compileConfiguration(
    [
      {
        path: 'x.yaml',
        text: `
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: own, namespace: agents}
spec: {type: kubernetes, address: "kubernetes.default.svc:443", roles: [{name: viewer, credential: {env: {password: X}}}]}
---
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: staging, namespace: agents}
spec: {type: kubernetes, address: "staging.example:6443", roles: [{name: viewer, credential: {env: {password: X}}}]}
---
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: api, namespace: agents}
spec: {type: http, address: "api.example:443", roles: [{name: viewer, credential: {env: {password: X}}}]}
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: deployer, namespace: agents}
spec:
  authentication: {loopback: {}}
  access: [{resource: staging, roles: [viewer]}, {resource: api, roles: [viewer]}, {resource: own, roles: [viewer]}]
`,
      },
    ],
    '/',
  )

  it('are those of its access that have a listener, in their order', () => {
    assert.ok(configuration)
    const ports = new Map([
      ['own', 1],
      ['staging', 2],
      ['api', 3],
    ])
    const portOf = (name: string): number | undefined => ports.get(name)
    const roles = ['viewer']
    const own = { name: 'own', port: 1, roles, namespace: 'agents' }
    const other = { name: 'staging', port: 2, roles }
    assert.deepEqual(guardedClusters(configuration, 'agents/deployer', portOf), [other, own])
    ports.delete('staging')
    assert.deepEqual(guardedClusters(configuration, 'agents/deployer', portOf), [own])
    assert.deepEqual(guardedClusters(configuration, 'agents/nobody', portOf), [])
  })
})

describe("files for an agent's clients", () => {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-clients-'))
  after(() => rmSync(directory, { recursive: true, force: true }))

  it('are replaced as a whole, readable by everybody and writable by nobody', async () => {
    const files = new ClientFiles(directory)
    await files.write('kubeconfig', 'one')
    await files.write('kubeconfig', 'two')
    assert.equal(readFileSync(join(directory, 'kubeconfig'), 'utf8'), 'two')
    assert.equal(statSync(join(directory, 'kubeconfig')).mode & 0o777, 0o444)
    assert.deepEqual(readdirSync(directory), ['kubeconfig'])
  })

  it('are written where they belong, whatever stands there', async () => {
    const elsewhere = join(directory, 'elsewhere')
    writeFileSync(elsewhere, 'untouched')
    for (const name of ['ca.crt', 'ca.crt.new']) symlinkSync(elsewhere, join(directory, name))
    await new ClientFiles(directory).write('ca.crt', 'ours')
    assert.equal(readFileSync(elsewhere, 'utf8'), 'untouched')
    assert.equal(readFileSync(join(directory, 'ca.crt'), 'utf8'), 'ours')
  })
})
