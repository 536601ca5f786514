import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request as ask } from 'node:http'
import { gzipSync } from 'node:zlib'
import { parse } from 'yaml'
import { HttpShop } from '../test/http-shop.ts'
import { attacksDirectory, type Guard } from '../test/shop.ts'

interface Message {
  readonly name: string
  readonly body: string
  readonly method?: string
  readonly path?: string
  readonly type?: string
}

interface Answer {
  readonly name: string
  /** A message, or GET. */
  readonly request?: string
  readonly type?: string
  readonly status?: number
  readonly gzip?: boolean
  /** How often the first element of the list comes. */
  readonly many?: number
  readonly in: string
  readonly out?: string
}

interface Session {
  readonly name: string
  readonly method?: string
  /** Names and values in turn. */
  readonly headers: readonly string[]
}

interface Cases<Case> {
  readonly attacks: readonly Case[]
  readonly benign: readonly Case[]
}

const { messages, answers, sessions } = parse(
  readFileSync(new URL('mcp.yaml', attacksDirectory), 'utf8'),
) as {
  messages: Cases<Message>
  answers: Cases<Answer>
  sessions: Cases<Session>
}

const rules = `
    - {name: server, match: {actions: ["http:read", "http:write", "http:delete"], objects: [/mcp, /mcpx, /Team, /team, /slash]}, effect: allow}
    - {name: reads, match: {actions: ["mcp:tools/call.read_*"]}, effect: allow}
    - {name: not-all, match: {actions: ["mcp:tools/call.read_all"], condition: 'command.mcp.arguments.exists(a, a == "scope=all")'}, effect: deny}
    - {name: own, match: {actions: ["mcp:tools/call.search"], condition: 'command.mcp.arguments.exists(a, a == "scope=own")'}, effect: allow}
    - {name: refunds, match: {actions: ["mcp:tools/call.refund"]}, effect: allow}
    - {name: refunds-asked, match: {actions: ["mcp:tools/call.refund"]}, effect: requireApproval}
    - {name: prompts, match: {actions: ["mcp:prompts/get"], objects: [prompt greet]}, effect: allow}
    - {name: public, match: {actions: ["mcp:resources/read"], objects: ['resource "file:///public/*"']}, effect: allow}
`

const roles =
  '[{name: agent, credential: {env: {password: SHOP_PASSWORD}}}, {name: other, credential: {env: {password: SHOP_PASSWORD}}}]'

const listTools = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'

interface Received {
  readonly head: string
  readonly body: string
}

describe('attacks by MCP', function () {
  this.timeout(60_000)
  let shop: HttpShop
  let guard: Guard

  before(async () => {
    shop = await HttpShop.start()
    guard = await shop.guard({
      rules,
      http: ', mcp: [/mcp, /Team/Tools, /slash/]',
      roles,
      access: '[agent, other]',
    })
  })
  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })
  beforeEach(() => {
    shop.reached.length = 0
  })

  const send = async ({
    method = 'POST',
    path = '/mcp',
    type = 'application/json',
    body,
    role = 'agent',
    more = [],
  }: Omit<Message, 'name'> & { readonly role?: string; readonly more?: readonly string[] }) =>
    await new Promise<Received>((resolve, reject) => {
      const headers = [
        ...['host', 'shop', 'firebreak-role', role, 'accept', 'application/json, text/event-stream'],
        ...(body === '' ? [] : ['content-type', type, 'content-length', String(Buffer.byteLength(body))]),
        ...more,
      ]
      const sent = ask({ ...guard.address, path, method, headers, agent: false }, (response) => {
        const chunks: Buffer[] = []
        const done = (): void =>
          resolve({
            head: [response.statusCode, ...response.rawHeaders].join('\n'),
            body: Buffer.concat(chunks).toString(),
          })
        // an answer that can't go on is broken off
        response
          .on('data', (chunk: Buffer) => chunks.push(chunk))
          .on('error', done)
          .on('end', done)
      })
      sent.on('error', reject).end(body)
    })

  const answerWith = ({ type = 'application/json', status = 200, gzip, many = 1, ...one }: Answer): void => {
    const text = one.in.replace(/\[(.*?)\]/, (_, element: string) => `[${Array(many).fill(element).join()}]`)
    const body = gzip ? gzipSync(text) : Buffer.from(text)
    shop.answer = (_request, response) => {
      response
        .writeHead(status, {
          ...(type !== '' && { 'content-type': type }),
          ...(gzip && { 'content-encoding': 'gzip' }),
        })
        .end(body)
    }
  }

  it('are many, and have look-alikes', () => {
    assert.ok(messages.attacks.length + answers.attacks.length >= 80)
    assert.ok(messages.benign.length + answers.benign.length >= 25)
  })

  describe('do nothing as', () => {
    for (const one of messages.attacks)
      it(one.name, async () => {
        shop.answer = undefined
        await send(one)
        assert.deepEqual(shop.reached, [])
      })
  })

  describe('are no reason to refuse', () => {
    for (const one of messages.benign)
      it(one.name, async () => {
        answerWith({ name: '', in: '{}' })
        const { head } = await send(one)
        assert.match(head, /^200/)
        assert.deepEqual(
          shop.reached.map(({ body }) => Buffer.from(body, 'latin1').toString()),
          [one.body],
        )
      })
  })

  const answerTo = async (one: Answer): Promise<Received> => {
    answerWith(one)
    const { request = listTools } = one
    const received = await send(request === 'GET' ? { method: 'GET', body: '' } : { body: request })
    assert.equal(shop.reached.length, 1)
    return received
  }

  describe('do not show by what the server answers:', () => {
    for (const one of answers.attacks)
      it(one.name, async () => {
        const { head, body } = await answerTo(one)
        assert.doesNotMatch(head + body, /canary|\\u006f|dr/)
      })
  })

  /** The name that a server gives to every session, as an agent of a role gets it. */
  const sessionOf = async (role: string): Promise<string> => {
    shop.answer = (_request, response) => {
      response
        .writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': 'the-session' })
        .end('{}')
    }
    const { head } = await send({ role, body: '{"jsonrpc":"2.0","id":1,"method":"initialize"}' })
    return /^mcp-session-id\n(.*)$/m.exec(head)?.[1] ?? ''
  }

  const useSession = async ({ method = 'POST', headers }: Session): Promise<Received> => {
    const [own, others] = [await sessionOf('agent'), await sessionOf('other')]
    assert.equal(new Set([own, others, 'the-session', '']).size, 4)
    shop.reached.length = 0
    const more = headers.map((text) =>
      text.replaceAll('{own}', own).replaceAll('{others}', others).replaceAll('{raw}', 'the-session'),
    )
    return await send({ method, body: method === 'POST' ? listTools : '', more })
  }

  describe('use no session that is', () => {
    for (const one of sessions.attacks)
      it(one.name, async () => {
        const { head } = await useSession(one)
        assert.match(head, /^4/)
        assert.deepEqual(shop.reached, [])
      })
  })

  describe('are no reason to refuse a session that is', () => {
    for (const one of sessions.benign)
      it(one.name, async () => {
        await useSession(one)
        const [reached] = shop.reached
        const at = reached?.headers.findIndex((name) => name.toLowerCase() === 'mcp-session-id') ?? -1
        assert.equal(reached?.headers[at + 1], 'the-session')
      })
  })

  describe('are no reason to withhold', () => {
    for (const one of answers.benign)
      it(one.name, async () => {
        const { head, body } = await answerTo(one)
        assert.match(head, new RegExp(`^${one.status ?? 200}\n`))
        assert.equal(body, one.out ?? one.in)
      })
  })
})
