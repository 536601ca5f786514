/** What all streams of pods have in common: two sides whose messages are read, and how it ends. */
import { once } from 'node:events'
import { Ended, overLimit, tooManyBytes } from '../../http/exchange/ended.ts'
import type { Problem } from '../../http/exchange/problems.ts'
import { type OpenedTunnel, switching } from '../../http/exchange/tunnel.ts'
import { BrokenFrames, type Framing, WebSocketFraming } from './framing.ts'
import { Peer } from './peer.ts'
import type { Message } from './web-socket.ts'

/** What is done with what passes. */
export interface StreamHandler {
  /** A message of the API server. */
  output(message: Buffer): Promise<void>
  /** There is no more. */
  endOutput(): Promise<void>
  /** A message of the client. */
  input(message: Buffer): Promise<void>
  endInput(): Promise<void>
  /** Tells the client why the gateway ends it. @returns what its end says, shortly. */
  explain(problem: Problem): Promise<string>
}

/** That nothing is wrong with the connection. */
const over = 1000
const longestReason = 123
/** Of the client's input, in bytes: what may wait for what came before it. */
const maximumWaiting = 1024 * 1024
/** What a message takes beside its bytes. */
const messageSize = 64

export class Relay implements Disposable {
  readonly #opened: OpenedTunnel
  readonly #client: Peer
  readonly #framing: Framing
  readonly #target: Peer
  readonly #gone = new AbortController()
  /** The API server has said that it is over. */
  #isWhole = false

  /** @param framing of the client. */
  constructor(opened: OpenedTunnel, framing: Framing) {
    const { tunnel, target } = opened
    this.#opened = opened
    tunnel.begin()
    this.#client = new Peer(tunnel.client, framing)
    this.#framing = framing
    this.#target = new Peer(target, new WebSocketFraming('server'))
  }

  /** The client is about to leave, or has left: nothing may begin any more. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  get ended(): boolean {
    return this.#opened.signal.aborted
  }

  /** @returns when both sides are gone: whether the API server had said that it is over. */
  async run(handler: StreamHandler): Promise<boolean> {
    const { signal } = this.#opened
    const stop = (): void => void this.#stop(signal.reason as Ended, handler)
    const begun = this.#client.write(switching(this.#opened))
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop)
    await begun
    const typing = this.#guarded(() => this.#fromClient(handler)).finally(() => this.#leave())
    await this.#guarded(() => this.#fromTarget(handler))
    await this.#client.end(typing)
    signal.removeEventListener('abort', stop)
    return this.#isWhole
  }

  /** What a side should not have sent ends it all. */
  break(detail: string): void {
    const { run, end } = this.#opened
    end(new Ended({ kind: 'malformed', status: 400, detail, reference: run.reference }))
  }

  /** Counts what goes to the client next. @returns whether it may. */
  meter(bytes: number): boolean {
    const { run, end } = this.#opened
    const limit = run.session.meter(0, bytes) ?? tooManyBytes(run, bytes)
    if (limit) end(overLimit(run, limit))
    else run.bytes += bytes
    return limit === undefined
  }

  async toClient(bytes: Buffer): Promise<void> {
    await this.#client.send({ kind: 'data', bytes })
  }

  async toTarget(bytes: Buffer): Promise<void> {
    if (!this.ended) await this.#target.send({ kind: 'data', bytes })
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]()
    this.#target[Symbol.dispose]()
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.break(error instanceof BrokenFrames ? error.message : 'what came can not be read')
    }
  }

  /** Nobody is there to type or read any more. */
  #leave(): void {
    this.#gone.abort()
    this.#target[Symbol.dispose]()
  }

  async #stop({ problem }: Ended, handler: StreamHandler): Promise<void> {
    this.#leave()
    if (!problem) return
    const reason = Buffer.from(await handler.explain(problem)).subarray(0, longestReason)
    await this.#client.send({ kind: 'close', code: over, reason })
  }

  /** Until then nothing is read that it would be sent. */
  async #clientReady(): Promise<void> {
    const { ready } = this.#framing
    if (!ready || this.#gone.signal.aborted) return
    const waiting = new AbortController()
    const gone = once(this.#gone.signal, 'abort', { signal: waiting.signal })
    await Promise.race([ready, gone]).finally(() => waiting.abort())
  }

  async #fromTarget(handler: StreamHandler): Promise<void> {
    await this.#clientReady()
    for await (const message of this.#target.messages()) {
      if (this.ended) return
      if (message.kind === 'data') await handler.output(message.bytes)
      else if (message.kind === 'close') {
        await handler.endOutput()
        this.#isWhole = !this.ended
        if (this.#isWhole) await this.#client.send(message)
        return
      } else if (message.kind === 'ping' && !this.#framing.carriesPings)
        await this.#target.send({ kind: 'pong', bytes: message.bytes })
      else await this.#client.send(message)
      await this.#opened.run.session.ready()
    }
    await handler.endOutput()
  }

  /** Reads on while input waits for people: they may take longer than a client waits for its pong, or than it is there. */
  async #fromClient(handler: StreamHandler): Promise<void> {
    let taken = Promise.resolve()
    let waiting = 0
    for await (const message of this.#client.messages()) {
      if (this.ended) break
      if (message.kind === 'ping' || message.kind === 'pong') {
        await this.#target.send(message)
        continue
      }
      if (message.kind === 'close') this.#gone.abort()
      const size = messageSize + (message.kind === 'data' ? message.bytes.length : 0)
      waiting += size
      taken = taken.then(async () => {
        await this.#guarded(() => this.#take(message, handler))
        waiting -= size
      })
      if (waiting > maximumWaiting) await taken
    }
    this.#gone.abort()
    await taken
  }

  async #take(message: Message, handler: StreamHandler): Promise<void> {
    if (this.ended) return
    if (message.kind === 'data') await handler.input(message.bytes)
    else {
      if (message.kind === 'close') await handler.endInput()
      await this.#target.send(message)
    }
  }
}
