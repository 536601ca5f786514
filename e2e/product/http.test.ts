/** An agent in a pod uses an HTTP API by TLS, with clients that know nothing of Firebreak. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { eventuallyWith } from '../../test/eventually.ts'
import type { Output } from '../cluster/command.ts'
import type { User } from '../cluster/control-plane/start.ts'
import type { AgentPod } from './agent-pod.ts'
import { Crm } from './crm.ts'
import { describeWithProduct } from './suite.ts'

interface Attempt {
  readonly name: string
  readonly command: readonly string[]
  readonly says: string
  readonly audited?: string
  /** Whose log has a line of it; nobody's, when absent. */
  readonly reaches?: 'open'
}

const { api: attempts } = parse(
  readFileSync(new URL('../../attacks/pods.yaml', import.meta.url), 'utf8'),
) as {
  api: Attempt[]
}
const url = 'https://crm.data.svc/customers'

describeWithProduct('an agent of an HTTP API in a pod', (product) => {
  let crm: Crm
  let agent: AgentPod
  let dana: User
  const kubectl = (...args: string[]): Promise<string> => product().kubectl(...args)
  const eventually = eventuallyWith(() => '', 60)
  const curl = (...words: string[]): Promise<Output> => agent.run(['curl', '-sS', ...words])

  before(async function () {
    this.timeout('15m')
    crm = await Crm.deploy(product())
    dana = await product().cluster.user({ name: 'dana', groups: ['platform'] })
    const approvers = ['--clusterrole=firebreak-approver', '--group=platform']
    await kubectl('create', 'rolebinding', 'approvers', ...approvers, '-n', 'agents')
    agent = await crm.startAgent('crm-bot')
  })
  after(async function () {
    this.timeout('10m')
    await crm?.[Symbol.asyncDispose]()
  })

  for (const [client, command] of Object.entries({
    'by curl': ['curl', '-sS', url],
    'by Python': ['python3', '-c', `import urllib.request as r; print(r.urlopen("${url}").read().decode())`],
    'by OpenSSL': [
      'sh',
      '-c',
      `printf 'GET /customers HTTP/1.1\\r\\nHost: crm.data.svc\\r\\nConnection: close\\r\\n\\r\\n' |
        openssl s_client -quiet -verify_return_error -connect crm.data.svc:443 -servername crm.data.svc`,
    ],
    'by its listener': ['sh', '-c', 'curl -sS "http://$FIREBREAK_CRM_HOST:$FIREBREAK_CRM_PORT/customers"'],
    'by its listener and TLS': ['sh', '-c', 'curl -sS "https://localhost:$FIREBREAK_CRM_PORT/customers"'],
  }))
    it(`gets customers masked, ${client}`, async () => {
      const { stdout, stderr } = await agent.run(command)
      assert.match(stdout, /"name": ?"Ada Okafor", ?"email": ?"\*{8}"/, stderr)
      assert.doesNotMatch(stdout, /canary/)
    }).timeout('3m')

  it('trusts public authorities as before', async () => {
    const count = ['grep', '-c', 'BEGIN CERTIFICATE', '/etc/firebreak/ca.crt']
    assert.ok(Number((await agent.run(count)).stdout) > 100)
  }).timeout('2m')

  it('is denied what is not allowed, with the reason', async () => {
    const { stdout } = await curl('-X', 'DELETE', `${url}/1`)
    const { status, detail, hint } = JSON.parse(stdout) as { status: number; detail: string; hint: string }
    assert.equal(status, 403)
    assert.match(detail, /rule nothing-is-deleted/)
    assert.equal(hint, 'Customers are archived, not deleted.')
    assert.doesNotMatch(await crm.requests(), /DELETE/)
  }).timeout('3m')

  it('waits while a person is asked, and goes on once when they agree', async () => {
    const change = [
      '-X',
      'PATCH',
      '-H',
      'content-type: application/json',
      '-d',
      '{"name":"Ada O."}',
      `${url}/1`,
    ]
    const changing = curl(...change)
    const requests = ['get', 'approvals', '-n', 'agents', '-o']
    const pending = 'jsonpath={.items[?(@.status.state=="Pending")].metadata.name}'
    const name = await eventually(() => kubectl(...requests, pending), /^\S+$/)
    assert.doesNotMatch(await crm.requests(), /PATCH/)
    const decision = JSON.stringify({ spec: { decision: 'Approved', reason: 'she asked for it' } })
    await dana.kubectl.run(['patch', 'approval', name, '-n', 'agents', '--type=merge', '-p', decision])
    const { stdout, stderr } = await changing
    assert.match(stdout, /"name": ?"Ada O\."/, stderr)
    const requested = await eventually(() => crm.requests(), /PATCH/)
    assert.equal(requested.match(/PATCH/g)?.length, 1)
  }).timeout('5m')

  it('reaches what egress lets through as it is', async () => {
    const { stdout } = await curl('-k', 'https://open.data.svc/customers')
    assert.match(stdout, /who are you/)
    await eventually(() => crm.requests('open'), /^GET open\.data\.svc \/customers$/m)
  }).timeout('3m')

  describe('does not get', () => {
    let names: readonly (readonly [string, string])[]
    const filled = (text: string): string =>
      names.reduce((all, [word, value]) => all.replaceAll(word, value), text)

    before(async () => {
      const inData = ['-n', 'data', '-o']
      names = [
        ['CRM_POD', await kubectl('get', 'pod', 'crm', ...inData, 'jsonpath={.status.podIP}')],
        ['CRM', await kubectl('get', 'service', 'crm', ...inData, 'jsonpath={.spec.clusterIP}')],
        // finds it, and not itself where it stands in a command
        ['ROLE', `[${crm.token[0]}]${crm.token.slice(1)}`],
      ]
    })

    for (const { name, command, says, audited, reaches } of attempts)
      it(name, async () => {
        const [protectedBefore, openBefore] = [await crm.requests(), await crm.requests('open')]
        const { stdout, stderr } = await agent.run(command.map(filled))
        assert.match(stdout, new RegExp(says, 'm'), stderr)
        const openSince = async (): Promise<string> => (await crm.requests('open')).slice(openBefore.length)
        if (reaches) await eventually(openSince, /\n$/)
        else assert.equal(await openSince(), '')
        assert.equal(await crm.requests(), protectedBefore)
        if (audited === undefined) return
        await agent.audited(
          ({ event, destination }) => event === 'egress.refused' && destination === filled(audited),
        )
      }).timeout('3m')
  })

  it('leaves a line of each request in the trail of its pod, without what is masked', async () => {
    const [denied] = await agent.audited(
      ({ decision, text }) => decision === 'deny' && /DELETE/.test(String(text)),
    )
    assert.equal(denied?.identity, 'agents/crm-bot')
    assert.ok(!JSON.stringify(await agent.audit()).includes('canary'))
  }).timeout('3m')
})
