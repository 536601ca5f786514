import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import fc from 'fast-check'
import { parse as parseYaml } from 'yaml'
import { manifests } from '../../../../test/policies.ts'
import { RawClient, type ReceivedFrame } from '../../../../test/raw-client.ts'
import { Guard, Shop } from '../../../../test/shop.ts'
import * as encode from '../codec/encode.ts'
import { FrameReader } from '../codec/frame-reader.ts'
import { decodeErrorFields } from '../codec/server-messages.ts'
import { fromServer, serverRules } from '../codec/types.ts'

const { seeds, statements } = parseYaml(
  readFileSync(new URL('testdata/fuzz.yaml', import.meta.url), 'utf8'),
) as { seeds: { pipelines: number[]; servers: number[] }; statements: string[] }

const theEnd = 'the end of it'
const statementName = fc.constantFrom('', 'a', 'b')
const portalName = fc.constantFrom('', 'p', 'c')
const kind = fc.constantFrom('statement', 'portal')
const text = fc.constantFrom(...statements)

function execute(portal: string, rows: number): Buffer {
  const message = encode.execute(portal)
  message.writeInt32BE(rows, message.length - 4)
  return message
}

/** Whole messages in any order; most orders are wrong. */
const message: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 4, arbitrary: text.map(encode.query) },
  { weight: 4, arbitrary: fc.tuple(statementName, text).map(([name, sql]) => encode.parse(name, sql)) },
  { weight: 5, arbitrary: fc.tuple(portalName, statementName).map(([p, s]) => encode.bind(p, s)) },
  { weight: 5, arbitrary: fc.tuple(portalName, fc.constantFrom(0, 0, 1, 2)).map(([p, n]) => execute(p, n)) },
  { weight: 2, arbitrary: fc.tuple(kind, statementName).map(([of, name]) => encode.describe(of, name)) },
  { weight: 2, arbitrary: fc.tuple(kind, statementName).map(([of, name]) => encode.close(of, name)) },
  { weight: 3, arbitrary: fc.constant(encode.sync) },
  { weight: 1, arbitrary: fc.constant(Buffer.from('H\0\0\0\x04', 'latin1')) },
  { weight: 1, arbitrary: fc.constant(encode.copyFail('no more')) },
  { weight: 1, arbitrary: fc.constant(Buffer.from('d\0\0\0\x08row\n', 'latin1')) },
  { weight: 1, arbitrary: fc.constant(Buffer.from('c\0\0\0\x04', 'latin1')) },
)

/** What a client sees: of errors the code and the message, as files and lines of the server's source are its own. */
function seen(frames: readonly ReceivedFrame[]): string[] {
  return frames.map(({ type, bytes }) => {
    if (type !== 'E' && type !== 'N') return `${type} ${bytes.toString('latin1', 5)}`
    const fields = decodeErrorFields(bytes, 0, bytes.length)
    return `${type} ${fields?.get('C')} ${fields?.get('M')}`
  })
}

