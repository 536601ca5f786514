/** The only DNS server that an agent reaches: answers what it may ask, from the cluster's resolver. */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { createServer, isIPv6, type Server, type Socket } from 'node:net'
import type { Question } from 'dns-packet'
import { type Clock, Deadline } from '../../clock.ts'
import type { Refusals } from '../refusals.ts'
import { MessageReader, withLength } from './framing.ts'
import { judge, type NameRules } from './names.ts'
import { addressesIn, fitted, readQuestion, responseCodes, writeAnswer } from './packets.ts'
import { ask } from './upstream.ts'

export interface ForwarderOptions {
  /** Addresses to listen on, as `127.0.0.1` and `::1`. */
  readonly hosts: readonly string[]
  /** 0: any that is free; the same for all. */
  readonly port: number
  /** Of the cluster's resolvers. */
  readonly servers: readonly string[]
  readonly serverPort?: number
  readonly names: NameRules
  readonly refusals: Refusals
  readonly clock: Clock
  /** Told what a name was found to stand for. */
  readonly onAddresses: (name: string, addresses: readonly string[]) => void
}

/** In {@link period}: what a busy agent doesn't come near, and what carries little if every name says something. */
const limits = { questions: 3_000, unlistedNames: 60 } as const
/** In milliseconds. */
const period = 60_000
/** Questions that wait for the resolver at a time. */
const mostWaiting = 256
const mostClients = 64
/** Without a question, in milliseconds. */
const idleFor = 10_000

export class Forwarder implements AsyncDisposable {
  readonly #options: ForwarderOptions
  readonly #datagrams: DatagramSocket[] = []
  readonly #servers: Server[] = []
  readonly #clients = new Set<Socket>()
  #until: Deadline
  #questions = 0
  readonly #unlisted = new Set<string>()
  #waiting = 0

  /** @throws the system's error when it can't listen there. */
  static async open(options: ForwarderOptions): Promise<Forwarder> {
    const forwarder = new Forwarder(options)
    try {
      for (const host of options.hosts) await forwarder.#listen(host)
    } catch (error) {
      await forwarder[Symbol.asyncDispose]()
      throw error
    }
    return forwarder
  }

  private constructor(options: ForwarderOptions) {
    this.#options = options
    this.#until = new Deadline(options.clock, period)
  }

  /** The port that it listens on. */
  get port(): number {
    return this.#datagrams[0]?.address().port ?? this.#options.port
  }

  async #listen(host: string): Promise<void> {
    const six = isIPv6(host)
    const socket = createSocket({ type: six ? 'udp6' : 'udp4', ipv6Only: six })
    const port = this.port
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject).bind(port, host, resolve)
    })
    this.#datagrams.push(socket)
    socket.removeAllListeners('error').on('error', () => {})
    socket.on('message', (bytes, from) => {
      void this.#answer(bytes, true).then((answer) => {
        // a socket that was closed meanwhile throws
        if (answer && this.#datagrams.includes(socket)) socket.send(answer, from.port, from.address)
      })
    })
    const server = createServer((client) => this.#serve(client))
    server.maxConnections = mostClients
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen({ port: this.port, host, ipv6Only: six }, resolve)
    })
    this.#servers.push(server)
  }

  #serve(client: Socket): void {
    const reader = new MessageReader()
    this.#clients.add(client)
    client.setTimeout(idleFor, () => client.destroy())
    client.on('close', () => this.#clients.delete(client)).on('error', () => {})
    client.on('data', async (chunk) => {
      // one after the other: who asks faster than it is answered waits
      client.pause()
      for (const message of reader.push(chunk)) {
        const answer = await this.#answer(message, false)
        if (!answer) client.destroy()
        else if (client.writable) client.write(withLength(answer))
      }
      client.resume()
    })
  }

  /** @returns undefined where there is nobody to answer. */
  async #answer(bytes: Buffer, byUdp: boolean): Promise<Buffer | undefined> {
    const read = readQuestion(bytes)
    if (read.kind === 'nonsense') return undefined
    if (read.kind === 'invalid') return writeAnswer(read.id, undefined, responseCodes.formatError)
    const { id, question, size } = read
    const refusal = this.#refusalOf(question)
    if (refusal === 'nothing') return writeAnswer(id, question, responseCodes.noError)
    if (refusal !== undefined) {
      this.#options.refusals.add({ kind: 'name', name: shown(question), reason: refusal })
      return writeAnswer(id, question, responseCodes.refused)
    }
    const answer = await this.#resolve(id, question)
    return byUdp ? fitted(answer, question, size) : answer
  }

  async #resolve(id: number, question: Question): Promise<Buffer> {
    if (this.#waiting >= mostWaiting) return writeAnswer(id, question, responseCodes.serverFailure)
    const { servers, serverPort = 53, onAddresses } = this.#options
    this.#waiting++
    const found = await ask(question, servers, serverPort)
    this.#waiting--
    if (!found) return writeAnswer(id, question, responseCodes.serverFailure)
    onAddresses(question.name, addressesIn(found.records))
    return writeAnswer(id, question, found.code, found.records)
  }

  /** Why a question is refused; `nothing` where it is answered without asking. */
  #refusalOf({ name, type }: Question): string | undefined {
    if (this.#until.passed) {
      this.#until = new Deadline(this.#options.clock, period)
      this.#questions = 0
      this.#unlisted.clear()
    }
    if (++this.#questions > limits.questions) return 'more questions are asked than an agent has'
    const verdict = judge(name, type, this.#options.names)
    if (verdict.kind === 'refused') return verdict.reason
    if (verdict.kind === 'nothing') return 'nothing'
    if (!verdict.unlisted) return undefined
    const lower = name.toLowerCase()
    if (this.#unlisted.size >= limits.unlistedNames && !this.#unlisted.has(lower))
      return 'more names are tried than there would be Services to find'
    this.#unlisted.add(lower)
    return undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#datagrams.splice(0)) socket.close()
    const closed = this.#servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve)))
    for (const client of this.#clients) client.destroy()
    await Promise.all(closed)
  }
}

/** What was asked, as it may stand in a line: names can hold any bytes. */
function shown({ name, type }: Question): string {
  return `${name.slice(0, 255).replaceAll(/[^\w.-]/g, '?')} ${type}`
}
