import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Address } from '@firebreak/sidecar'
import { parse } from 'yaml'
import { HttpShop, type Reached } from '../test/http-shop.ts'
import { Http2Shop } from '../test/http2-shop.ts'
import {
  endHeaders,
  endStream,
  frames,
  type HeaderField,
  type Heard,
  headerBlock,
  RawHttp2,
} from '../test/raw-http2.ts'
import { attacksDirectory, Guard } from '../test/shop.ts'
import { wrongWith } from './http-reached.ts'

interface Case {
  readonly name: string
  readonly method?: string
  readonly path?: string
  readonly scheme?: string
  readonly authority?: string
  readonly fields?: readonly HeaderField[]
  readonly bare?: boolean
  readonly body?: string
  /** Content-Type of what may be a call of gRPC. */
  readonly type?: string
  readonly passes?: boolean
  readonly status?: readonly number[]
  readonly refused?: string
  readonly url?: string
}

/** What a target says. */
interface Answered {
  readonly name: string
  readonly head: string
  readonly status?: number
}

interface Cases {
  readonly attacks: readonly Case[]
  readonly benign: readonly Case[]
}

const cases = parse(readFileSync(new URL('http2.yaml', attacksDirectory), 'utf8')) as Cases & {
  readonly grpc: Cases
  readonly answers: { readonly attacks: readonly Answered[]; readonly benign: readonly Answered[] }
}
const policy = readFileSync(new URL('http-policy/firebreak.yaml', attacksDirectory), 'utf8')

function fieldsOf({
  method = 'GET',
  path = '/users',
  scheme = 'http',
  authority = 'shop',
  fields = [],
  bare,
}: Case) {
  if (bare) return fields
  const own: readonly HeaderField[] = [
    [':method', method],
    [':scheme', scheme],
    [':authority', authority],
    [':path', path],
  ]
  return [...own, ...fields]
}

async function send(address: Address, request: Case): Promise<Heard> {
  using client = new RawHttp2(address)
  client.socket.setTimeout(40_000, () => client.socket.destroy())
  client.request(fieldsOf(request), request.body)
  return await client.heard
}

/** A call with a message of gRPC in it, where the case doesn't say otherwise. */
function callOf(request: Case): Case {
  const { type = 'application/grpc', method = 'POST', fields = [] } = request
  const typed: readonly HeaderField[] = type === '' ? [] : [['content-type', type]]
  return {
    ...request,
    method,
    fields: [...typed, ['te', 'trailers'], ...fields],
    ...(method === 'POST' && { body: request.body ?? '\0\0\0\0\x03abc' }),
  }
}

/** Both remember what reached them. */
interface Target {
  readonly reached: Reached[]
}

interface FrontedTarget {
  readonly name: string
  readonly shop: Target
  readonly files: Readonly<Record<string, string>>
  readonly guard: Guard
}

