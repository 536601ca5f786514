import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { connect, createServer, type Server } from 'node:net'
import { type Answer, type DecodedPacket, decode, encode, type Packet } from 'dns-packet'
import fc from 'fast-check'
import { ManualClock } from '../../../test/manual-clock.ts'
import { freePort } from '../../../tools/postgres.ts'
import { type EgressRefusal, Refusals } from '../refusals.ts'
import { Forwarder } from './forwarder.ts'
import { MessageReader, withLength } from './framing.ts'
import { readQuestion } from './packets.ts'

/** A resolver that answers as a test says, and keeps what it was asked, as bytes. */
class Resolver implements AsyncDisposable {
  readonly asked: Buffer[] = []
  /** The ports that questions came from by UDP. */
  readonly ports: number[] = []
  readonly #udp: Socket = createSocket('udp4')
  readonly #tcp: Server
  answer: (question: DecodedPacket, byUdp: boolean) => Packet | Buffer | undefined = () => undefined

  constructor() {
    this.#udp.on('message', (bytes, from) => {
      this.ports.push(from.port)
      const answer = this.#answerTo(bytes, true)
      if (answer) this.#udp.send(answer, from.port, from.address)
    })
    this.#tcp = createServer((client) => {
      const reader = new MessageReader()
      client
        .on('error', () => {})
        .on('data', (chunk) => {
          for (const message of reader.push(chunk)) {
            const answer = this.#answerTo(message, false)
            if (answer) client.write(withLength(answer))
          }
        })
    })
  }

  async listen(): Promise<number> {
    const port = await freePort()
    await new Promise<void>((resolve) => this.#udp.bind(port, '127.0.0.1', resolve))
    await new Promise<void>((resolve) => this.#tcp.listen(port, '127.0.0.1', resolve))
    return port
  }

  #answerTo(bytes: Buffer, byUdp: boolean): Buffer | undefined {
    this.asked.push(bytes)
    const question = decode(bytes)
    const answer = this.answer(question, byUdp)
    if (answer === undefined || Buffer.isBuffer(answer)) return answer
    return encode({ type: 'response', id: question.id ?? 0, questions: question.questions ?? [], ...answer })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#udp.close()
    await new Promise((resolve) => this.#tcp.close(resolve))
  }
}

const address = (name: string, data = '192.0.2.1'): Answer => ({ type: 'A', name, ttl: 30, data })

/** The types of dns-packet leave it out. */
type Answered = DecodedPacket & { readonly rcode: string }

describe('the DNS forwarder', function () {
  this.timeout(120_000)
  let resolver: Resolver
  let forwarder: Forwarder
  let refused: EgressRefusal[]
  const noted: string[] = []
  const clock = new ManualClock()

  before(async () => {
    resolver = new Resolver()
    const serverPort = await resolver.listen()
    const refusals = new Refusals('agents/support-bot', (line) => refused.push(line), clock)
    forwarder = await Forwarder.open({
      hosts: ['127.0.0.1'],
      port: await freePort(),
      servers: ['127.0.0.1'],
      serverPort,
      names: {
        isListed: (name) => name === 'api.example',
        isKnownAddress: () => false,
        searchDomains: ['agents.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
        namespace: 'agents',
      },
      refusals,
      clock,
      onAddresses: (name, addresses) => noted.push(`${name} ${addresses.join()}`),
    })
  })
  beforeEach(() => {
    refused = []
    resolver.asked.length = 0
    resolver.answer = ({ questions = [] }) => ({ answers: questions.map(({ name }) => address(name)) })
    clock.pass(61_000)
  })
  after(async () => {
    await forwarder[Symbol.asyncDispose]()
    await resolver[Symbol.asyncDispose]()
  })

  const sendUdp = (bytes: Buffer, wait = 30_000): Promise<Buffer | undefined> => {
    const socket = createSocket('udp4')
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), wait)
      socket.once('message', (answer) => {
        clearTimeout(timer)
        resolve(answer)
      })
      socket.send(bytes, forwarder.port, '127.0.0.1')
    }).finally(() => socket.close()) as Promise<Buffer | undefined>
  }

  const ask = async (packet: Packet): Promise<Answered> => {
    const answer = await sendUdp(encode({ type: 'query', id: 7, ...packet }))
    assert.ok(answer, 'there is an answer')
    return decode(answer) as Answered
  }

  it('answers a listed name in the letters of the client, and asks for it in lower case', async () => {
    const answer = await ask({ questions: [{ name: 'Api.eXample', type: 'A' }] })
    assert.equal(answer.id, 7)
    assert.equal(answer.rcode, 'NOERROR')
    assert.deepEqual(
      answer.answers?.map((record) => [record.name, 'data' in record && record.data]),
      [['Api.eXample', '192.0.2.1']],
    )
    const [asked] = resolver.asked
    assert.equal(asked && decode(asked).questions?.[0]?.name, 'api.example')
    assert.ok(noted.includes('Api.eXample 192.0.2.1'))
  })

  it('asks from ports that no process of the pod is given by the system', async () => {
    resolver.ports.length = 0
    const questions = Array.from({ length: 40 }, () =>
      ask({ questions: [{ name: 'api.example', type: 'A' }] }),
    )
    await Promise.all(questions)
    assert.equal(resolver.ports.length, 40)
    assert.ok(new Set(resolver.ports).size > 30)
    // where ip_local_port_range begins
    for (const port of resolver.ports) assert.ok(port < 32_768, String(port))
  })

  it("takes nothing of the client's packet along but name and type", async () => {
    const options = [{ code: 65_001, data: Buffer.from('exfiltrated') }]
    const opt = {
      type: 'OPT',
      name: '.',
      udpPayloadSize: 4_096,
      flags: 0,
      flag_do: true,
      extendedRcode: 0,
      ednsVersion: 0,
      options,
    }
    await ask({
      id: 4_242,
      flags: 0x0130,
      questions: [{ name: 'api.example', type: 'A' }],
      additionals: [opt as Answer],
    } as Packet)
    await ask({ id: 4_242, questions: [{ name: 'API.example', type: 'A' }] })
    const [first, second] = resolver.asked
    assert.ok(first && second)
    assert.notDeepEqual(first.subarray(0, 2), second.subarray(0, 2), 'ids are drawn anew')
    assert.deepEqual(first.subarray(2), second.subarray(2))
    assert.ok(!first.includes('exfiltrated'))
  })

  it('refuses other names and types, with a line each', async () => {
    const asked: [string, 'A' | 'TXT'][] = [
      ['secret.evil.example', 'A'],
      ['api.example', 'TXT'],
    ]
    for (const [name, type] of asked)
      assert.equal((await ask({ questions: [{ name, type }] })).rcode, 'REFUSED')
    assert.deepEqual(
      refused.map(({ name }) => name),
      ['secret.evil.example A', 'api.example TXT'],
    )
    assert.equal(resolver.asked.length, 0)
  })

  it('answers that there is no HTTPS record without asking', async () => {
    const answer = await ask({ questions: [{ name: 'api.example', type: 'UNKNOWN_65' as 'A' }] })
    assert.deepEqual(
      [answer.rcode, answer.answers?.length, resolver.asked.length, refused.length],
      ['NOERROR', 0, 0, 0],
    )
  })

  it('passes only what answers the question', async () => {
    resolver.answer = () => ({
      answers: [
        { type: 'CNAME', name: 'api.example', data: 'edge.example', ttl: 5 },
        address('other.example', '192.0.2.66'),
        address('edge.example', '192.0.2.2'),
        { type: 'TXT', name: 'edge.example', data: 'hidden' },
      ],
      additionals: [address('extra.example')],
      authorities: [{ type: 'NS', name: 'example', data: 'ns.evil.example' }],
    })
    const {
      answers = [],
      additionals,
      authorities,
    } = await ask({ questions: [{ name: 'api.example', type: 'A' }] })
    assert.deepEqual(
      answers.map(({ type, name }) => `${type} ${name}`),
      ['CNAME api.example', 'A edge.example'],
    )
    assert.deepEqual([additionals?.length, authorities?.length], [0, 0])
  })

  it('passes that there is no such name, and no other error', async () => {
    for (const [code, expected] of [
      [3, 'NXDOMAIN'],
      [2, 'SERVFAIL'],
      [5, 'SERVFAIL'],
      [1, 'SERVFAIL'],
    ] as const) {
      resolver.answer = () => ({ flags: code })
      assert.equal((await ask({ questions: [{ name: 'api.example', type: 'A' }] })).rcode, expected)
    }
  })

  it('takes no answer to another question, and none with another id', async () => {
    resolver.answer = ({ id = 0 }) =>
      encode({
        type: 'response',
        id: (id + 1) % 0x10000,
        questions: [{ name: 'api.example', type: 'A' }],
        answers: [address('api.example', '192.0.2.66')],
      })
    assert.equal((await ask({ questions: [{ name: 'api.example', type: 'A' }] })).rcode, 'SERVFAIL')
    resolver.answer = () => ({
      questions: [{ name: 'evil.example', type: 'A' }],
      answers: [address('evil.example')],
    })
    assert.equal((await ask({ questions: [{ name: 'api.example', type: 'A' }] })).rcode, 'SERVFAIL')
  })

  it('gets long answers by TCP, and gives them out by TCP only', async () => {
    const answers = Array.from({ length: 60 }, (_, index) => address('api.example', `192.0.2.${index}`))
    resolver.answer = (_, byUdp) => (byUdp ? { flags: 0x0200 } : { answers })
    const short = await ask({ questions: [{ name: 'api.example', type: 'A' }] })
    assert.deepEqual([short.flag_tc, short.answers?.length], [true, 0])
    const client = connect(forwarder.port, '127.0.0.1')
    const whole = new Promise<DecodedPacket>((resolve) => {
      const reader = new MessageReader()
      client.on('data', (chunk) => {
        for (const message of reader.push(chunk)) resolve(decode(message))
      })
    })
    const question = withLength(
      encode({ type: 'query', id: 9, questions: [{ name: 'api.example', type: 'A' }] }),
    )
    client.write(question.subarray(0, 5))
    setTimeout(() => client.write(question.subarray(5)), 20)
    assert.equal((await whole).answers?.length, 60)
    client.destroy()
  })

  it('lets only so many names be made up, and counts again after a minute', async () => {
    const rcodes: string[] = []
    for (let number = 0; number < 62; number++)
      rcodes.push(
        (await ask({ questions: [{ name: `s${number}.agents.svc.cluster.local`, type: 'A' }] })).rcode,
      )
    assert.deepEqual(rcodes.slice(59), ['NOERROR', 'REFUSED', 'REFUSED'])
    assert.equal(
      (await ask({ questions: [{ name: 's3.agents.svc.cluster.local', type: 'A' }] })).rcode,
      'NOERROR',
    )
    clock.pass(60_001)
    assert.equal(
      (await ask({ questions: [{ name: 's61.agents.svc.cluster.local', type: 'A' }] })).rcode,
      'NOERROR',
    )
  })

  it('answers what is no question with a format error, and nonsense not at all', async () => {
    const two = encode({
      type: 'query',
      id: 7,
      questions: [
        { name: 'api.example', type: 'A' },
        { name: 'b.example', type: 'A' },
      ],
    })
    const looped = Buffer.from('000701000001000000000000c00c00010001', 'hex')
    for (const bytes of [two, looped]) {
      const answer = await sendUdp(bytes)
      assert.ok(answer)
      assert.equal((decode(answer) as Answered).rcode, 'FORMERR')
    }
    const response = encode({ type: 'response', id: 7, questions: [{ name: 'api.example', type: 'A' }] })
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(5), response])
      assert.equal(await sendUdp(bytes, 100), undefined)
    assert.equal(resolver.asked.length, 0)
  })

  it('reads any bytes without an exception and without delay', () => {
    const start = process.cpuUsage()
    const head = Buffer.from('000701000001000000000000', 'hex')
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.boolean(), (bytes, asQuestion) => {
        readQuestion(asQuestion ? Buffer.concat([head, bytes]) : Buffer.from(bytes))
      }),
      { numRuns: 3_000 },
    )
    assert.ok(process.cpuUsage(start).user < 10_000_000)
  })
})
