import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { request as ask, type ClientRequest } from 'node:http'
import { join } from 'node:path'
import { type Duplex, PassThrough } from 'node:stream'
import { decideRequest, listRequests } from '@firebreak/sidecar'
import { parse } from 'yaml'
import { eventuallyWith } from '../test/eventually.ts'
import { HttpShop, httpManifests } from '../test/http-shop.ts'
import { attacksDirectory, type Guard } from '../test/shop.ts'

interface Case {
  readonly name: string
  readonly before?: readonly object[]
  readonly after: readonly object[]
  readonly detection?: readonly [before: readonly string[], after: readonly string[]]
  readonly socket?: boolean
  readonly sends?: boolean
  readonly approved?: boolean
  readonly shows?: string
}

const { attacks, benign } = parse(readFileSync(new URL('http-running.yaml', attacksDirectory), 'utf8')) as {
  attacks: Case[]
  benign: Case[]
}

const eventually = eventuallyWith(() => 'what waits for people')
const everything = [{ name: 'all', match: { actions: ['http:*'] }, effect: 'allow' }]
const first = '{"email":"ada@x.test","name":"Ada"}\n'
const second = '{"word":"canary","phone":"1"}\n'

function policyOf(address: string, rules: readonly object[], detectors: readonly string[]) {
  return {
    address,
    rules: rules.map((rule) => `    - ${JSON.stringify(rule)}\n`).join(''),
    more: detectors.length > 0 ? `  detection: {kinds: [${detectors.join()}]}\n` : '',
    classification: '[{tags: [pii], fields: [$.email, $.name]}, {tags: [secret], fields: [$.phone]}]',
  }
}

describe('attacks by a policy that is another one in the middle of an answer', function () {
  this.timeout(60_000)
  let shop: HttpShop

  before(async () => {
    shop = await HttpShop.start()
  })
  after(async () => {
    await shop[Symbol.asyncDispose]()
  })

  /** @returns what has come to the side that it is for, once it is over. */
  const passedBy = async ({
    before = everything,
    after,
    detection: [earlier, later] = [[], []],
    socket,
    sends,
    approved,
  }: Case): Promise<string> => {
    const applied = Promise.withResolvers<void>()
    let events = 0
    await using guard = await shop.guard(policyOf(shop.address, before, earlier), {
      onEvent: (event) => {
        if (event.kind === 'refused')
          applied.reject(new Error(event.problems.map(({ message }) => message).join('\n')))
        if (event.kind === 'applied' && ++events === 2) applied.resolve()
      },
    })
    const change = async (): Promise<void> => {
      const manifests = httpManifests(policyOf(shop.address, after, later))
      writeFileSync(join(guard.directory, 'firebreak.yaml'), manifests)
      await applied.promise
    }
    if (socket) return await bySocket(guard, change)
    return sends ? await bySending(guard, change) : await byAnswer(guard, change, approved)
  }

  const asked = ({ address }: Guard, method: string, headers: Record<string, string> = {}): ClientRequest =>
    ask({ ...address, path: '/users', method, headers, agent: false }).on('error', () => {})

  /** Goes on with {@link second} once {@link first} is there and the policy has changed. */
  const readingOf = async (
    stream: AsyncIterable<Buffer>,
    change: () => Promise<void>,
    goOn: () => void,
  ): Promise<string> => {
    let text = ''
    try {
      for await (const chunk of stream) {
        text += chunk.toString()
        if (!text.endsWith('\n') || text.split('\n').length !== 2) continue
        await change()
        goOn()
      }
    } catch {
      // it was broken off
    }
    return text
  }

  const approve = async ({ directory: of }: Guard): Promise<void> => {
    const directory = join(of, 'approvals')
    const pending = async (): Promise<string> =>
      (await listRequests(directory).catch(() => []))[0]?.metadata.name ?? ''
    const name = await eventually(pending, /./)
    const decided = await decideRequest(directory, name, { decision: 'Approved', reason: 'so' })
    assert.equal(decided.kind, 'decided')
  }

  const byAnswer = async (
    guard: Guard,
    change: () => Promise<void>,
    approved: boolean | undefined,
  ): Promise<string> => {
    let goOn = (): void => {}
    shop.answer = (_request, response) => {
      goOn = () => void response.end(second)
      response.writeHead(200, { 'content-type': 'application/x-ndjson' })
      response.write(first)
    }
    const answered = Promise.withResolvers<AsyncIterable<Buffer>>()
    asked(guard, 'GET').on('response', answered.resolve).end()
    if (approved) await approve(guard)
    return await readingOf(await answered.promise, change, () => goOn())
  }

  const bySocket = async (guard: Guard, change: () => Promise<void>): Promise<string> => {
    const opened = Promise.withResolvers<Duplex>()
    const taken = Promise.withResolvers<Duplex>()
    shop.server.once('upgrade', (_request, socket: Duplex) => {
      socket.on('error', () => {}).resume()
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
      socket.write(first)
      taken.resolve(socket)
    })
    asked(guard, 'GET', { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' })
      .on('upgrade', (_response, socket, head) => {
        socket.unshift(head)
        opened.resolve(socket)
      })
      .end()
    const target = await taken.promise
    return await readingOf(await opened.promise, change, () => target.end(second))
  }

  const bySending = async (guard: Guard, change: () => Promise<void>): Promise<string> => {
    const came = Promise.withResolvers<AsyncIterable<Buffer>>()
    shop.answer = undefined
    shop.server.prependOnceListener('request', (request) => {
      const body = new PassThrough()
      request.pipe(body)
      request.on('error', (error) => body.destroy(error))
      came.resolve(body)
    })
    const sent = asked(guard, 'POST', { 'content-type': 'text/plain' })
    sent.write(first)
    const stream = await came.promise
    return await readingOf(stream, change, () => sent.end(second))
  }

  describe('shows and sends no more when', () => {
    for (const attack of attacks)
      it(attack.name, async () => {
        assert.doesNotMatch(await passedBy(attack), /canary/)
      })
  })

  describe('ends nothing when', () => {
    for (const one of benign)
      it(one.name, async () => {
        const text = await passedBy(one)
        assert.match(text, /canary/)
        assert.ok(text.includes(one.shows ?? ''), text)
      })
  })
})