/** Sends the messages in parts, and reads all that is said up to the end. */
async function conversation(client: RawClient, parts: readonly (readonly Buffer[])[]): Promise<string[]> {
  using session = client
  for (const part of parts) {
    if (part.length > 0 && !session.closed) session.send(...part)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  session.send(encode.copyFail('no more'), encode.sync, encode.query(`ROLLBACK; SELECT '${theEnd}'`))
  const frames: ReceivedFrame[] = []
  while (!session.closed && !frames.some(({ bytes }) => bytes.includes(theEnd)))
    frames.push(...(await session.until('Z')))
  // a server that hangs up while more is sent takes back what it has said before
  return session.closed ? ['the connection was ended'] : seen(frames)
}

describe('PostgreSQL sessions, whatever is sent', function () {
  this.timeout(120_000)
  let shop: Shop
  let guard: Guard

  before(async () => {
    shop = await Shop.start()
    await shop.create('direct')
    // nothing that is copied fails: whether a Sync came before or after that is for the server alone to know
    await shop.admin('direct', 'CREATE TABLE sink (line text)')
    guard = await Guard.start(
      { 'firebreak.yaml': manifests({ address: `127.0.0.1:${shop.postgres.port}`, database: 'direct' }) },
      shop.postgres.password,
    )
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  it('answer what the server answers to pipelines in any order', async () => {
    const property = fc.asyncProperty(
      fc.array(fc.array(message, { maxLength: 6 }), { minLength: 1, maxLength: 4 }),
      async (parts) => {
        const direct = await RawClient.open(shop.postgres, { user: 'postgres', database: 'direct' })
        const guarded = await RawClient.open(guard.address, { user: 'agent', database: 'direct' })
        assert.deepEqual(seen(guarded.greeting).at(-1), 'Z I')
        const expected = await conversation(direct.client, parts)
        assert.deepEqual(await conversation(guarded.client, parts), expected)
      },
    )
    for (const seed of seeds.pipelines) await fc.assert(property, { seed, numRuns: 12, endOnFailure: true })
    await fc.assert(property, { numRuns: 20, endOnFailure: true, interruptAfterTimeLimit: 10_000 })
  })

  it('end when the server speaks nonsense: what the client has got are whole messages, and nobody waits for ever', async () => {
    await using liar = await Liar.start(shop.postgres)
    const address = `127.0.0.1:${liar.port}`
    await using fooled = await Guard.start(
      { 'firebreak.yaml': manifests({ address, database: 'direct' }) },
      shop.postgres.password,
    )
    const property = fc.asyncProperty(nonsense, text, async (lie, sql) => {
      const { client, greeting } = await RawClient.open(fooled.address, { user: 'agent', database: 'direct' })
      using session = client
      assert.equal(greeting.at(-1)?.type, 'Z')
      const heard: Buffer[] = []
      session.socket.on('data', (chunk: Buffer) => heard.push(chunk))
      liar.tell(lie)
      session.send(encode.query(sql), encode.parse('', sql), encode.bind('', ''), execute('', 1), encode.sync)
      while (!session.closed) await session.until('Z')
      const reader = new FrameReader(serverRules)
      reader.push(Buffer.concat(heard))
      while (reader.next() === 'frame');
      assert.equal(reader.problem, '')
    })
    for (const seed of seeds.servers) await fc.assert(property, { seed, numRuns: 25 })
    await fc.assert(property, { numRuns: 25, interruptAfterTimeLimit: 10_000 })
    const { client, greeting } = await RawClient.open(fooled.address, { user: 'agent', database: 'direct' })
    using session = client
    assert.equal(greeting.at(-1)?.type, 'Z')
    session.send(encode.query('SELECT 1'))
    assert.equal((await session.until('Z')).map(({ type }) => type).join(''), 'TDCZ')
  })
})

const serverTypes = Object.values(fromServer)

/** Bytes, and messages with any content and sometimes with a length that is not theirs. */
const nonsense: fc.Arbitrary<Buffer> = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      fc
        .tuple(
          fc.constantFrom(...serverTypes),
          fc.uint8Array({ maxLength: 20 }),
          fc.constantFrom(0, 0, 0, 0, -3, 2, 1_000_000),
        )
        .map(([type, payload, lie]) => {
          const header = Buffer.alloc(5)
          header.writeUInt8(type)
          header.writeInt32BE(payload.length + 4 + lie, 1)
          return Buffer.concat([header, payload])
        }),
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((parts) => Buffer.concat(parts))

/** Stands in front of a server; told to, it answers in its place, and hangs up. */
class Liar implements AsyncDisposable {
  readonly #server: Server
  readonly #open = new Set<Socket>()
  #lie: Buffer | undefined

  static async start({ host, port }: { host: string; port: number }): Promise<Liar> {
    const liar = new Liar(host, port)
    await once(liar.#server.listen(0, '127.0.0.1'), 'listening')
    return liar
  }

  constructor(host: string, port: number) {
    this.#server = createServer((gateway) => {
      const server = connect({ host, port })
      for (const [from, to] of [
        [gateway, server],
        [server, gateway],
      ] as const) {
        this.#open.add(from)
        from
          .on('error', () => {})
          .on('close', () => {
            to.destroy()
            this.#open.delete(from)
          })
      }
      server.on('data', (chunk: Buffer) => gateway.write(chunk))
      gateway.on('data', (chunk: Buffer) => {
        // the connection that reads the catalogue is spared
        const lie = chunk.includes('pg_catalog') ? undefined : this.#lie
        if (!lie) return server.write(chunk)
        this.#lie = undefined
        gateway.end(lie)
      })
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  tell(lie: Buffer): void {
    this.#lie = lie
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    for (const socket of this.#open) socket.destroy()
  }
}
