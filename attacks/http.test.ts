import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import type { Address } from '@firebreak/sidecar'
import { parse } from 'yaml'
import { HttpShop, type Reached } from '../test/http-shop.ts'
import { attacksDirectory, Guard } from '../test/shop.ts'
import { wrongWith } from './http-reached.ts'

interface Case {
  readonly name: string
  readonly head?: readonly string[]
  readonly body?: string
  readonly raw?: string
  /** Length of one more header. */
  readonly padding?: number
  /** Length of a path instead. */
  readonly path?: number
  /** How many segments one has instead. */
  readonly segments?: number
  readonly status?: number
  readonly passes?: boolean
  readonly url?: string
}

const { attacks, benign } = parse(readFileSync(new URL('http.yaml', attacksDirectory), 'utf8')) as {
  attacks: Case[]
  benign: Case[]
}

function bytesOf({ head, body = '', raw, padding = 0, path, segments }: Case): Buffer {
  if (raw !== undefined) return Buffer.from(raw, 'latin1')
  const odd = path === undefined ? `/users${'/x'.repeat(segments ?? 0)}` : `/users/${'x'.repeat(path)}`
  const lines = head ?? [`GET ${odd} HTTP/1.1`, 'Host: shop']
  const more = padding > 0 ? [`X-Padding: ${'x'.repeat(padding)}`] : []
  return Buffer.from(`${[...lines, ...more].join('\r\n')}\r\n\r\n${body}`, 'latin1')
}

/** @returns all that is answered until nothing more comes; the last of several answers closes the connection. */
async function send({ host, port }: Address, bytes: Buffer, method: string): Promise<string> {
  const socket = connect({ host, port, allowHalfOpen: true })
  let received = ''
  try {
    return await new Promise<string>((resolve, reject) => {
      socket.setTimeout(40_000, () => reject(new Error(`nobody answers, after ${received}`)))
      socket.on('data', (chunk: Buffer) => {
        received += chunk.toString('latin1')
        if (isWhole(received, method)) resolve(received)
      })
      socket.on('end', () => resolve(received)).on('error', () => resolve(received))
      socket.write(bytes)
    })
  } finally {
    socket.destroy()
  }
}

/** Whether a final answer is there to its end. */
function isWhole(received: string, method: string): boolean {
  const final = received.replace(/^HTTP\/1\.1 100 .*?\r\n\r\n/s, '')
  const end = final.indexOf('\r\n\r\n')
  if (end < 0) return false
  const [head, body] = [final.slice(0, end), final.slice(end + 4)]
  if (method === 'HEAD') return true
  const length = /\r\ncontent-length: ([0-9]+)/i.exec(head)?.[1]
  if (length !== undefined) return body.length >= Number(length)
  return /\r\ntransfer-encoding: chunked/i.test(head) && body.endsWith('0\r\n\r\n')
}

function statusOf(received: string): number {
  const final = received.replace(/^HTTP\/1\.1 100 .*?\r\n\r\n/s, '')
  return Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(final)?.[1])
}

describe('attacks on HTTP', function () {
  this.timeout(60_000)
  let shop: HttpShop
  let guard: Guard
  const start = async (): Promise<Guard> => {
    const text = readFileSync(new URL('http-policy/firebreak.yaml', attacksDirectory), 'utf8')
    return await Guard.start({ 'firebreak.yaml': text.replace('ADDRESS', shop.address) }, 'the-secret')
  }

  before(async () => {
    shop = await HttpShop.start()
    guard = await start()
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  beforeEach(() => {
    shop.reached.length = 0
  })

  it('has at least a hundred disguises and sixty look-alikes', () => {
    assert.ok(attacks.length >= 100, `${attacks.length}`)
    assert.ok(benign.length >= 60, `${benign.length}`)
  })

  describe('does nothing when attacked by', () => {
    for (const attack of attacks)
      it(attack.name, async () => {
        const received = await send(guard.address, bytesOf(attack), '')
        const status = statusOf(received)
        for (const request of shop.reached) assert.equal(wrongWith(request), undefined)
        if (attack.passes) {
          assert.equal(status, 200, received)
          assert.equal(shop.reached.length, 1)
          return
        }
        assert.deepEqual(shop.reached, [])
        // a head that can't be read at all is answered by the parser, or not at all
        const expected = attack.status === undefined ? [400, 403] : [attack.status]
        assert.ok(expected.includes(status), received)
        assert.doesNotMatch(received, /the-secret/)
      })
  })

  describe('lets pass', () => {
    for (const request of benign)
      it(request.name, async () => {
        const [method = '', url = ''] = (request.head?.[0] ?? 'GET /users').split(' ')
        const received = await send(guard.address, bytesOf(request), method)
        assert.equal(statusOf(received), 200, received)
        assert.deepEqual(
          shop.reached.map((reached) => [reached.method, reached.url]),
          [[method, request.url ?? url]],
        )
        assert.equal(wrongWith(shop.reached[0] as Reached), undefined)
      })
  })

  describe('ends the connection of whoever leaves HTTP while an answer is due, and nothing else:', () => {
    const websocket = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13'
    for (const [name, second] of [
      ['by a WebSocket', `GET /socket HTTP/1.1\r\nHost: shop\r\n${websocket}\r\n\r\n`],
      ['by CONNECT', 'CONNECT admin:443 HTTP/1.1\r\nHost: admin:443\r\n\r\n'],
    ])
      it(`${name}`, async () => {
        const socket = connect({ ...guard.address })
        const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
        // the target leaves the first one without its answer
        shop.answer = () => {}
        socket.on('error', () => {}).resume()
        socket.write(`GET /users HTTP/1.1\r\nHost: shop\r\n\r\n${second}`)
        await closed
        shop.answer = undefined
        assert.ok(shop.reached.every(({ url }) => url === '/users'))
        const received = await send(guard.address, bytesOf({ name: 'another' }), 'GET')
        assert.equal(statusOf(received), 200, received)
      })
  })

  it('lets nobody keep a connection by a head that does not end', async () => {
    const socket = connect({ ...guard.address, allowHalfOpen: true })
    let received = ''
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1')
    })
    const ended = new Promise<void>((resolve) => {
      socket.on('end', () => resolve()).on('error', () => resolve())
    })
    socket.write('GET /users HTTP/1.1\r\nHost: shop\r\nX-Slow: ')
    const drip = setInterval(() => socket.write('x'), 500)
    await ended
    clearInterval(drip)
    socket.destroy()
    assert.equal(statusOf(received), 408)
    assert.deepEqual(shop.reached, [])
  })

  it('audits each of them exactly once that comes from somebody', async () => {
    await using own = await start()
    await send(own.address, Buffer.from('GET /x/../admin HTTP/1.1\r\nHost: shop\r\n\r\n'), 'GET')
    await send(own.address, Buffer.from('GET /users HTTP/1.1\r\nHost: shop\r\n\r\n'), 'GET')
    const lines = await own.audited(2)
    assert.deepEqual(
      lines.map(({ text, decision }) => [text, decision]),
      [
        ['GET /x/../admin', 'deny'],
        ['GET /users', 'allow'],
      ],
    )
  })
})
