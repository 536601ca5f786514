import assert from 'node:assert/strict'
import { describeWithProduct, endSharedProduct } from './suite.ts'
import { SupportBot } from './support-bot.ts'

describeWithProduct('the chart, on a cluster with nodes', (product) => {
  let supportBot: SupportBot
  const kubectl = (...args: string[]): Promise<string> => product().kubectl(...args)

  before(async function () {
    this.timeout('15m')
    supportBot = await SupportBot.deploy(product())
  })
  after(async function () {
    this.timeout('10m')
    await supportBot?.[Symbol.asyncDispose]()
    await endSharedProduct()
  })

  it('brings up two replicas, one of which leads', async () => {
    const inOperator = ['-n', 'firebreak-system', '-o']
    const lease = ['lease', 'firebreak-operator', ...inOperator, 'jsonpath={.spec.holderIdentity}']
    const pods = ['pods', '-l', 'app.kubernetes.io/name=firebreak-operator', ...inOperator, 'name']
    const replicas = (await kubectl('get', ...pods)).trim().split('\n')
    assert.equal(replicas.length, 2)
    assert.ok(replicas.includes(`pod/${await kubectl('get', ...lease)}`))
  }).timeout('2m')

  it('is uninstalled by its own Job, and leaves nothing in the way', async () => {
    await using agent = await supportBot.startAgent('before')
    await product().uninstall()
    assert.equal(await kubectl('get', 'mutatingwebhookconfigurations', 'firebreak', '--ignore-not-found'), '')
    assert.equal(
      await kubectl('get', 'validatingwebhookconfigurations', 'firebreak', '--ignore-not-found'),
      '',
    )
    assert.equal(await kubectl('get', 'namespaces', '-l', 'firebreak.dev/agents', '-o', 'name'), '')
    assert.equal(await kubectl('get', 'jobs', '-n', product().namespace, '-o', 'name'), '')
    await kubectl('run', 'later', '-n', 'agents', '--image=x', '--labels=app=support-bot', '--restart=Never')
    // who runs goes on, contained as before
    assert.match((await agent.psql(['SELECT ssn FROM customers WHERE id = 1'])).stdout, /^\*+1120\n$/)
    assert.match((await agent.psql(['DROP TABLE orders'])).stderr, /denied by policy/)
  }).timeout('10m')
})
