/** An exec or attach that runs: what its client types, and what its program writes. */
import { MaskedLabels } from '../../http/bodies/text-mask.ts'
import { shownHead } from '../../http/exchange/client.ts'
import { withheld } from '../../http/exchange/ended.ts'
import type { Problem } from '../../http/exchange/problems.ts'
import type { OpenedTunnel, StreamEnd } from '../../http/exchange/tunnel.ts'
import { terminalHead, writeResize } from '../../terminals.ts'
import type { Analysed } from '../analysis/analyse.ts'
import { decidesLines, shellLine, takesLinesAsSent } from '../analysis/lines.ts'
import { type ChannelData, channels, readChannel, readSize, writeChannel, writeSize } from './channels.ts'
import { type InputPart, Lines } from './input.ts'
import { decideLine } from './line-decision.ts'
import { type OutputMask, openOutputMask } from './output.ts'
import type { Relay, StreamHandler } from './relay.ts'
import { failureIn } from './result.ts'

export class RemoteProgram implements StreamHandler {
  readonly #opened: OpenedTunnel
  readonly #relay: Relay
  readonly #analysed: Analysed
  readonly #protocol: string
  readonly #lines: Lines | undefined
  /** Whether the shell is at the beginning of a line, and takes words for what they are. */
  #isCertain: boolean
  readonly #labels = new MaskedLabels()
  readonly #masks: ReadonlyMap<number, OutputMask>
  #result = Buffer.alloc(0)
  #inputOver = false

  constructor(opened: OpenedTunnel, relay: Relay, analysed: Analysed, protocol: string) {
    const { run } = opened
    this.#opened = opened
    this.#relay = relay
    this.#analysed = analysed
    this.#protocol = protocol
    this.#lines = decidesLines(run.command, analysed) ? new Lines(this.#tty) : undefined
    this.#isCertain = takesLinesAsSent(analysed)
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
    const { run, status } = this.#opened
    run.shows(shownHead(status, terminalHead({ tty: this.#tty })))
    const isWhole = await this.#relay.run(this)
    run.maskedFields = this.#labels.list()
    return { isWhole, error: failureIn(this.#result) }
  }

  async output(message: Buffer): Promise<void> {
    const data = readChannel(message)
    const mask = data && this.#masks.get(data.channel)
    if (!mask) this.#relay.break('the API server answered on a channel that there is none of')
    // the server says that a channel is there by nothing in it
    else if (data.bytes.length === 0) await this.#relay.toClient(message)
    else await this.#masked(data.channel, mask.push(data.bytes))
  }

  async endOutput(): Promise<void> {
    for (const [channel, mask] of this.#masks) await this.#masked(channel, mask.end())
  }

  async input(message: Buffer): Promise<void> {
    const data = readChannel(message)
    const isTaken = data && (await this.#take(data))
    if (!isTaken) this.#relay.break('the client wrote to a channel that is not its to write to')
  }

  async endInput(): Promise<void> {
    if (this.#lines && !this.#inputOver) for (const part of this.#lines.end()) await this.#line(part)
    this.#inputOver = true
  }

  /** As the error of its program. */
  async explain(problem: Problem): Promise<string> {
    const { body } = this.#opened.run.kind.say(problem)
    await this.#relay.toClient(writeChannel({ channel: channels.error, bytes: body }))
    return ''
  }

  get #tty(): boolean {
    return this.#analysed.remote?.tty === true
  }

  async #masked(channel: number, masked: ReturnType<OutputMask['push']>): Promise<void> {
    const { run, end } = this.#opened
    if (this.#relay.ended) return
    if (!masked.ok) end(withheld(run, masked.error))
    else if (masked.value.length > 0) await this.#show({ channel, bytes: masked.value })
  }

  /** Results are no part of what a terminal shows. */
  async #show(data: ChannelData): Promise<void> {
    const { channel, bytes } = data
    if (!this.#relay.meter(bytes.length)) return
    if (channel === channels.error) this.#result = Buffer.concat([this.#result, bytes])
    else this.#opened.run.shows(bytes)
    await this.#relay.toClient(writeChannel(data))
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
        await this.endInput()
        await this.#toTarget({ channel, bytes })
        return true
      default:
        return false
    }
  }

  async #line(part: InputPart): Promise<void> {
    if (this.#relay.ended) return
    switch (part.kind) {
      case 'pass':
        await this.#give(part.bytes)
        return
      case 'too-long':
        this.#relay.break('a line is longer than what can be decided on')
        return
      case 'line': {
        const { run } = this.#opened
        const tell = (text: string): void => void this.#say(text)
        const line = shellLine(this.#analysed, part.text, part.bytes, this.#isCertain && part.isText)
        const problem = await decideLine(line, { run, signal: this.#relay.gone, tell })
        if (problem) await this.#say(refusalText(problem))
        else {
          // what can't be told may go on, change what words mean, or be read by what it starts
          this.#isCertain &&= line.isKnown
          run.goesOn()
          await this.#give(line.bytes)
        }
      }
    }
  }

  /** A terminal has one stream, and lines that end as terminals' do. */
  async #say(text: string): Promise<void> {
    const channel = this.#analysed.remote?.stderr ? channels.stderr : channels.stdout
    const end = this.#tty ? '\r\n' : '\n'
    await this.#show({ channel, bytes: Buffer.from(`firebreak: ${text}${end}`) })
  }

  async #give(bytes: Buffer): Promise<void> {
    this.#opened.run.takes(bytes)
    await this.#toTarget({ channel: channels.stdin, bytes })
  }

  async #resize(bytes: Buffer): Promise<boolean> {
    const size = readSize(bytes)
    if (!size) return false
    this.#opened.run.shows(writeResize(size))
    await this.#toTarget({ channel: channels.resize, bytes: writeSize(size) })
    return true
  }

  async #toTarget(data: ChannelData): Promise<void> {
    await this.#relay.toTarget(writeChannel(data))
  }
}

function refusalText({ detail, hint, reference }: Problem): string {
  return [detail, ...(hint === undefined ? [] : [hint]), `(${reference})`].join(' ')
}
