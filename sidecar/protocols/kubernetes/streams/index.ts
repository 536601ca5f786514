/** Streams to programs and ports of pods: which of them are understood, and what carries them. */
import type { RefusedRequest } from '../../http/exchange/client.ts'
import { Ended } from '../../http/exchange/ended.ts'
import type { Streams } from '../../http/exchange/streams.ts'
import type { OpenedTunnel, StreamEnd } from '../../http/exchange/tunnel.ts'
import type { HttpRequest } from '../../http/request.ts'
import type { Analysed } from '../analysis/analyse.ts'
import { analysisOf } from '../meaning.ts'
import { type ChannelProtocol, channelProtocols } from './channels.ts'
import { PortChannels, PortTunnel, tunnelProtocol } from './port-forward.ts'
import { Relay } from './relay.ts'
import { RemoteProgram } from './remote-command.ts'

type Subresource = 'exec' | 'attach' | 'portforward'

const protocolHeader = 'sec-websocket-protocol'

export const kubernetesStreams: Streams = {
  refusal(request, upgrades, { touchesMasked }, { detectors }) {
    const kind = subresourceOf(request)
    if (!kind) return undefined
    if (!upgrades) return noWebSocket
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

  offered(request) {
    const kind = subresourceOf(request)
    if (!kind) return request
    const others = request.headers.filter(
      ([name]) => name !== protocolHeader && name !== 'sec-websocket-extensions',
    )
    const offer = offeredProtocols(request, kind).join(', ')
    return { ...request, headers: [...others, [protocolHeader, offer]] }
  },

  async relay(opened) {
    using _watching = endWhenRefused(opened)
    const known = analysisOf(opened.request)
    const kind = subresourceOf(opened.request)
    const [agreed, ...more] = headersOf(opened, protocolHeader)
    const protocol = kind && protocols(kind).find((candidate) => candidate === agreed)
    const extended = headersOf(opened, 'sec-websocket-extensions').length > 0
    if (!known.ok || !kind || !protocol || more.length > 0 || extended) return broken(opened)
    using relay = new Relay(opened)
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

/** Both sides would speak what nobody here understands. */
function broken({ tunnel, target }: OpenedTunnel): StreamEnd {
  tunnel.client.destroy()
  target.destroy()
  return {
    isWhole: true,
    error: { code: 'unavailable', message: 'the API server has agreed to what it was not offered' },
  }
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
  const offered = headersOf(request, protocolHeader).flatMap((value) =>
    value.split(',').map((name) => name.trim()),
  )
  return protocols(kind).filter((protocol) => offered.includes(protocol))
}

function headersOf({ headers }: Pick<HttpRequest, 'headers'>, name: string): readonly string[] {
  return headers.filter(([candidate]) => candidate === name).map(([, value]) => value)
}

function refused(status: number, message: string): RefusedRequest {
  return { status, message }
}

/** kubectl falls back to SPDY where WebSocket is refused, and says what it hears last. */
const noWebSocket = refused(
  400,
  'SPDY is not spoken here: exec, attach, port-forward and cp need WebSocket, as kubectl 1.31 and later have it by themselves (1.29 and 1.30 with KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true)',
)
