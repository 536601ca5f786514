import assert from 'node:assert/strict'
import { type ControlPlane, startControlPlane, type TestCluster } from '../index.ts'
import { existing } from './existing.ts'

describe('an existing cluster for the tests', function () {
  this.timeout('2m')
  let kubeconfig: string | undefined
  let controlPlane: ControlPlane
  let cluster: TestCluster

  before(async function () {
    this.timeout('45m')
    kubeconfig = process.env.KUBECONFIG
    controlPlane = await startControlPlane()
    process.env.KUBECONFIG = controlPlane.kubeconfig
    cluster = await existing.provide(() => {})
  })

  after(async () => {
    if (kubeconfig === undefined) delete process.env.KUBECONFIG
    else process.env.KUBECONFIG = kubeconfig
    await cluster?.[Symbol.asyncDispose]()
    await controlPlane?.[Symbol.asyncDispose]()
  })

  it('is reached as its administrator', async () => {
    assert.match(await cluster.kubectl.run(['auth', 'whoami']), /Username +kubernetes-admin/)
  })

  it('is reached as anyone else, with their groups', async () => {
    const eve = await cluster.user({ name: 'eve', groups: ['support', 'dba'] })
    const answer = await eve.kubectl.run([
      'auth',
      'whoami',
      '-o',
      'jsonpath={.status.userInfo.username} {.status.userInfo.groups}',
    ])
    assert.equal(answer, 'eve ["support","dba","system:authenticated"]')
    assert.equal((await eve.kubectl.attempt(['get', 'secrets'])).status, 1)
  })

  it('is reached as a service account', async () => {
    await cluster.kubectl.run(['create', 'serviceaccount', 'robot'])
    const robot = await cluster.serviceAccount('default', 'robot')
    assert.match(await robot.kubectl.run(['auth', 'whoami']), /Username +system:serviceaccount:default:robot/)
  })

  it('is refused to who is no administrator', async () => {
    process.env.KUBECONFIG = (await cluster.user({ name: 'eve' })).kubeconfig
    await assert.rejects(
      existing.provide(() => {}),
      /is not an administrator of its cluster/,
    )
  })

  it('stays as it is when the tests end', async () => {
    await cluster[Symbol.asyncDispose]()
    assert.match(await controlPlane.kubectl.run(['get', 'serviceaccounts']), /robot/)
  })
})
