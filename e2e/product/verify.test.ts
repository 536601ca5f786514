/** `kubectl firebreak verify` on a real cluster, once with a network plugin that enforces NetworkPolicies and once without. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { eventuallyWith } from '../../test/eventually.ts'
import { KubectlPlugin, type Said } from '../../test/kubectl-plugin.ts'
import { describeWithProduct } from './suite.ts'
import { SupportBot } from './support-bot.ts'

interface Check {
  readonly name: string
  readonly check: string
  readonly outcome: string
  readonly message: string
}

describeWithProduct('kubectl firebreak verify', (product) => {
  let supportBot: SupportBot
  let plugin: KubectlPlugin
  let verifier: string
  const eventually = eventuallyWith(() => '', 120)
  const kubectl = (...args: string[]): Promise<string> => product().kubectl(...args)
  const verify = (...words: string[]): Promise<Said> =>
    plugin.run(verifier, ['firebreak', 'verify', '-n', supportBot.namespace, ...words])
  const condition = (type: string): Promise<string> => {
    const path = `{.status.conditions[?(@.type=="${type}")]}`
    return kubectl(
      'get',
      'protectedresource',
      'orders-db',
      '-n',
      supportBot.namespace,
      '-o',
      `jsonpath=${path}`,
    )
  }
  const probePods = (): Promise<string> =>
    kubectl('get', 'pods', '-n', supportBot.namespace, '-l', 'firebreak.dev/verify', '-o', 'name')

  before(async function () {
    this.timeout('15m')
    supportBot = await SupportBot.deploy(product())
    plugin = new KubectlPlugin(product().cluster.kubectl.program)
    verifier = (await product().cluster.user({ name: 'vera' })).kubeconfig
    const binding = ['create', 'rolebinding', '--clusterrole=firebreak-verifier', '--user=vera', 'vera']
    await kubectl(...binding, '-n', supportBot.namespace)
  })
  after(async function () {
    this.timeout('10m')
    plugin?.[Symbol.dispose]()
    await supportBot?.[Symbol.asyncDispose]()
  })

  it('proves that nothing gets around, and notes it on the resource', async () => {
    const { status, out, err } = await verify()
    assert.equal(status, 0, out + err)
    assert.match(out, /^AgentIdentity agents\/support-bot\n {2}✓ its pods get their sidecars/m)
    assert.match(out, /✓ it gets its sessions .*it got a session on orders-db as reader/)
    assert.match(out, /✓ it gets nowhere past them/)
    assert.match(out, /✓ the network plugin keeps in .*reaches nothing/)
    assert.match(
      out,
      /^ProtectedResource agents\/orders-db\n {2}✓ the network plugin keeps out .*orders-db\.data\.svc:5432/m,
    )
    assert.match(out, /All of it is proven\.\n$/)
    const verified = JSON.parse(await condition('Verified'))
    assert.deepEqual([verified.status, verified.reason], ['True', 'Proven'])
    assert.match(verified.message, /^tried by vera at \d/)
    assert.match(await condition('Ready'), /"status":"True"/)
    await eventually(probePods, /^$/)
  }).timeout('10m')

  it('is read by programs, also when somebody may not look into the namespace of the database', async () => {
    const { status, out, err } = await verify('-o', 'json')
    assert.equal(status, 0, out + err)
    const { proven, checks } = JSON.parse(out) as { proven: boolean; checks: Check[] }
    assert.equal(proven, true)
    assert.deepEqual(checks.map(({ name, check, outcome }) => `${name} ${check} ${outcome}`).sort(), [
      'orders-db Ingress proven',
      'support-bot DirectAccess proven',
      'support-bot Egress proven',
      'support-bot GuardedAccess proven',
      'support-bot Injection proven',
    ])
  }).timeout('10m')

  it("says loudly that a network plugin ignores NetworkPolicies, and what it thereby isn't", async function () {
    const { machinery } = product().cluster
    if (!machinery) return this.skip()
    using stack = new DisposableStack()
    for (const node of machinery.nodes) stack.use(node.ignoreNetworkPolicies())
    const { status, out, err } = await verify()
    assert.equal(status, 1, out + err)
    assert.match(out, /✓ its pods get their sidecars/)
    assert.match(out, /✓ it gets nowhere past them/)
    assert.match(out, /✗ the network plugin keeps in .*still reaches/)
    assert.match(out, /✗ the network plugin keeps out .*reaches .*orders-db\.data\.svc:5432/)
    assert.match(
      out,
      /THE NETWORK PLUGIN OF THIS CLUSTER DOES NOT ENFORCE NetworkPolicies \(egress and ingress\)/,
    )
    assert.match(await condition('Verified'), /"status":"False"/)
    await eventually(probePods, /^$/)
  }).timeout('10m')

  it('says who is in the way where access does not work', async () => {
    const resource = ['protectedresource', 'orders-db', '-n', supportBot.namespace, '--type=merge', '-p']
    const role = (secret: string): string =>
      JSON.stringify({ spec: { roles: [{ name: 'reader', credential: { secret: { name: secret } } }] } })
    await kubectl('patch', ...resource, role('orders-maintainer'))
    const generations = 'jsonpath={.metadata.generation} {.status.observedGeneration}'
    const seen = (): Promise<string> =>
      kubectl('get', 'protectedresource', 'orders-db', '-n', supportBot.namespace, '-o', generations)
    await eventually(seen, /^(\d+) \1$/)
    try {
      const { status, out } = await verify()
      assert.equal(status, 1)
      assert.match(out, /✗ it gets its sessions .*it got no session on orders-db as reader: /)
      assert.doesNotMatch(out, /THE NETWORK PLUGIN/)
    } finally {
      await kubectl('patch', ...resource, role('orders-reader'))
    }
  }).timeout('10m')

  it('deletes its pods when somebody interrupts it', async () => {
    const running = plugin.start(verifier, ['firebreak', 'verify', '-n', supportBot.namespace])
    let said = ''
    running.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    // what it says may come after it has ended
    const ended = once(running, 'close')
    await eventually(() => said, /starting a pod without a sidecar/)
    assert.match(await probePods(), /greeter/)
    running.kill('SIGINT')
    assert.deepEqual(await ended, [130, null], said)
    assert.match(said, /Interrupted: nothing is proven/)
    await eventually(probePods, /^$/)
  }).timeout('8m')
})
