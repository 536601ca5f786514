/** Streams to programs and ports of pods: which of them are understood, and what carries them. */
import type { RefusedRequest } from '../../http/exchange/client.ts'
import { Ended } from '../../http/exchange/ended.ts'
import type { Problem } from '../../http/exchange/problems.ts'
import type { Streams } from '../../http/exchange/streams.ts'
import type { OpenedTunnel, StreamEnd } from '../../http/exchange/tunnel.ts'
import { listOf } from '../../http/head/head.ts'
import type { HeaderFields, HttpRequest, RequestHead } from '../../http/request.ts'
import type { Analysed } from '../analysis/analyse.ts'
import { isSet, readParameters } from '../analysis/parameters.ts'
import { analysisOf } from '../meaning.ts'
import { type ChannelProtocol, channelProtocols } from './channels.ts'
import { type Framing, WebSocketFraming } from './framing.ts'
import { PortChannels, PortTunnel, tunnelProtocol } from './port-forward.ts'
import { Relay } from './relay.ts'
import { RemoteProgram } from './remote-command.ts'
import { SpdyChannels, type StreamName } from './spdy-channels.ts'
import { answerInSpdy, asWebSocket, versions } from './spdy-handshake.ts'
import { SpdyTunnel } from './spdy-tunnel.ts'

type Subresource = 'exec' | 'attach' | 'portforward'

const protocolHeader = 'sec-websocket-protocol'

export const kubernetesStreams: Streams = {
  understood(head, protocol) {
    const asked: ReturnType<typeof asWebSocket> =
      protocol === 'websocket' ? { ok: true, value: head } : asWebSocket(head)
    return asked.ok ? { ok: true, value: withOffer(asked.value) } : asked
  },

  refusal(request, upgrades, { touchesMasked }, { detectors }) {
    const kind = subresourceOf(request)
    if (!kind) return undefined
    if (!upgrades) return noUpgrade
    if (headersOf(request, 'sec-websocket-version').join() !== '13')
      return refused(400, 'WebSocket has the version 13')
    if (offeredProtocols(request, kind).length === 0)
      return refused(400, `a stream of ${kind} is one of ${protocols(kind).join(', ')}`)
    const isOpaque = kind === 'portforward' && detectors.length > 0
    if (!touchesMasked && !isOpaque) return undefined
    return refused(
      403,
      'what a program or a port of a pod shows may be what is masked, and it can not be told in it',
    )
  },

  async relay(opened) {
    using _watching = endWhenRefused(opened)
    const known = analysisOf(opened.request)
    const kind = subresourceOf(opened.request)
    const [agreed, ...more] = headersOf(opened, protocolHeader)
    const protocol = kind && protocols(kind).find((candidate) => candidate === agreed)
    const extended = headersOf(opened, 'sec-websocket-extensions').length > 0
    if (!known.ok || !kind || !protocol || more.length > 0 || extended) return broken(opened)
    const answered = answeredAsAsked(opened)
    if (!answered) return broken(opened)
    using relay = new Relay(answered, framingOf(opened, kind))
    if (kind !== 'portforward') return await new RemoteProgram(opened, relay, known.value, protocol).run()
    if (protocol !== tunnelProtocol) return await new PortChannels(opened, relay, portsOf(known.value)).run()
    using tunnel = new PortTunnel(opened, relay, known.value)
    return await tunnel.run()
  },
}

/** Another policy, or other masks, may refuse the stream as a whole; whether its command may go on, the exchange sees to. */
function endWhenRefused({ request, run, end }: OpenedTunnel): Disposable {
  const { session, command, reference } = run
  const look = (): void => {
    const refusal = kubernetesStreams.refusal(request, true, session.decide(command), session.terms)
    if (refusal)
      end(new Ended({ kind: 'withheld', status: refusal.status, detail: refusal.message, reference }))
  }
  look()
  return session.watch(look)
}

function portsOf({ command: { facts } }: Analysed): number {
  const ports = facts.k8s?.ports
  return Array.isArray(ports) ? ports.length : 0
}

/** No more on offer than what is understood, and the same for all clients that ask for the same: people agree to it once. */
function withOffer(head: RequestHead): RequestHead {
  const kind = subresourceOf(head)
  if (!kind) return head
  const own = head.headers.filter(
    ([name]) => name === 'sec-websocket-key' || name === 'sec-websocket-version',
  )
  const others = head.headers.filter(([name]) => name !== versions && !name.startsWith('sec-websocket-'))
  const offer = offeredProtocols(head, kind).join(', ')
  const headers: HeaderFields = [...others, ...own, [protocolHeader, offer]]
  return { ...head, headers: headers.toSorted(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0)) }
}

/** To a client of SPDY, what it asked in its own words. */
function answeredAsAsked(opened: OpenedTunnel): OpenedTunnel | undefined {
  if (opened.tunnel.protocol === 'websocket') return opened
  const headers = answerInSpdy(opened)
  return headers && { ...opened, headers }
}

function framingOf({ tunnel, request }: OpenedTunnel, kind: Subresource): Framing {
  if (tunnel.protocol === 'websocket') return new WebSocketFraming('client')
  return kind === 'portforward' ? new SpdyTunnel() : new SpdyChannels(streamsAskedFor(request))
}

/** As clients open them, and API servers wait for them. */
function streamsAskedFor(request: HttpRequest): readonly StreamName[] {
  const read = readParameters(request)
  const asks = (name: string): boolean => read.ok && isSet(read.value, name)
  const isTerminal = asks('tty')
  return [
    'error',
    ...(asks('stdin') ? (['stdin'] as const) : []),
    ...(asks('stdout') ? (['stdout'] as const) : []),
    // a terminal has one stream for both
    ...(asks('stderr') && !isTerminal ? (['stderr'] as const) : []),
    ...(isTerminal ? (['resize'] as const) : []),
  ]
}

/** Both sides would speak what nobody here understands. */
function broken({ target, run: { reference } }: OpenedTunnel): StreamEnd {
  target.destroy()
  const kind = 'unavailable'
  const detail = 'the API server has agreed to what it was not offered'
  const unanswered: Problem = { kind, status: 502, detail, reference }
  return { isWhole: true, error: { code: kind, message: detail }, unanswered }
}

function subresourceOf(request: HttpRequest): Subresource | undefined {
  const known = analysisOf(request)
  return known.ok ? known.value.streams : undefined
}

type Protocol = ChannelProtocol | typeof tunnelProtocol

function protocols(kind: Subresource): readonly Protocol[] {
  return kind === 'portforward' ? [tunnelProtocol, 'v4.channel.k8s.io'] : channelProtocols
}

function offeredProtocols(request: HttpRequest, kind: Subresource): readonly Protocol[] {
  const offered = listOf(request.headers, protocolHeader)
  return protocols(kind).filter((protocol) => offered.includes(protocol))
}

function headersOf({ headers }: Pick<HttpRequest, 'headers'>, name: string): readonly string[] {
  return headers.filter(([candidate]) => candidate === name).map(([, value]) => value)
}

function refused(status: number, message: string): RefusedRequest {
  return { status, message }
}

const noUpgrade = refused(
  400,
  'exec, attach and port-forward are streams: they need an upgrade to WebSocket or SPDY/3.1, and no body',
)
