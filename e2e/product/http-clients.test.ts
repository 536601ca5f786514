/** Clients of HTTP APIs in a pod, as they are: by TLS to the APIs' own names, with what injection has them trust. */
import assert from 'node:assert/strict'
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import { type Seen, statuses } from '../../test/clients/http-programs/programs.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import type { AgentPod } from './agent-pod.ts'
import { HttpApis } from './http-apis.ts'
import { programs } from './http-clients/image.ts'
import { describeWithProduct } from './suite.ts'

const masked = '********'
const crm = 'https://crm.data.svc'
const clients: Readonly<Record<string, readonly string[]>> = {
  "Node's fetch": ['node', programs.fetch, crm],
  axios: ['node', programs.axios, crm],
  "Python's httpx": ['python3', programs.python, 'httpx', crm],
  "Python's requests": ['python3', programs.python, 'requests', crm],
  "Go's net/http": [programs.go, crm],
}
/** Of gRPC: grpcio looks for authorities in a place of its own. */
const callers: Readonly<Record<string, readonly string[]>> = {
  'grpc-js': ['node', programs.grpc],
  "Python's grpcio": ['python3', programs.pythonGrpc],
}

describeWithProduct('clients of HTTP APIs in a pod', (product) => {
  let apis: HttpApis
  let agent: AgentPod

  before(async function () {
    this.timeout('20m')
    apis = await HttpApis.deploy(product())
    agent = await apis.startAgent('buyer')
  })
  after(async function () {
    this.timeout('10m')
    await apis?.[Symbol.asyncDispose]()
  })

  // what a server says takes a moment to stand in its log
  const eventually = eventuallyWith(() => '', 60)
  /** What the program prints, after it has ended well. */
  const printed = async (command: readonly string[]): Promise<unknown> => {
    const { status, stdout, stderr } = await agent.run(command)
    assert.equal(status, 0, stderr)
    assert.doesNotMatch(stdout, /ada@/)
    return JSON.parse(stdout)
  }

  for (const [client, command] of Object.entries(clients))
    it(`${client} gets answers masked, by whatever method, and hears why it may not`, async () => {
      const before = (await apis.heard('crm')).length
      const answers = (await printed(command)) as readonly Seen[]
      const [got, posted, put, redirected, compressed, missing, deleted] = answers
      assert.deepEqual(
        answers.map(({ status }) => status),
        [...statuses.slice(0, -1), 403],
      )
      for (const [answer, method, body] of [
        [got, 'GET', 0],
        [posted, 'POST', 14],
        [put, 'PUT', 200_000],
        [redirected, 'GET', 0],
      ] as const) {
        const { email, ...seen } = JSON.parse(answer?.body ?? '') as Record<string, unknown>
        assert.deepEqual([email, seen.method, seen.body], [masked, method, body])
      }
      assert.deepEqual(JSON.parse(compressed?.body ?? ''), {
        text: 'compressed '.repeat(1_000),
        email: masked,
      })
      assert.match(missing?.body ?? '', /there is none/)
      const { detail, hint } = JSON.parse(deleted?.body ?? '') as Record<string, unknown>
      assert.match(String(detail), /denied by policy agents\/crm, rule nobody-is-deleted/)
      assert.equal(hint, 'People are archived, not deleted.')
      const heard = await eventually(async () => (await apis.heard('crm')).slice(before), /GET \/missing\n$/)
      // one more for the redirect, and none for what was denied
      assert.equal(heard.trim().split('\n').length, statuses.length, heard)
      assert.match(heard, /^PUT \/users\/a%2Fb$/m)
    }).timeout('3m')

  for (const [client, command] of Object.entries(callers))
    it(`${client} calls, hears a stream, and why it may not call`, async () => {
      const before = (await apis.heard('orders')).length
      const { got, listed, deleted } = (await printed([...command, 'orders.data.svc:443'])) as {
        got: unknown
        listed: unknown
        deleted: { code: number; details: string }
      }
      assert.equal(got, 'order 7')
      assert.deepEqual(listed, ['order 1', 'order 2', 'order 3'])
      assert.equal(deleted.code, 7)
      assert.match(deleted.details, /rule orders-stay.*Orders are cancelled, not deleted\./s)
      const heard = await eventually(async () => (await apis.heard('orders')).slice(before), /List\n/)
      assert.equal(heard, '/shop.v1.Orders/Get\n/shop.v1.Orders/List\n')
    }).timeout('3m')

  it('the SDK of MCP sees the tools that it may call, calls one, and hears why it may not call another', async () => {
    const { tools, read, deleted } = (await printed([
      'node',
      programs.mcp,
      'https://tools.data.svc/mcp',
    ])) as {
      tools: unknown
      read: CallToolResult
      deleted: CallToolResult
    }
    assert.deepEqual(tools, ['read_customer', 'read_slowly'])
    assert.deepEqual(read.structuredContent, { id: 42, name: 'Ada', email: masked })
    assert.equal(deleted.isError, true)
    assert.match(
      JSON.stringify(deleted.content),
      /rule customers-stay.*Customers are archived, not deleted\./,
    )
    const called = (await eventually(() => apis.heard('tools'), /called/)).match(/^called .*$/gm)
    assert.deepEqual(called, ['called read_customer'])
  }).timeout('3m')

  describe('of an API that takes access tokens, and has an OpenAPI document', () => {
    const url = 'https://invoices.data.svc/invoices'

    it('get what an operation answers, masked as its schema says, by a token that they never see', async () => {
      for (const _time of ['first', 'second'])
        assert.deepEqual(await printed(['curl', '-sS', url]), {
          invoices: [{ id: 7, total: 12, email: masked }],
        })
      const asked = await eventually(() => apis.heard('accounts'), /introspection\n[\s\S]*introspection\n/)
      assert.equal(asked.match(/^POST \/token$/gm)?.length, 1)
    }).timeout('3m')

    it('hear why they may not do what another operation does', async () => {
      const denied = (await printed(['curl', '-sS', '-X', 'DELETE', `${url}/7`])) as Record<string, unknown>
      assert.match(String(denied.detail), /rule invoices-stay/)
      assert.equal(denied.hint, 'Invoices are corrected, not cancelled.')
    }).timeout('3m')

    it('do not get a token themselves', async () => {
      const { stdout } = await agent.run(['curl', '-sk', '-m', '5', 'https://accounts.data.svc/token'])
      assert.equal(stdout, '')
    }).timeout('3m')
  })

  // after all that is above
  describe('all of them', () => {
    it('have nothing reach an API of what is denied', async () => {
      for (const name of ['crm', 'orders', 'tools', 'invoices'] as const)
        assert.doesNotMatch(await apis.heard(name), /delete/i, name)
    }).timeout('3m')

    it('find no credential in what they can read', async () => {
      const files = 'find /etc /run /tmp /dev/shm /var /home /root /opt -type f -exec cat {} +'
      const all = `{ env; ${files}; cat /proc/[0-9]*/environ; } 2>/dev/null`
      const count = async (texts: readonly string[]): Promise<number> => {
        // finds each, and not itself where it stands in the command
        const pattern = texts.map((text) => `[${text[0]}]${text.slice(1)}`).join('|')
        return Number((await agent.run(['sh', '-c', `${all} | grep -acE '${pattern}'`])).stdout)
      }
      assert.equal(await count(Object.values(apis.secrets)), 0)
      assert.ok((await count(['BEGIN CERTIFICATE'])) > 100, 'it finds what is there')
    }).timeout('3m')

    it('leave lines by whom and what each was, without credentials or what is masked', async () => {
      for (const action of ['grpc:shop.v1.Orders/Delete', 'mcp:tools/call.delete_customer'])
        await agent.audited(({ actions = [] }) => (actions as readonly string[]).includes(action))
      const text = JSON.stringify(await agent.audit())
      for (const secret of ['ada@', ...Object.values(apis.secrets)]) assert.ok(!text.includes(secret), secret)
    }).timeout('3m')
  })
})
