/** How clients of SPDY begin a stream. From there on they are clients of WebSocket, to whom their own answer is given. */
import { createHash, randomBytes } from 'node:crypto'
import type { Result } from '../../../session.ts'
import type { OpenedTunnel } from '../../http/exchange/tunnel.ts'
import { headerOf, listOf, type MalformedRequest } from '../../http/head/head.ts'
import type { HeaderFields, RequestHead } from '../../http/request.ts'
import { tunnelProtocol } from './port-forward.ts'

export const versions = 'x-stream-protocol-version'
const ofWebSocket = 'sec-websocket-'

/** By name in SPDY: the same in WebSocket, where only v5 has an end of input, which in SPDY each stream has. */
const protocols: ReadonlyMap<string, string> = new Map([
  ['v4.channel.k8s.io', 'v5.channel.k8s.io'],
  ['portforward.k8s.io', tunnelProtocol],
])

/** @returns what a client of WebSocket would have asked. */
export function asWebSocket(head: RequestHead): Result<RequestHead, MalformedRequest> {
  if (head.headers.some(([name]) => name.startsWith(ofWebSocket)))
    return malformed('a client speaks SPDY or WebSocket, and not both')
  const offered = listOf(head.headers, versions)
  const offer = [...protocols].filter(([name]) => offered.includes(name)).map(([, protocol]) => protocol)
  if (offer.length === 0)
    return malformed(`over SPDY, a stream is one of ${[...protocols.keys()].join(', ')}`)
  const headers: HeaderFields = [
    ...head.headers,
    ['sec-websocket-key', randomBytes(16).toString('base64')],
    ['sec-websocket-protocol', offer.join(', ')],
    ['sec-websocket-version', '13'],
  ]
  return { ok: true, value: { ...head, method: 'GET', headers } }
}

/** @returns what the client is answered; undefined where the API server has answered somebody else. */
export function answerInSpdy(opened: OpenedTunnel): HeaderFields | undefined {
  const key = headerOf(opened.request.headers, `${ofWebSocket}key`)
  // https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2
  const accepted = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  if (headerOf(opened.headers, `${ofWebSocket}accept`) !== accepted) return undefined
  const agreed = headerOf(opened.headers, `${ofWebSocket}protocol`)
  const name = [...protocols].find(([, protocol]) => protocol === agreed)?.[0]
  return name === undefined ? undefined : [[versions, name]]
}

function malformed(message: string): Result<never, MalformedRequest> {
  return { ok: false, error: { status: 400, message } }
}
