import assert from 'node:assert/strict'
import { anyRequest } from '../../bodies/testing.ts'
import type { Problem } from '../../exchange/problems.ts'
import type { HttpRequest } from '../../request.ts'
import { McpConversation } from './conversation.ts'
import { sealed } from './session-id.ts'

const problem: Problem = {
  kind: 'denied',
  status: 403,
  detail: 'it is denied',
  reference: '01X',
  policy: 'a/b',
}

function requestOf(body: string, headers: HttpRequest['headers'] = []): HttpRequest {
  const type = ['content-type', 'application/json'] as const
  return { ...anyRequest, method: 'POST', headers: [type, ...headers], body: Buffer.from(body) }
}

function refusalOf(body: string, kind: Problem['kind'] = 'denied'): unknown {
  const said = new McpConversation(requestOf(body)).refusal({ ...problem, kind })
  return said && JSON.parse(said.body.toString())
}

function repeatable(body: string): string {
  return new McpConversation(requestOf(body)).repeatable.body?.toString() ?? ''
}

const call = (id: string, rest = ''): string =>
  `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"a"${rest}}}`
const list = (id: string): string => `{"jsonrpc":"2.0","id":${id},"method":"tools/list"}`

describe('a conversation by MCP', () => {
  const data = { kind: 'denied', reference: '01X', policy: 'a/b' }
  const result = {
    content: [{ type: 'text', text: 'it is denied\n(reference 01X)' }],
    isError: true,
    _meta: { 'firebreak.dev/refusal': data },
  }
  const error = { code: -32_010, message: 'it is denied', data }

  it('refuses a tool by its result, and anything else by an error, each under its own number', () => {
    assert.deepEqual(refusalOf(call('7')), { jsonrpc: '2.0', id: 7, result })
    assert.deepEqual(refusalOf(list('"x"')), { jsonrpc: '2.0', id: 'x', error })
    const notification = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
    assert.deepEqual(refusalOf(`[${call('1')},${notification},${list('2')}]`), [
      { jsonrpc: '2.0', id: 1, result },
      { jsonrpc: '2.0', id: 2, error },
    ])
  })

  it('leaves to HTTP what has no exact number, and who is not known', () => {
    for (const id of ['null', '1.5', '12345678901234567890', '[1]', 'true'])
      assert.equal(refusalOf(call(id)), undefined, id)
    assert.equal(refusalOf('{"jsonrpc":"2.0","method":"notifications/initialized"}'), undefined)
    assert.equal(refusalOf('{"jsonrpc":"2.0","id":1,"result":{}}'), undefined)
    assert.equal(refusalOf('no JSON'), undefined)
    for (const kind of ['unauthenticated', 'malformed', 'unknown-session'] as const)
      assert.equal(refusalOf(call('1'), kind), undefined, kind)
  })

  it('is the same when only its numbers differ, and not when anything else does', () => {
    const meta = (token: string): string => `,"_meta":{"progressToken":${token},"a":1}`
    assert.equal(repeatable(call('1', meta('1'))), repeatable(call('"two"', meta('"x"'))))
    assert.equal(
      repeatable(`[{"result":{},"jsonrpc":"2.0","id":7},${call('1', meta('1'))}]`),
      repeatable(`[{"result":{},"jsonrpc":"2.0","id":7},${call('2', meta('2'))}]`),
    )
    assert.equal(repeatable(`[${call('1')}, ${list('2')}]`), repeatable(`[${call('3')}, ${list('4')}]`))
    const different = [
      call('1'),
      call('1', ',"arguments":{"id":1}'),
      call('1', ',"arguments":{"id":2}'),
      call('1', ',"arguments":{"id":12345678901234567890}'),
      call('1', ',"arguments":{"id":12345678901234567891}'),
      call('1', ',"arguments":{"_meta":{"progressToken":1}}'),
      call('1', ',"arguments":{"_meta":{"progressToken":2}}'),
      call('1', ',"progressToken":1'),
      call('1', ',"_meta":{"id":1}'),
      call('1', ',"_meta":{"id":2}'),
      call('1', ',"_meta":{"progressToken":{"a":1}}'),
      call('1', ',"_meta":{"progressToken":[1]}'),
      call('1', ',"_meta/progressToken":1'),
      ...['"params/_meta/progressToken":1', '"params/_meta/progressToken":2'].map((more) =>
        call('1').replace('"id":1', `"id":1,${more}`),
      ),
      // which question of the server an answer is for
      ...['1', '2', '"1"'].map((id) => `{"jsonrpc":"2.0","id":${id},"result":{"action":"accept"}}`),
      ...['1', '2'].map((id) => `[{"jsonrpc":"2.0","id":${id},"error":{"code":1}},${call('1')}]`),
      `[${call('1')}]`,
      call('1').replace('"id":1,', ''),
    ]
    assert.equal(new Set(different.map(repeatable)).size, different.length)
  })

  it('names what it asks for and takes back, in its session alone', () => {
    const cancel = '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}'
    const namesIn = (body: string, session?: string) => {
      const headers = session === undefined ? [] : ([['mcp-session-id', session]] as const)
      const { asks, cancels } = new McpConversation(requestOf(body, headers))
      return [asks, cancels]
    }
    const [asked] = namesIn(call('7'), 's')
    const [, cancelled] = namesIn(cancel, 's')
    assert.deepEqual(asked, cancelled)
    assert.equal(asked?.length, 1)
    assert.notDeepEqual(namesIn(cancel, 'other')[1], asked)
    assert.notDeepEqual(namesIn(call('"7"'), 's')[0], asked)
    assert.deepEqual(namesIn(call('7')), [[], []])
    assert.deepEqual(namesIn(cancel), [[], []])
  })

  it('knows its session by who was given it', () => {
    const key = Buffer.from('a key')
    const given = sealed([['mcp-session-id', 'x.y']], { owner: 'a', key })
    const own = (owner: string, secret = key) =>
      new McpConversation(requestOf(list('1'), given)).own({ owner, key: secret })
    const opened = own('a')
    assert.ok(opened.ok && opened.value.headers.some(([, value]) => value === 'x.y'))
    for (const other of [own('b'), own('a', Buffer.from('another'))])
      assert.ok(!other.ok && other.error.status === 404)
  })
})
