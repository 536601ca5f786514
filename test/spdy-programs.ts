/** A client's side of a stream over SPDY, as client-go's executor has it. */
import { request } from 'node:http'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { constants, inflateSync } from 'node:zlib'
import { headerDictionary } from '@firebreak/sidecar/protocols/kubernetes/streams/spdy-dictionary.ts'
import {
  control,
  data,
  number,
  type Pairs,
  SpdyClient,
} from '@firebreak/sidecar/protocols/kubernetes/streams/testing.ts'
import type { Guard } from './shop.ts'

export interface SpdyOptions {
  readonly subresource?: string
  readonly protocols?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  readonly method?: string
  readonly body?: string
  /** Whether its length is not said. */
  readonly chunked?: boolean
}

const offered = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v3.channel.k8s.io', 'channel.k8s.io']
const last = 1
/** The end of an empty block. */
const flushed = Buffer.from([0, 0, 0xff, 0xff])

/** What the gateway said instead of answering as asked. */
export interface Answered {
  readonly status: number
  readonly message: string
}

/** As a client asks for it. @returns the connection, with what came behind the answer; or why there is none. */
export async function upgraded(
  { address }: Guard,
  query: string,
  options: SpdyOptions = {},
): Promise<{ readonly socket: Duplex; readonly head: Buffer; readonly protocol: string } | Answered> {
  const {
    subresource = 'exec',
    protocols = offered,
    headers = {},
    method = 'POST',
    body = '',
    chunked,
  } = options
  const url = `http://127.0.0.1:${address.port}/api/v1/namespaces/prod/pods/web/${subresource}?${query}`
  const asking = request(url, {
    method,
    headers: {
      connection: 'Upgrade',
      upgrade: 'SPDY/3.1',
      'x-stream-protocol-version': [...protocols],
      ...(chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.length }),
      ...headers,
    },
  })
  return await new Promise((resolve, reject) => {
    asking.on('error', reject).on('upgrade', (response, socket, head) => {
      const protocol = String(response.headers['x-stream-protocol-version'])
      socket.on('error', () => {})
      resolve({ socket, head, protocol: `${response.headers.upgrade} ${protocol}` })
    })
    asking.on('response', async (response) => {
      const { message } = JSON.parse(await text(response)) as { readonly message: string }
      resolve({ status: response.statusCode ?? 0, message })
    })
    asking.end(body)
  })
}

export class SpdyProgram {
  readonly socket: Duplex
  readonly client = new SpdyClient()
  /** Resolves when the gateway has ended it. */
  readonly closed: Promise<void>
  /** What the gateway ended itself, in order. */
  readonly ended: string[] = []
  readonly pongs: number[] = []
  hasLeft = false
  readonly #numbers = new Map<string, number>()
  readonly #answered = new Set<number>()
  readonly #seen = new Map<string, string>()
  /** The headers of all answers, which are compressed as one text. */
  #answers = Buffer.alloc(0)
  #changed = Promise.withResolvers<void>()
  #held = Buffer.alloc(0)

  /** @param streams that it opens, one after the other. */
  static async open(
    guard: Guard,
    query: string,
    streams: readonly string[] = ['error', 'stdin', 'stdout', 'stderr'],
    options: SpdyOptions = {},
  ): Promise<SpdyProgram> {
    const answer = await upgraded(guard, query, options)
    if (!('socket' in answer)) throw new Error(answer.message)
    const program = new SpdyProgram(answer.socket, answer.head)
    for (const name of streams) await program.begin(name)
    return program
  }

  constructor(socket: Duplex, head: Buffer) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.on('close', () => resolve()))
    this.#take(head)
    socket.on('data', (chunk: Buffer) => this.#take(chunk)).on('end', () => socket.end())
  }

  /** Opens a stream, and waits for its answer. */
  async begin(name: string): Promise<void> {
    const stream = 2 * this.#numbers.size + 1
    this.#numbers.set(name, stream)
    this.socket.write(await this.client.opens(stream, [['streamtype', name]]))
    while (!this.#answered.has(stream)) await this.#next()
  }

  async opens(stream: number, pairs: Pairs): Promise<void> {
    this.socket.write(await this.client.opens(stream, pairs))
  }

  write(name: string, bytes: string): void {
    this.socket.write(data(this.#numberOf(name), bytes))
  }

  end(name: string): void {
    const frame = data(this.#numberOf(name), '')
    frame.writeUInt8(last, 4)
    this.socket.write(frame)
  }

  ping(id: number): void {
    this.socket.write(control(6, number(id)))
  }

  /** Gives up its streams and says farewell, as client-go does at the end of all. */
  leave(): void {
    for (const stream of this.#numbers.values())
      this.socket.write(control(3, Buffer.concat([number(stream), number(5)])))
    this.socket.write(control(7, Buffer.alloc(8)))
    this.socket.end()
  }

  seen(name: string): string {
    return this.#seen.get(name) ?? ''
  }

  /** Resolves when a stream has shown something. */
  async shows(name: string, pattern: RegExp): Promise<string> {
    while (!pattern.test(this.seen(name))) await this.#next()
    return this.seen(name)
  }

  async hears(isThere: () => boolean): Promise<void> {
    while (!isThere()) await this.#next()
  }

  async #next(): Promise<void> {
    await Promise.race([this.#changed.promise, this.closed])
    if (this.socket.destroyed) throw new Error(`it is over; it has seen ${JSON.stringify([...this.#seen])}`)
  }

  #numberOf(name: string): number {
    return this.#numbers.get(name) ?? 0
  }

  #take(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk])
    while (this.#held.length >= 8 && this.#held.length >= 8 + this.#held.readUIntBE(5, 3)) {
      const length = 8 + this.#held.readUIntBE(5, 3)
      this.#frame(this.#held.subarray(0, length))
      this.#held = this.#held.subarray(length)
    }
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  #frame(frame: Buffer): void {
    const stream = frame.readUInt32BE(0)
    if (frame.readUInt8(0) === 0) {
      const name = [...this.#numbers].find(([, each]) => each === stream)?.[0] ?? `none, ${stream}`
      this.#seen.set(name, this.seen(name) + frame.subarray(8).toString())
      if (frame.readUInt8(4) === last) this.ended.push(name)
      return
    }
    switch (frame.readUInt16BE(2)) {
      case 2: {
        this.#answered.add(frame.readUInt32BE(8))
        this.#answers = Buffer.concat([this.#answers, frame.subarray(12)])
        const options = { dictionary: headerDictionary, finishFlush: constants.Z_SYNC_FLUSH }
        const headers = inflateSync(this.#answers, options)
        // Go's reader waits for this end, and each has none
        if (!frame.subarray(-4).equals(flushed)) throw new Error('an answer is not flushed')
        if (!headers.equals(Buffer.alloc(4 * this.#answered.size))) throw new Error('no answer has headers')
        return
      }
      case 6:
        this.pongs.push(frame.readUInt32BE(8))
        return
      case 7:
        this.hasLeft = true
        return
      default:
        throw new Error('a server sends no such frame')
    }
  }
}
