/** What a client of MCP gets that was kept waiting, whatever the target answers then. */
import assert from 'node:assert/strict'
import { connect as connectHttp2 } from 'node:http2'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fetch } from 'undici'
import { eventuallyWith } from '../../../../test/eventually.ts'
import { type Answer, HttpShop } from '../../../../test/http-shop.ts'
import type { Guard } from '../../../../test/shop.ts'
import { decideRequest, listRequests } from '../../../approvals/desk.ts'

const call = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"refund"}}'
const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
const isError =
  /^event: message\ndata: \{"jsonrpc":"2.0","id":7,"result":\{"content":\[\{"type":"text","text":"the target.*\(reference [0-9A-Z]{20,}\)/m

const answers: readonly { name: string; answer: Answer; expected: RegExp }[] = [
  {
    name: 'a document, in an event',
    answer: (_request, response) =>
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end('{"jsonrpc":"2.0",\n"id":7,"result":{}}'),
    expected: /\n\nevent: message\ndata: \{"jsonrpc":"2.0",\ndata: "id":7,"result":\{\}\}\n\n$/,
  },
  {
    name: 'events, as they are',
    answer: (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('id: 1\ndata: {"jsonrpc":"2.0","method":"notifications/message"}\n\n')
      response.end('id: 2\ndata: {"jsonrpc":"2.0","id":7,"result":{}}\n\n')
    },
    expected: /\n\nid: 1\ndata: .*message"\}\n\nid: 2\ndata: \{"jsonrpc":"2.0","id":7,"result":\{\}\}\n\n$/,
  },
  {
    name: 'that there is nothing, as an answer',
    answer: (_request, response) => response.writeHead(404, { 'content-type': 'text/html' }).end('<p>no</p>'),
    expected: isError,
  },
  {
    name: 'that there was an error, as an answer, however much is said of it',
    answer: (_request, response) =>
      response.writeHead(500, { 'content-type': 'text/plain' }).end(Buffer.alloc(8 * 1024 * 1024, 'x')),
    expected: isError,
  },
  {
    name: 'an empty answer, as one',
    answer: (_request, response) => response.writeHead(202).end(),
    expected: isError,
  },
  {
    name: 'that the target went away, as an answer',
    answer: (request) => request.socket.destroy(),
    expected: isError,
  },
]

describe('a client that was kept waiting gets', function () {
  this.timeout(60_000)
  const eventually = eventuallyWith(() => 'what waits for people')
  let shop: HttpShop
  let guard: Guard

  before(async () => {
    shop = await HttpShop.start()
  })
  after(() => shop[Symbol.asyncDispose]())
  beforeEach(async () => {
    guard = await shop.guard({
      http: ', mcp: [/mcp]',
      rules: `    - {name: all, match: {actions: ["http:*", "mcp:*"]}, effect: allow}
    - {name: ask, match: {actions: ["mcp:tools/call.refund", "mcp:initialize"]}, effect: requireApproval}
`,
    })
  })
  afterEach(() => guard[Symbol.asyncDispose]())

  const approve = async (): Promise<void> => {
    const directory = join(guard.directory, 'approvals')
    const pending = async (): Promise<string> => {
      const requests = await listRequests(directory).catch(() => [])
      return requests.find(({ status }) => status?.state === 'Pending')?.metadata.name ?? ''
    }
    const name = await eventually(pending, /./)
    assert.equal(
      (await decideRequest(directory, name, { decision: 'Approved', reason: 'so' })).kind,
      'decided',
    )
  }
  const ask = (body = call) =>
    fetch(`http://127.0.0.1:${guard.address.port}/mcp`, { method: 'POST', headers, body })

  for (const { name, answer, expected } of answers)
    it(name, async () => {
      shop.answer = answer
      const response = await ask()
      assert.equal(response.headers.get('content-type'), 'text/event-stream')
      await approve()
      const stream = await response.text()
      assert.match(stream, /^: held for approval as approvalrequest\//)
      assert.match(stream, expected)
    })

  it('the name of the session that it began', async () => {
    shop.answer = (request, response) => {
      const type = { 'content-type': 'application/json' }
      const { 'mcp-session-id': session } = request.headers
      const given = session === undefined ? { 'mcp-session-id': 'the-session' } : {}
      response.writeHead(200, { ...type, ...given }).end(JSON.stringify({ session }))
    }
    const [response] = await Promise.all([ask('{"jsonrpc":"2.0","id":1,"method":"initialize"}'), approve()])
    assert.equal(response.headers.get('content-type'), 'application/json')
    const session = response.headers.get('mcp-session-id') ?? ''
    const next = await fetch(`http://127.0.0.1:${guard.address.port}/mcp`, {
      method: 'POST',
      headers: { ...headers, 'mcp-session-id': session },
      body: '{"jsonrpc":"2.0","id":2,"method":"ping"}',
    })
    assert.deepEqual(await next.json(), { session: 'the-session' })
  })

  it('no end where the target has broken off, and others are answered on', async () => {
    shop.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: {"jsonrpc":"2.0","method":"notifications/message"}\n\n')
      setImmediate(() => response.destroy())
    }
    const response = await ask()
    const stream = response.text()
    await Promise.all([approve(), assert.rejects(stream, /terminated/)])
    shop.answer = undefined
    assert.equal((await fetch(`http://127.0.0.1:${guard.address.port}/users`)).status, 200)
  })

  it('the same by HTTP/2', async () => {
    shop.answer = answers[0]?.answer
    const client = connectHttp2(`http://127.0.0.1:${guard.address.port}`)
    const stream = client.request({ ':method': 'POST', ':path': '/mcp', ...headers })
    stream.end(call)
    const received = text(stream)
    await approve()
    assert.match(await received, answers[0]?.expected ?? /x/)
    client.close()
  })
})
