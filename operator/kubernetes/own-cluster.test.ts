import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ApiServerAccess } from './client.ts'
import { ownCluster } from './own-cluster.ts'

describe('the API server of the own cluster', () => {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-account-'))
  after(() => rmSync(directory, { recursive: true, force: true }))
  const inPod = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '443' }
  const authorization = async (access: ApiServerAccess): Promise<unknown> => {
    const options: Parameters<ApiServerAccess['applyToHTTPSOptions']>[0] = {}
    await access.applyToHTTPSOptions(options)
    return (options.headers as Record<string, unknown>).Authorization
  }

  it('is none where there is no service account', () => {
    assert.equal(ownCluster(inPod, join(directory, 'nothing')), undefined)
  })

  it('is asked with the token that is there now', async () => {
    writeFileSync(join(directory, 'token'), 'first\n')
    assert.equal(ownCluster({}, directory), undefined)
    const access = ownCluster(inPod, directory) ?? assert.fail('there is one')
    assert.equal(access.getCurrentCluster()?.server, 'https://10.0.0.1:443')
    assert.equal(access.getCurrentCluster()?.caFile, join(directory, 'ca.crt'))
    assert.equal(await authorization(access), 'Bearer first')
    writeFileSync(join(directory, 'token'), 'second')
    assert.equal(await authorization(access), 'Bearer second')
  })

  it('may have an address of IPv6', () => {
    const access = ownCluster({ ...inPod, KUBERNETES_SERVICE_HOST: 'fd00::1' }, directory)
    assert.equal(access?.getCurrentCluster()?.server, 'https://[fd00::1]:443')
  })
})
