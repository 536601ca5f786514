/** Connections to targets: a pool for each role, so that nobody's requests go out on another role's connection. */
import type { Socket } from 'node:net'
import { type Dispatcher, Pool } from 'undici'
import { openTcp, startTls, type Unreachable, unreachable } from '../../../outbound/connect.ts'
import type { Credential, Gateway, Target } from '../../../session.ts'
import type { HeaderFields } from '../request.ts'

const connectTimeout = 15_000
/** To one target at once for one role; more requests wait. */
const maximumConnections = 128
const maximumResponseHead = 64 * 1024

export interface Upstream {
  readonly pool: Pool
  /** `https://api.example.com:8443`, as a Location that leads back begins. */
  readonly origin: string
  /** What stands in Host. */
  readonly authority: string
}

/** A connection could not be had: nothing of the request has gone out. */
export class NotConnected extends Error {
  override readonly name = 'NotConnected'
  readonly why: Unreachable

  constructor(why: Unreachable) {
    super(why.message)
    this.why = why
  }
}

const upstreams = new Map<string, Upstream & { readonly key: string }>()

/** @returns the role's connections to its target. Where either has changed, the old ones end with their last request. */
export function upstreamOf(
  { resource, target }: Gateway,
  role: string,
  { clientCertificate }: Credential,
): Upstream {
  const name = JSON.stringify([resource, role])
  const key = JSON.stringify([target, clientCertificate])
  const known = upstreams.get(name)
  if (known?.key === key) return known
  void known?.pool.close()
  const upstream = { key, ...openUpstream(target, clientCertificate) }
  upstreams.set(name, upstream)
  return upstream
}

function openUpstream(target: Target, clientCertificate: Credential['clientCertificate']): Upstream {
  const { host, port, tls } = target
  const scheme = tls.mode === 'disable' ? 'http' : 'https'
  const shownHost = host.includes(':') ? `[${host}]` : host
  const usual = port === (tls.mode === 'disable' ? 80 : 443)
  const origin = `${scheme}://${shownHost}${usual ? '' : `:${port}`}`
  const pool = new Pool(origin, {
    connections: maximumConnections,
    pipelining: 1,
    maxHeaderSize: maximumResponseHead,
    // how long a command may take is for the policy to say
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: (_options, callback) => {
      connect(target, clientCertificate).then(
        (socket) => callback(null, socket),
        (error: unknown) => callback(new NotConnected(unreachable(error)), null),
      )
    },
  })
  return { pool, origin, authority: origin.slice(scheme.length + 3) }
}

async function connect(target: Target, clientCertificate: Credential['clientCertificate']): Promise<Socket> {
  const { host, tls } = target
  const signal = AbortSignal.timeout(connectTimeout)
  const socket = await openTcp(target, signal)
  if (tls.mode === 'disable') return socket
  return await startTls(socket, { host, tls }, { alpn: 'http/1.1', clientCertificate }, signal)
}

/** As undici has them: names and values in turn, in bytes. */
export function readRaw(raw: Dispatcher.DispatchController['rawHeaders']): HeaderFields {
  if (!Array.isArray(raw)) return []
  const headers: [string, string][] = []
  for (let at = 0; at + 1 < raw.length; at += 2)
    headers.push([asText(raw[at]).toLowerCase(), asText(raw[at + 1])])
  return headers
}

function asText(value: Buffer | string | undefined): string {
  return typeof value === 'string' ? value : (value?.toString('latin1') ?? '')
}
