/** An exec or attach over SPDY: each channel that WebSocket would have is a stream, which its client opens. */
import type { Result } from '../../../session.ts'
import { channels, writeChannel } from './channels.ts'
import { BrokenFrames, type Framing, type Received } from './framing.ts'
import { type SpdyData, type SpdyFrame, type SpdyHeaders, SpdyReader } from './spdy.ts'
import { answerFrame, dataFrame, endFrame, leaveFrame, pingFrame } from './spdy-frames.ts'
import type { Message } from './web-socket.ts'

/** What a program has of these, a request says; clients open exactly that. */
export type StreamName = 'error' | 'stdin' | 'stdout' | 'stderr' | 'resize'

/** That nothing is wrong. */
const normal = 1000
const largestStream = 0x7fffffff
/** Of a terminal, as JSON. */
const maximumSize = 256
/** As long as kubelets wait. In milliseconds. */
const openedWithin = 30_000
const noStream = 'the client sent something for a stream that there is none of, or no more'

interface Stream {
  readonly name: StreamName
  /** The client has said that there is no more. */
  isOver: boolean
}

export class SpdyChannels implements Framing {
  readonly carriesPings = true
  readonly ready: Promise<void>
  readonly #reader = new SpdyReader()
  readonly #missing: Set<StreamName>
  readonly #streams = new Map<number, Stream>()
  readonly #opened = Promise.withResolvers<void>()
  readonly #late: NodeJS.Timeout
  #lastStream = 0
  #size = Buffer.alloc(0)
  #isLeaving = false

  constructor(names: Iterable<StreamName>, within = openedWithin) {
    this.#missing = new Set(names)
    this.ready = this.#opened.promise
    // it may be over before anybody waits
    this.ready.catch(() => {})
    const late = new BrokenFrames('the client has not opened its streams in time')
    this.#late = setTimeout(() => this.#opened.reject(late), within).unref()
  }

  async read(chunk: Buffer): Promise<Result<Received, string>> {
    const messages: Message[] = []
    const answers: Buffer[] = []
    if (this.#isLeaving) return { ok: true, value: { messages } }
    const read = await this.#reader.push(chunk)
    if (!read.ok) return read
    for (const { frame } of read.value) {
      // what comes after the end is nothing
      if (this.#isLeaving) break
      const problem = this.#take(frame, messages, answers)
      if (problem !== undefined) return { ok: false, error: problem }
    }
    return { ok: true, value: { messages, ...(answers.length > 0 && { answer: Buffer.concat(answers) }) } }
  }

  write(message: Message): Buffer {
    switch (message.kind) {
      case 'data':
        return this.#data(message.bytes)
      case 'pong':
        return message.bytes.length === 4 ? pingFrame(message.bytes.readUInt32BE()) : Buffer.alloc(0)
      case 'close':
        return Buffer.concat([...[...this.#streams.keys()].map(endFrame), leaveFrame(this.#lastStream)])
      default:
        return Buffer.alloc(0)
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#late)
    this.#reader[Symbol.dispose]()
  }

  #data(message: Buffer): Buffer {
    for (const [stream, { name }] of this.#streams)
      if (channels[name] === message[0] && message.length > 1) return dataFrame(stream, message.subarray(1))
    return Buffer.alloc(0)
  }

  /** @returns why no client sends this frame now. */
  #take(frame: SpdyFrame, messages: Message[], answers: Buffer[]): string | undefined {
    switch (frame.kind) {
      case 'opens':
        return this.#open(frame.stream, frame.headers, answers)
      case 'data':
        return this.#hear(frame, messages)
      case 'pings':
        // a server's have even numbers, and none was sent
        if (frame.id % 2 === 0) return 'the client answers a ping that there was none of'
        messages.push({ kind: 'ping', bytes: pingBytes(frame.id) })
        return undefined
      case 'resets':
        if (!this.#streams.has(frame.stream)) return noStream
        this.#leave(messages)
        return undefined
      case 'leaves':
        this.#leave(messages)
        return undefined
      case 'widens':
        return undefined
    }
  }

  #open(stream: number, headers: SpdyHeaders, answers: Buffer[]): string | undefined {
    if (stream % 2 === 0 || stream <= this.#lastStream || stream > largestStream)
      return 'the client opened a stream by a number that is not its own'
    const name = [...this.#missing].find((each) => each === headers.get('streamtype'))
    if (name === undefined) return 'the client opened a stream that its request has none of, or has already'
    answers.push(answerFrame(stream, this.#lastStream === 0))
    this.#lastStream = stream
    this.#streams.set(stream, { name, isOver: false })
    this.#missing.delete(name)
    if (this.#missing.size > 0) return undefined
    clearTimeout(this.#late)
    this.#opened.resolve()
    return undefined
  }

  #hear(frame: SpdyData, messages: Message[]): string | undefined {
    const stream = this.#streams.get(frame.stream)
    if (!stream || stream.isOver) return noStream
    if (this.#missing.size > 0) return 'the client wrote before it had opened the streams of its request'
    const { name } = stream
    if (name === 'resize') {
      this.#size = Buffer.concat([this.#size, frame.data])
      if (this.#size.length > maximumSize) return 'the size of a terminal is longer than any'
      if (frame.isWhole) this.#resize(messages)
    } else if (frame.data.length > 0) {
      if (name !== 'stdin') return 'the client wrote to a stream that is not its to write to'
      messages.push(onChannel(channels.stdin, frame.data))
    }
    stream.isOver = frame.isLast
    if (frame.isLast && name === 'stdin') messages.push(onChannel(channels.close, Buffer.of(channels.stdin)))
    return undefined
  }

  /** Clients send each size in a frame of its own. */
  #resize(messages: Message[]): void {
    if (this.#size.length > 0) messages.push(onChannel(channels.resize, this.#size))
    this.#size = Buffer.alloc(0)
  }

  /** Clients give up streams when they leave, and never otherwise. */
  #leave(messages: Message[]): void {
    this.#isLeaving = true
    messages.push({ kind: 'close', code: normal, reason: Buffer.alloc(0) })
  }
}

function onChannel(channel: number, bytes: Buffer): Message {
  return { kind: 'data', bytes: writeChannel({ channel, bytes }) }
}

function pingBytes(id: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(id)
  return bytes
}
