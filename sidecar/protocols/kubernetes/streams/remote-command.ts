/** An exec or attach that runs: what its client types, and what its program writes. */
import { MaskedLabels } from '../../http/bodies/text-mask.ts'
import { shownHead } from '../../http/exchange/client.ts'
import { Ended, overLimit, tooManyBytes, withheld } from '../../http/exchange/ended.ts'
import type { Problem } from '../../http/exchange/problems.ts'
import { type OpenedTunnel, type StreamEnd, switching } from '../../http/exchange/tunnel.ts'
import type { Analysed } from '../analysis/analyse.ts'
import { decidesLines } from '../analysis/lines.ts'
import {
  type ChannelData,
  type ChannelProtocol,
  channels,
  readChannel,
  readSize,
  writeChannel,
  writeSize,
} from './channels.ts'
import { type InputPart, Lines } from './input.ts'
import { decideLine } from './line-decision.ts'
import { type OutputMask, openOutputMask } from './output.ts'
import { BrokenFrames, Peer } from './peer.ts'
import { failureIn } from './result.ts'
import type { Message } from './web-socket.ts'

/** As recordings have it, for whoever shows a terminal. */
const terminalType = 'application/vnd.firebreak.terminal'
const over = 1000

export class RemoteSession implements Disposable {
  readonly #opened: OpenedTunnel
  readonly #analysed: Analysed
  readonly #protocol: ChannelProtocol
  readonly #client: Peer
  readonly #target: Peer
  readonly #lines: Lines | undefined
  readonly #labels = new MaskedLabels()
  readonly #masks: ReadonlyMap<number, OutputMask>
  readonly #gone = new AbortController()
  #error = Buffer.alloc(0)
  #inputOver = false
  /** The API server has said that it is over. */
  #isWhole = false

  constructor(opened: OpenedTunnel, analysed: Analysed, protocol: ChannelProtocol) {
    const { tunnel, target, run } = opened
    this.#opened = opened
    this.#analysed = analysed
    this.#protocol = protocol
    this.#client = new Peer(tunnel.client, 'client', tunnel.first)
    this.#target = new Peer(target, 'server')
    this.#lines = decidesLines(run.command, analysed) ? new Lines(this.#tty) : undefined
    const { detectors } = run.session.terms
    this.#masks = new Map(
      [channels.stdout, channels.stderr, channels.error].map((channel) => [
        channel,
        openOutputMask(detectors, this.#labels),
      ]),
    )
  }

