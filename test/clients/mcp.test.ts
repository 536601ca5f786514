/** The real client of the Model Context Protocol and a real server, with the gateway between them. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { decideRequest, listRequests } from '@firebreak/sidecar/approvals/desk.ts'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import {
  type CallToolResult,
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  type Progress,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js'
import { eventuallyWith } from '../eventually.ts'
import { httpManifests } from '../http-shop.ts'
import { McpServer } from '../mcp-server.ts'
import { Guard } from '../shop.ts'

const rules = `    - {name: server, match: {actions: ["http:*"], objects: [/mcp]}, effect: allow}
    - {name: reads, match: {actions: ["mcp:tools/call.read_*", "mcp:tools/call.ask_*"]}, effect: allow}
    - {name: refunds, match: {actions: ["mcp:tools/call.refund"]}, effect: allow}
    - {name: refunds-asked, match: {actions: ["mcp:tools/call.refund"]}, effect: requireApproval WAITING}
    - {name: no-deleting, match: {actions: ["mcp:tools/call.delete_*"]}, effect: deny, message: customers stay}
    - {name: prompts, match: {actions: ["mcp:prompts/get"], objects: [prompt greet]}, effect: allow}
    - {name: public, match: {actions: ["mcp:resources/read"], objects: ['resource "file:///public/*"']}, effect: allow}
`
const eventually = eventuallyWith(() => 'what a client of MCP waits for')
const masking = '    - {name: addresses, match: {tags: [pii]}, effect: mask, mask: {strategy: redact}}\n'
const roles =
  '[{name: agent, credential: {env: {password: SHOP_PASSWORD}}}, {name: other, credential: {env: {password: SHOP_PASSWORD}}}]'

for (const json of [false, true])
  describe(`a client of MCP, of a server that answers in ${json ? 'JSON' : 'events'}`, function () {
    this.timeout(120_000)
    let server: McpServer
    let guard: Guard | undefined
    const clients: Client[] = []

    before(async () => {
      server = await McpServer.start({ json })
    })
    after(() => server[Symbol.asyncDispose]())
    beforeEach(() => {
      server.called.length = 0
    })
    afterEach(async () => {
      for (const client of clients.splice(0)) await client.close()
      await guard?.[Symbol.asyncDispose]()
      guard = undefined
    })

    const start = async ({ waiting = '', masks = false } = {}): Promise<Guard> => {
      const text = httpManifests({
        address: server.address,
        http: ', mcp: [/mcp]',
        rules: rules.replace('WAITING', waiting) + (masks ? masking : ''),
        roles,
        access: '[agent, other]',
        classification:
          '[{tags: [pii], fields: [$.result.content.text.email, $.result.structuredContent.email]}]',
      })
      guard = await Guard.start({ 'firebreak.yaml': text }, 'the-secret')
      return guard
    }
    const transportOf = (role = 'agent', sessionId?: string): StreamableHTTPClientTransport =>
      new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${guard?.address.port}/mcp`), {
        requestInit: { headers: { 'firebreak-role': role } },
        ...(sessionId !== undefined && { sessionId }),
      })
    const connect = async (transport = transportOf()): Promise<Client> => {
      const client = new Client(
        { name: 'agent', version: '1.0.0' },
        { capabilities: { elicitation: {}, sampling: {} } },
      )
      clients.push(client)
      // its optional members are declared in another way than those of the interface
      await client.connect(transport as Parameters<Client['connect']>[0])
      return client
    }
    const text = (result: unknown): string => {
      const [content] = (result as CallToolResult).content
      return content?.type === 'text' ? content.text : ''
    }
    /** Names and states of what people are asked, as `NAME Pending`. */
    const asked = async (): Promise<string> => {
      const requests = await listRequests(join(guard?.directory ?? '', 'approvals')).catch(() => [])
      return requests.map(({ metadata, status }) => `${metadata.name} ${status?.state}`).join('\n')
    }
    const open = async (): Promise<string> =>
      (await eventually(asked, /\S+ Pending/)).replace(/^.*?(\S+) Pending.*$/s, '$1')
    const decide = async (decision: 'Approved' | 'Denied'): Promise<void> => {
      const directory = join(guard?.directory ?? '', 'approvals')
      const result = await decideRequest(directory, await open(), { decision, reason: 'a test' })
      assert.equal(result.kind, 'decided')
    }

    it('sees only what it may ask for, page by page', async () => {
      await start()
      const client = await connect()
      const first = await client.listTools()
      assert.deepEqual(
        first.tools.map(({ name }) => name),
        ['read_customer', 'refund'],
      )
      const second = await client.listTools({ cursor: first.nextCursor })
      assert.deepEqual(
        second.tools.map(({ name }) => name),
        ['ask_person', 'ask_model', 'read_slowly'],
      )
      assert.deepEqual((await client.listPrompts()).prompts, [{ name: 'greet' }])
      assert.deepEqual(
        (await client.listResources()).resources.map(({ uri }) => uri),
        ['file:///public/terms.txt'],
      )
      assert.deepEqual(
        (await client.listResourceTemplates()).resourceTemplates.map(({ uriTemplate }) => uriTemplate),
        ['file:///public/{name}'],
      )
    })

    it('calls what it may, and hears why it may not', async () => {
      await start()
      const client = await connect()
      assert.match(text(await client.callTool({ name: 'read_customer' })), /ada@shop.example/)
      const denied = await client.callTool({ name: 'delete_customer' })
      assert.equal(denied.isError, true)
      assert.match(
        text(denied),
        /denied by policy default\/guard, rule no-deleting.*\ncustomers stay\n\(reference /,
      )
      await assert.rejects(
        client.getPrompt({ name: 'scold' }),
        /no rule allows mcp:prompts\/get on prompt scold/,
      )
      await assert.rejects(
        client.readResource({ uri: 'file:///secret/keys.txt' }),
        /no rule allows mcp:resources\/read/,
      )
      assert.deepEqual((await client.getPrompt({ name: 'greet' })).messages.length, 1)
      const { contents } = await client.readResource({ uri: 'file:///public/terms.txt' })
      assert.deepEqual(contents, [
        { uri: 'file:///public/terms.txt', text: 'what stands in file:///public/terms.txt' },
      ])
      assert.deepEqual(server.called, ['read_customer'])
    })

    it('waits for people, hears of it meanwhile, and gets the result', async () => {
      await start()
      const client = await connect()
      const heard: Progress[] = []
      const called = client.callTool({ name: 'refund' }, undefined, {
        onprogress: (each) => heard.push(each),
      })
      await eventually(() => heard[0]?.message ?? '', /held for approval as approvalrequest\//)
      assert.deepEqual(server.called, [])
      await decide('Approved')
      assert.match(text(await called), /Ada/)
      assert.deepEqual(server.called, ['refund'])
    })

    it('waits without being told where it did not ask for that, and hears that people said no', async () => {
      await start()
      const client = await connect()
      const called = client.callTool({ name: 'refund' })
      await decide('Denied')
      const result = await called
      assert.equal(result.isError, true)
      assert.match(text(result), /denied/)
      assert.deepEqual(server.called, [])
      assert.match(text(await client.callTool({ name: 'read_customer' })), /Ada/)
    })

    it('takes back what it asked for', async () => {
      await start()
      const client = await connect()
      const giving = new AbortController()
      const called = client.callTool({ name: 'refund' }, undefined, { signal: giving.signal })
      const name = await open()
      giving.abort(new Error('never mind'))
      await assert.rejects(called, /never mind/)
      await eventually(asked, new RegExp(`${name} Withdrawn`))
      assert.deepEqual(server.called, [])
      assert.match(text(await client.callTool({ name: 'read_customer' })), /Ada/)
    })

    it('comes again once people have agreed, where it is not to wait', async () => {
      await start({ waiting: ', approval: {whileWaiting: fail}' })
      const client = await connect()
      const first = await client.callTool({ name: 'refund', arguments: { amount: 12.5 } })
      assert.match(text(first), /approvalrequest\//)
      await decide('Approved')
      const other = await client.callTool({ name: 'refund', arguments: { amount: 99 } })
      assert.equal(other.isError, true)
      assert.match(text(await client.callTool({ name: 'refund', arguments: { amount: 12.5 } })), /Ada/)
      assert.deepEqual(server.called, ['refund'])
    })

    it('gets results with what is masked in them', async () => {
      await start({ masks: true })
      const client = await connect()
      const result = await client.callTool({ name: 'read_customer' })
      assert.deepEqual(result.structuredContent, { id: 42, name: 'Ada', email: '********' })
      assert.deepEqual(JSON.parse(text(result)), { id: 42, name: 'Ada', email: '********' })
      assert.equal((await client.listTools()).tools.length, 2)
    })

    it('is known by its session, which is nobody else’s', async () => {
      await start()
      const transport = transportOf()
      await connect(transport)
      const stranger = transportOf('other', transport.sessionId)
      const client = await connect(stranger)
      await assert.rejects(client.callTool({ name: 'read_customer' }), /no such session/)
      const forged = await connect(transportOf('agent', transport.sessionId?.replace(/\..*/, '')))
      await assert.rejects(forged.callTool({ name: 'read_customer' }), /no such session/)
      assert.deepEqual(server.called, [])
      const own = await connect(transportOf('agent', transport.sessionId))
      assert.match(text(await own.callTool({ name: 'read_customer' })), /Ada/)
    })

    if (json) return

    it('is asked by the server: a person, a model', async () => {
      await start()
      const client = await connect()
      client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { which: 'that' } }))
      client.setRequestHandler(CreateMessageRequestSchema, () => ({
        role: 'assistant',
        model: 'none',
        content: { type: 'text', text: 'me' },
      }))
      assert.match(text(await client.callTool({ name: 'ask_person' })), /that/)
      assert.match(text(await client.callTool({ name: 'ask_model' })), /me/)
    })

    it('hears that there are other tools', async () => {
      await start()
      const client = await connect()
      const changed = Promise.withResolvers<void>()
      client.setNotificationHandler(ToolListChangedNotificationSchema, () => changed.resolve())
      // the stream is opened behind the scenes
      const again = setInterval(() => void server.toolsChanged(), 50).unref()
      await changed.promise
      clearInterval(again)
    })

    it('goes on where its stream was cut off', async () => {
      await start()
      const client = await connect()
      assert.match(text(await client.callTool({ name: 'read_slowly' })), /Ada/)
      assert.deepEqual(server.called, ['read_slowly'])
    })
  })
