/** `firebreak check --cluster`: what a real API server says of manifests, for somebody who may only read. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ApiServer, startApiServer } from '../test/api-server.ts'

const cli = fileURLToPath(new URL('main.ts', import.meta.url))

const resource = `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: orders-db, namespace: agents}
spec:
  type: postgresql
  address: orders-db.data.svc:5432
  roles: [{name: reader, credential: {secret: {name: orders-reader}}}]
`
const identity = (role: string, more = ''): string => `apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: etl, namespace: agents}
spec:
  workload: {serviceAccounts: [etl]}
  access: [{resource: orders-db, roles: [${role}]}]
${more}`

interface Checked {
  readonly status: number
  readonly out: string
}

describe('firebreak check --cluster', function () {
  this.timeout(600_000)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-check-'))
  let api: ApiServer
  let reader: string

  const check = (manifest: string, ...words: string[]): Promise<Checked> => {
    writeFileSync(join(directory, 'firebreak.yaml'), manifest)
    const env = { PATH: process.env.PATH, KUBECONFIG: reader }
    return new Promise((resolve) => {
      execFile(process.execPath, [cli, 'check', directory, ...words], { env }, (error, stdout, stderr) =>
        resolve({ status: error ? Number(error.code) : 0, out: stdout + stderr }),
      )
    })
  }

  before(async function () {
    this.timeout('45m')
    api = await startApiServer()
    const { kubectl } = api.cluster
    await kubectl.run(['create', 'namespace', 'agents'])
    await kubectl.apply(resource)
    const kinds = ['agentidentities', 'guardrailpolicies', 'protectedresources'].map(
      (kind) => `${kind}.firebreak.dev`,
    )
    const role = ['create', 'role', 'reads', '-n', 'agents', '--verb=list', `--resource=${kinds.join(',')}`]
    await kubectl.run(role)
    await kubectl.run(['create', 'rolebinding', 'reads', '-n', 'agents', '--role=reads', '--user=reader'])
    reader = (await api.cluster.user({ name: 'reader' })).kubeconfig
  })
  after(async () => {
    await api?.[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true })
  })

  it('finds in the cluster what manifests refer to', async () => {
    const alone = await check(identity('reader'))
    assert.equal(alone.status, 1)
    assert.match(alone.out, /orders-db/)
    const { status, out } = await check(identity('reader'), '--cluster')
    assert.equal(status, 0, out)
    assert.match(out, /^valid: 1 identities, 0 resources, 0 policies/m)
  })

  it('says what is not as it is there, at its place', async () => {
    const { status, out } = await check(identity('writer'), '--cluster')
    assert.equal(status, 1)
    assert.match(
      out,
      /firebreak\.yaml:6:\d+: error: AgentIdentity agents\/etl spec\.access\[0\]\.roles\[0\]: .*writer.*reader/,
    )
  })

  it("says which fields the cluster's version does not know, and would drop", async () => {
    const definition = ['crd', 'agentidentities.firebreak.dev']
    const path = '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/suspend'
    await api.cluster.kubectl.run([
      'patch',
      ...definition,
      '--type=json',
      '-p',
      JSON.stringify([{ op: 'remove', path }]),
    ])
    const suspended = identity('reader', '  suspend: true\n')
    assert.equal((await check(`${resource}---\n${suspended}`)).status, 0)
    let checked = await check(suspended, '--cluster')
    // the API server takes a moment to publish it
    for (let turn = 0; checked.status === 0 && turn < 60; turn++)
      checked = await check(suspended, '--cluster')
    assert.equal(checked.status, 1)
    assert.match(
      checked.out,
      /firebreak\.yaml:7:3: error: AgentIdentity agents\/etl spec\.suspend: in the cluster's version: unknown field suspend/,
    )
  })

  it('says so where it may not read, and where Firebreak is not installed', async () => {
    const elsewhere = identity('reader').replace('namespace: agents', 'namespace: default')
    const refused = await check(elsewhere, '--cluster')
    assert.deepEqual([refused.status, /User "reader" cannot list/.test(refused.out)], [1, true], refused.out)
    const crds = ['agentidentities', 'approvalrequests', 'guardrailpolicies', 'protectedresources']
    await api.cluster.kubectl.run(['delete', 'crd', ...crds.map((kind) => `${kind}.firebreak.dev`)])
    let gone = await check(identity('reader'), '--cluster')
    for (let turn = 0; !/does not serve/.test(gone.out) && turn < 60; turn++)
      gone = await check(identity('reader'), '--cluster')
    assert.equal(gone.status, 1)
    assert.match(
      gone.out,
      /the cluster does not serve firebreak\.dev\/v1alpha1: Firebreak is not installed there/,
    )
  })

  it('is asked of by --cluster alone', async () => {
    const { status, out } = await check(resource, '--context', 'here')
    assert.deepEqual([status, /--context goes with --cluster/.test(out)], [2, true], out)
  })
})
