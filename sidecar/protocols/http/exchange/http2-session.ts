/** A connection to a target on which HTTP/2 is spoken. */
import { type ClientHttp2Session, type ClientSessionOptions, connect } from 'node:http2'
import type { Socket } from 'node:net'

/** Of one connection at once, where the target takes more. */
export const maximumStreams = 100
const maximumResponseHead = 64 * 1024
/** Of one answer that nobody reads at the moment, and of all of a connection that are on their way. In bytes. */
const streamWindow = 256 * 1024
const connectionWindow = 1024 * 1024
/** In megabytes. Beyond it answers are refused while requests wait to go out, and each may be of what is read to be decided on. */
const maximumMemory = 512
const settingsWithin = 15_000

const options: ClientSessionOptions & { readonly strictSingleValueFields: boolean } = {
  settings: { enablePush: false, initialWindowSize: streamWindow, maxHeaderListSize: maximumResponseHead },
  peerMaxConcurrentStreams: maximumStreams,
  maxSessionMemory: maximumMemory,
  maxReservedRemoteStreams: 0,
  // what may come twice was decided on with the request
  strictSingleValueFields: false,
}

/**
 * @param origin of the target, `https://api.example.com`.
 * @returns once the target has said how it speaks HTTP/2. @throws where it doesn't.
 */
export async function startSession(socket: Socket, origin: string): Promise<ClientHttp2Session> {
  const session = connect(origin, { ...options, createConnection: () => socket })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const refused = (): void => reject(new Error('the server does not speak HTTP/2'))
  // requests hear of it by their streams
  session.on('error', refused).once('close', refused).once('remoteSettings', resolve)
  session.once('connect', () => session.setLocalWindowSize(connectionWindow))
  const timer = setTimeout(() => session.destroy(), settingsWithin)
  try {
    await promise
    return session
  } finally {
    clearTimeout(timer)
  }
}
