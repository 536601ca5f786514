/** Connections of HTTP/2 to one target for one role: requests share them, as many as the target takes at once. */
import type { ClientHttp2Session } from 'node:http2'
import type { Dispatcher } from 'undici'
import { type Http2Outgoing, Http2Request } from './http2-request.ts'
import { maximumStreams } from './http2-session.ts'

/** More requests than these take at once wait. */
const maximumConnections = 16
/** How long a connection is kept without a request. In milliseconds. */
const keptOpen = 60_000

interface Connection {
  readonly session: ClientHttp2Session
  streams: number
  idle: NodeJS.Timeout | undefined
}

export class Http2Connections {
  readonly #scheme: string
  readonly #connect: () => Promise<ClientHttp2Session>
  readonly #connections = new Set<Connection>()
  #waiting: Http2Request[] = []
  #isOpening = false
  #isClosing = false

  /**
   * @param scheme of the target, `https`.
   * @param connect throws why there is no connection.
   */
  constructor(scheme: string, connect: () => Promise<ClientHttp2Session>) {
    this.#scheme = scheme
    this.#connect = connect
  }

  dispatch(outgoing: Http2Outgoing, handler: Dispatcher.DispatchHandler): void {
    this.#waiting.push(new Http2Request(outgoing, handler))
    this.#proceed()
  }

  /** @param session that is open for requests, of nobody else. */
  add(session: ClientHttp2Session): void {
    const connection: Connection = { session, streams: 0, idle: undefined }
    this.#connections.add(connection)
    session.once('close', () => {
      clearTimeout(connection.idle)
      this.#connections.delete(connection)
      this.#proceed()
    })
    session.on('remoteSettings', () => this.#proceed())
    this.#rest(connection)
    this.#proceed()
  }

  /** With the last request. */
  close(): void {
    this.#isClosing = true
    this.#proceed()
  }

  /** Sends what can be sent now. */
  #proceed(): void {
    this.#waiting = this.#waiting.filter(({ over }) => !over)
    while (this.#waiting.length > 0) {
      const free = this.#taking.find(hasRoom)
      if (!free) break
      const request = this.#waiting.shift()
      if (request) this.#send(request, free)
    }
    if (this.#waiting.length > 0) void this.#open()
    else if (this.#isClosing) for (const { session } of this.#connections) session.close()
  }

  #send(request: Http2Request, connection: Connection): void {
    clearTimeout(connection.idle)
    connection.streams++
    const closed = (again: boolean): void => {
      connection.streams--
      this.#rest(connection)
      if (again) this.#waiting.unshift(request)
      this.#proceed()
    }
    try {
      request.send(connection.session, this.#scheme, closed)
    } catch (error) {
      request.fail(error as Error)
      closed(false)
    }
  }

  #rest(connection: Connection): void {
    if (connection.streams > 0) return
    connection.idle = setTimeout(() => connection.session.close(), keptOpen).unref()
  }

  /** Those that end with what runs on them take nothing more. */
  get #taking(): readonly Connection[] {
    return [...this.#connections].filter(takesRequests)
  }

  /** One at a time: it may be enough for all that wait. */
  async #open(): Promise<void> {
    if (this.#isOpening || this.#taking.length >= maximumConnections) return
    this.#isOpening = true
    const opened = await this.#connect().catch((error: Error) => error)
    this.#isOpening = false
    if (!(opened instanceof Error)) this.add(opened)
    // those that there are serve the others
    else if (this.#taking.length === 0) for (const request of this.#waiting.splice(0)) request.fail(opened)
  }
}

function takesRequests({ session }: Connection): boolean {
  return !session.closed && !session.destroyed
}

function hasRoom({ session, streams }: Connection): boolean {
  const { maxConcurrentStreams = maximumStreams } = session.remoteSettings
  return streams < Math.min(maxConcurrentStreams, maximumStreams)
}