describe('attacks in frames of HTTP/2', function () {
  this.timeout(60_000)
  const stack = new AsyncDisposableStack()
  let plain: HttpShop
  const targets: FrontedTarget[] = []
  const targetOf = (name: string): FrontedTarget => {
    const target = targets.find((candidate) => candidate.name === name)
    assert.ok(target)
    return target
  }

  before(async () => {
    plain = stack.use(await HttpShop.start())
    const secure = stack.use(await Http2Shop.start())
    const manifests = { 'firebreak.yaml': policy.replace('ADDRESS', plain.address) }
    targets.push({
      name: 'HTTP/1.1',
      shop: plain,
      files: manifests,
      guard: stack.use(await Guard.start(manifests, 'the-secret')),
    })
    const tls = secure.tls()
    const securely = {
      'firebreak.yaml': policy.replace('ADDRESS', secure.address).replace('{ mode: disable }', tls),
    }
    targets.push({
      name: 'HTTP/2',
      shop: secure,
      files: securely,
      guard: stack.use(await Guard.start(securely, 'the-secret')),
    })
  })
  after(async () => {
    await stack.disposeAsync()
  })
  beforeEach(() => {
    for (const { shop } of targets) shop.reached.length = 0
  })

  const reaches = async (
    { shop, guard }: FrontedTarget,
    attack: Case,
    request: Case = attack,
  ): Promise<Heard> => {
    const heard = await send(guard.address, request)
    for (const reached of shop.reached) assert.equal(wrongWith(reached), undefined)
    assert.equal(shop.reached.length, attack.passes ? 1 : 0, JSON.stringify(shop.reached))
    assert.doesNotMatch(heard.text, /the-secret/)
    return heard
  }
  const arrives = async (target: string, request: Case): Promise<void> => {
    const { shop, guard } = targetOf(target)
    const heard = await send(guard.address, request)
    assert.equal(heard.status, 200, JSON.stringify(heard))
    const [method, url] = ['method', 'path'].map(
      (part) => fieldsOf(request).find(([name]) => name === `:${part}`)?.[1],
    )
    assert.deepEqual(
      shop.reached.map((reached) => [reached.method, reached.url]),
      [[method, request.url ?? url]],
    )
    assert.equal(wrongWith(shop.reached[0] as Reached), undefined)
  }

  for (const target of ['HTTP/1.1', 'HTTP/2']) {
    describe(`do nothing to a target in ${target}:`, () => {
      for (const attack of cases.attacks)
        it(attack.name, async () => {
          const { status, broken } = await reaches(targetOf(target), attack)
          const expected = attack.passes ? [200] : (attack.status ?? [400, 403, 431])
          if (status === undefined) assert.ok(broken && !attack.passes)
          else assert.ok(expected.includes(status), `${status}`)
        })
    })

    describe(`and what looks like them passes to a target in ${target}:`, () => {
      for (const request of cases.benign) it(request.name, async () => await arrives(target, request))
    })
  }

  describe('do nothing as calls of gRPC:', () => {
    for (const attack of cases.grpc.attacks)
      it(attack.name, async () => {
        // of a gateway of its own, whose one line is the attack's
        const target = targetOf('HTTP/2')
        await using guard = await Guard.start(target.files, 'the-secret')
        const { status, broken } = await reaches({ ...target, guard }, attack, callOf(attack))
        if (attack.refused !== undefined) assert.equal(status, 200)
        else if (status === undefined) assert.ok(broken)
        else assert.ok((attack.passes ? [200] : [400, 403]).includes(status), `${status}`)
        if (attack.refused === undefined) return
        const [line] = await guard.audited(1)
        assert.equal(line?.decision, 'deny')
        assert.match(JSON.stringify(line?.error), new RegExp(`"${attack.refused}"`))
      })
  })

  describe('and what looks like them passes as calls of gRPC:', () => {
    for (const request of cases.grpc.benign)
      it(request.name, async () => await arrives('HTTP/2', callOf(request)))
  })

  describe('do not end the gateway by answers:', () => {
    afterEach(() => {
      plain.answer = undefined
    })
    /** @param later whether the head is on its way to the client before its body comes. */
    const heardOf = async ({ head }: Answered, later: boolean): Promise<Heard> => {
      plain.answer = ({ socket }) => {
        if (later) setTimeout(() => socket.end('canary'), 20)
        socket[later ? 'write' : 'end'](Buffer.from(later ? head : `${head}canary`, 'latin1'))
      }
      return await send(targetOf('HTTP/1.1').guard.address, { name: '' })
    }
    for (const later of [false, true]) {
      for (const one of cases.answers.attacks)
        it(`${one.name}${later ? ', body later' : ''}`, async () => {
          const { status, text } = await heardOf(one, later)
          assert.equal(status, 502)
          assert.doesNotMatch(text, /canary/)
          plain.answer = undefined
          plain.reached.length = 0
          await arrives('HTTP/1.1', { name: 'another' })
        })
      for (const { status = 200, ...one } of cases.answers.benign)
        it(`which pass: ${one.name}${later ? ', body later' : ''}`, async () => {
          const heard = await heardOf(one, later)
          assert.equal(heard.status, status)
          assert.equal(heard.text, 'canary')
        })
    }
  })

  describe('end the connection of whoever', () => {
    const ended = async (attack: (client: RawHttp2) => void): Promise<void> => {
      const { guard, shop } = targetOf('HTTP/1.1')
      using client = new RawHttp2(guard.address)
      const closed = new Promise<void>((resolve) => client.socket.once('close', () => resolve()))
      attack(client)
      await closed
      // what it has asked may reach the target yet, but not behind this
      await send(guard.address, { name: 'another' })
      shop.reached.length = 0
      // nobody else notices
      await arrives('HTTP/1.1', { name: 'another' })
    }
    const head: readonly HeaderField[] = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'shop'],
      [':path', '/users'],
    ]

    it('asks and takes it back, again and again', async () => {
      await ended((client) => {
        for (let stream = 1; stream < 4_000; stream += 2) {
          client.request(head, undefined, stream)
          client.send(frames.reset, 0, stream, Buffer.from([0, 0, 0, 8]))
        }
      })
    })

    it('sends a head that does not end', async () => {
      await ended((client) => {
        client.send(frames.headers, endStream, 1, headerBlock(head))
        for (let count = 0; count < 10_000; count++)
          client.send(frames.continuation, 0, 1, headerBlock([['x-a', 'b'.repeat(100)]]))
      })
    })

    it('sends settings and pings, and hears no answer', async () => {
      await ended((client) => {
        client.socket.pause()
        for (let count = 0; count < 200_000; count++) client.send(frames.ping, 0, 0, Buffer.alloc(8))
        client.socket.resume()
      })
    })

    it('sends frames that are none', async () => {
      await ended((client) => client.send(frames.data, endHeaders, 1, Buffer.from('x')))
    })
  })

  it('leave a head that is too large without an answer from the target', async () => {
    const fields: readonly HeaderField[] = [['x-padding', 'x'.repeat(60_000)]]
    // in more frames than one
    const { guard, shop } = targetOf('HTTP/2')
    using client = new RawHttp2(guard.address)
    const block = headerBlock(fieldsOf({ name: '', fields }))
    client.send(frames.headers, endStream, 1, block.subarray(0, 16_000))
    for (let at = 16_000; at < block.length; at += 16_000)
      client.send(
        frames.continuation,
        at + 16_000 >= block.length ? endHeaders : 0,
        1,
        block.subarray(at, at + 16_000),
      )
    const { status = 431 } = await client.heard
    assert.equal(status, 431)
    assert.deepEqual(shop.reached, [])
  })
})
