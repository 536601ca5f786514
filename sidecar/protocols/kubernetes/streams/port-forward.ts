/** Connections to ports of a pod. What passes over them isn't looked into; which ports they are of is. */
import type { Decision } from '@firebreak/policy'
import { shownHead } from '../../http/exchange/client.ts'
import { Ended } from '../../http/exchange/ended.ts'
import { limitReached, type Problem, refusedCommand } from '../../http/exchange/problems.ts'
import { CommandRun } from '../../http/exchange/run.ts'
import type { OpenedTunnel, StreamEnd } from '../../http/exchange/tunnel.ts'
import type { Analysed } from '../analysis/analyse.ts'
import { isPort, portCommand } from '../analysis/ports.ts'
import type { Relay, StreamHandler } from './relay.ts'
import { type SpdyHeaders, SpdyReader } from './spdy.ts'

/** kubectl's: SPDY within WebSocket. The port stands in the headers of each connection. */
export const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io'

/** One channel for the bytes and one for errors of each port, which stand in the request. */
export class PortChannels implements StreamHandler {
  readonly #opened: OpenedTunnel
  readonly #relay: Relay
  readonly #ports: number

  constructor(opened: OpenedTunnel, relay: Relay, ports: number) {
    this.#opened = opened
    this.#relay = relay
    this.#ports = ports
  }

  async run(): Promise<StreamEnd> {
    return await relayed(this.#opened, this.#relay, this)
  }

  async output(message: Buffer): Promise<void> {
    if (this.#relay.meter(message.length)) await this.#relay.toClient(message)
  }

  async input(message: Buffer): Promise<void> {
    const [channel] = message
    if (channel === undefined || channel >= 2 * this.#ports || channel % 2 === 1)
      this.#relay.break('the client wrote to a channel that is not its to write to')
    else await this.#relay.toTarget(message)
  }

  async endOutput(): Promise<void> {}
  async endInput(): Promise<void> {}

  async explain({ detail }: Problem): Promise<string> {
    return detail
  }
}

export class PortTunnel implements StreamHandler, Disposable {
  readonly #opened: OpenedTunnel
  readonly #relay: Relay
  readonly #analysed: Analysed
  readonly #reader = new SpdyReader()
  readonly #opens = new Set<string>()

  constructor(opened: OpenedTunnel, relay: Relay, analysed: Analysed) {
    this.#opened = opened
    this.#relay = relay
    this.#analysed = analysed
  }

  async run(): Promise<StreamEnd> {
    using _watching = this.#opened.run.session.watch(() => this.#decideAnew())
    return await relayed(this.#opened, this.#relay, this)
  }

  async output(message: Buffer): Promise<void> {
    if (this.#relay.meter(message.length)) await this.#relay.toClient(message)
  }

  async input(message: Buffer): Promise<void> {
    const read = await this.#reader.push(message)
    if (!read.ok) {
      this.#relay.break(read.error)
      return
    }
    for (const { bytes, frame } of read.value) {
      if (frame.kind === 'opens' && !this.#mayOpen(frame.headers)) return
      await this.#relay.toTarget(bytes)
    }
  }

  async endOutput(): Promise<void> {}
  async endInput(): Promise<void> {}

  async explain({ detail }: Problem): Promise<string> {
    return detail
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]()
  }

  /** Of connections that there are, one that would be refused now ends them all. */
  #decideAnew(): void {
    const { run, end } = this.#opened
    for (const port of this.#opens) {
      const decision = run.session.decide(portCommand(this.#analysed, port))
      if (decision.effect === 'allow' || isAgreed(run, decision)) continue
      end(new Ended(refusedCommand(decision, run.reference)))
      return
    }
  }

  /** A connection has a stream for errors and one for its bytes, which has the line. */
  #mayOpen(headers: SpdyHeaders): boolean {
    const { run, end } = this.#opened
    const port = headers.get('port') ?? ''
    const kind = headers.get('streamtype')
    if ((kind !== 'data' && kind !== 'error') || !isPort(port)) {
      this.#relay.break('the client opened a stream that is none of a port')
      return false
    }
    const { session } = run
    const command = portCommand(this.#analysed, port)
    const decision = session.decide(command)
    const isAllowed = decision.effect === 'allow' || isAgreed(run, decision)
    if (isAllowed) this.#opens.add(port)
    if (isAllowed && kind === 'error') return true
    const own = new CommandRun(session, command, decision, performance.now(), run.kind)
    own.approval = isAllowed ? run.approval : undefined
    const limit = isAllowed ? session.admit() : undefined
    const problem = limit
      ? limitReached(limit, own.reference)
      : isAllowed
        ? undefined
        : refusedCommand(decision, own.reference)
    own.sent = problem === undefined
    own.finish(problem && { code: problem.kind, message: problem.detail })
    if (problem) end(new Ended(problem))
    return problem === undefined
  }
}

/** People have agreed to the port-forward by the same rule that is about the connection; nobody is asked once it is there. */
function isAgreed({ decision, approval }: CommandRun, connection: Decision): boolean {
  return (
    approval !== undefined &&
    decision.effect === 'hold' &&
    connection.effect === 'hold' &&
    decision.rule?.policy === connection.rule?.policy &&
    decision.rule?.rule === connection.rule?.rule
  )
}

async function relayed(opened: OpenedTunnel, relay: Relay, handler: StreamHandler): Promise<StreamEnd> {
  opened.run.shows(shownHead(opened.status, []))
  return { isWhole: await relay.run(handler), error: undefined }
}