  /** @returns when both sides are gone, with how the program failed. */
  async run(): Promise<StreamEnd> {
    const { run, signal, status } = this.#opened
    const stop = (): void => void this.#stop(signal.reason as Ended)
    signal.addEventListener('abort', stop)
    await this.#client.write(switching(this.#opened))
    run.shows(
      shownHead(status, [
        ['content-type', terminalType],
        ['terminal-tty', String(this.#tty)],
      ]),
    )
    const typing = this.#guarded(() => this.#fromClient()).finally(() => this.#leave())
    await this.#guarded(() => this.#fromTarget())
    await this.#client.end(typing)
    signal.removeEventListener('abort', stop)
    run.maskedFields = this.#labels.list()
    return { isWhole: this.#isWhole, error: failureIn(this.#error) }
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]()
    this.#target[Symbol.dispose]()
  }

  get #tty(): boolean {
    return this.#analysed.remote?.tty === true
  }

  /** What a side should not have sent ends it all. */
  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#break(error instanceof BrokenFrames ? error.message : 'it can not be read')
    }
  }

  #break(detail: string): void {
    const { run, end } = this.#opened
    end(new Ended({ kind: 'malformed', status: 400, detail, reference: run.reference }))
  }

  /** Nobody is there to type or read any more. */
  #leave(): void {
    this.#gone.abort()
    this.#target[Symbol.dispose]()
  }

  /** Tells the client why, as the error of its program. */
  async #stop({ problem }: Ended): Promise<void> {
    this.#gone.abort()
    this.#target[Symbol.dispose]()
    if (problem) {
      const { body } = this.#opened.run.kind.say(problem)
      await this.#show({ channel: channels.error, bytes: body })
      await this.#client.send({ kind: 'close', code: over, reason: Buffer.alloc(0) })
    }
  }

  async #fromTarget(): Promise<void> {
    for await (const message of this.#target.messages()) {
      if (this.#opened.signal.aborted) return
      if (message.kind === 'data') await this.#output(message.bytes)
      else {
        if (message.kind === 'close') await this.#flush()
        await this.#client.send(message)
        if (message.kind === 'close') {
          this.#isWhole = !this.#opened.signal.aborted
          return
        }
      }
    }
    await this.#flush()
  }

  async #output(message: Buffer): Promise<void> {
    const data = readChannel(message)
    const mask = data && this.#masks.get(data.channel)
    if (!mask) {
      this.#break('the API server answered on a channel that there is none of')
      return
    }
    // the server says that a channel is there by nothing in it
    if (data.bytes.length === 0) await this.#client.send({ kind: 'data', bytes: message })
    else await this.#masked(data.channel, mask.push(data.bytes))
  }

  async #flush(): Promise<void> {
    for (const [channel, mask] of this.#masks) await this.#masked(channel, mask.end())
  }

  async #masked(channel: number, masked: ReturnType<OutputMask['push']>): Promise<void> {
    const { run, end, signal } = this.#opened
    if (signal.aborted) return
    if (!masked.ok) {
      end(withheld(run, masked.error))
      return
    }
    const bytes = masked.value
    if (bytes.length === 0) return
    const limit = run.session.meter(0, bytes.length) ?? tooManyBytes(run, bytes.length)
    if (limit) {
      end(overLimit(run, limit))
      return
    }
    if (channel === channels.error) this.#error = Buffer.concat([this.#error, bytes])
    await this.#show({ channel, bytes })
    await run.session.ready()
  }

  /** Results are no part of what a terminal shows. */
  async #show({ channel, bytes }: ChannelData): Promise<void> {
    const { run } = this.#opened
    run.bytes += bytes.length
    if (channel !== channels.error) run.shows(bytes)
    await this.#client.send({ kind: 'data', bytes: writeChannel({ channel, bytes }) })
  }

  async #fromClient(): Promise<void> {
    for await (const message of this.#client.messages()) {
      if (this.#opened.signal.aborted) return
      if (!this.#mayGoOn()) return
      if (message.kind === 'data') await this.#input(message.bytes)
      else {
        if (message.kind === 'close') await this.#endInput()
        await this.#target.send(message)
      }
    }
  }

  /** The policy may have changed since the program was started. */
  #mayGoOn(): boolean {
    const { run, end } = this.#opened
    const { effect } = run.session.decide(run.command)
    if (effect !== 'deny') return true
    const detail = 'the policy has changed meanwhile, and does not allow this any more'
    end(new Ended({ kind: 'denied', status: 403, detail, reference: run.reference }))
    return false
  }

  async #input(message: Buffer): Promise<void> {
    const data = readChannel(message)
    const sent = data && (await this.#take(data))
    if (!sent) this.#break('the client wrote to a channel that is not its to write to')
  }

  /** @returns false for what there is no place for. */
  async #take({ channel, bytes }: ChannelData): Promise<boolean> {
    switch (channel) {
      case channels.stdin:
        if (this.#inputOver || !this.#analysed.remote?.stdin) return bytes.length === 0
        if (this.#lines) for (const part of this.#lines.push(bytes)) await this.#line(part)
        else await this.#give(bytes)
        return true
      case channels.resize:
        return this.#tty && (await this.#resize(bytes))
      case channels.close:
        if (this.#protocol !== 'v5.channel.k8s.io' || bytes.length !== 1 || bytes[0] !== channels.stdin)
          return false
        await this.#endInput()
        await this.#toTarget({ channel, bytes })
        return true
      default:
        return false
    }
  }

  async #endInput(): Promise<void> {
    if (this.#lines && !this.#inputOver) for (const part of this.#lines.end()) await this.#line(part)
    this.#inputOver = true
  }

  async #line(part: InputPart): Promise<void> {
    if (this.#opened.signal.aborted) return
    switch (part.kind) {
      case 'pass':
        await this.#give(part.bytes)
        return
      case 'too-long':
        this.#break('a line is longer than what can be decided on')
        return
      case 'line': {
        const { run } = this.#opened
        const tell = (text: string): void => void this.#say(text)
        const terms = { analysed: this.#analysed, run, signal: this.#gone.signal, tell }
        const problem = await decideLine(part, terms)
        if (problem) await this.#say(refusalText(problem))
        else await this.#give(part.bytes)
      }
    }
  }

  /** A terminal has one stream, and lines that end as terminals' do. */
  async #say(text: string): Promise<void> {
    const [channel, end] = this.#tty ? [channels.stdout, '\r\n'] : [channels.stderr, '\n']
    await this.#show({ channel, bytes: Buffer.from(`firebreak: ${text}${end}`) })
  }

  async #give(bytes: Buffer): Promise<void> {
    this.#opened.run.session.recorder?.input(bytes)
    await this.#toTarget({ channel: channels.stdin, bytes })
  }

  async #resize(bytes: Buffer): Promise<boolean> {
    const size = readSize(bytes)
    if (!size) return false
    // what xterm takes for it, for whoever looks at the recording
    this.#opened.run.shows(Buffer.from(`\u001b[8;${size.height};${size.width}t`))
    await this.#toTarget({ channel: channels.resize, bytes: writeSize(size) })
    return true
  }

  async #toTarget(data: ChannelData): Promise<void> {
    const message: Message = { kind: 'data', bytes: writeChannel(data) }
    if (!this.#opened.signal.aborted) await this.#target.send(message)
  }
}

function refusalText({ detail, hint, reference }: Problem): string {
  return [detail, ...(hint === undefined ? [] : [hint]), `(${reference})`].join(' ')
}
