/** A request on a stream of HTTP/2. Who dispatches it hears of it as undici tells of one in HTTP/1.1. */
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2'
import type { Dispatcher } from 'undici'

/** What goes out: names of headers in lower case. */
export interface Http2Outgoing {
  readonly method: string
  readonly path: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer | AsyncIterable<Buffer> | undefined
}

export class Http2Request implements Dispatcher.DispatchController {
  rawHeaders: string[] | null = null
  rawTrailers: string[] | null = null
  readonly #outgoing: Http2Outgoing
  readonly #handler: Dispatcher.DispatchHandler
  /** What breaks a stream off in Node in such a way that it does not look like an end to the target. */
  readonly #breaking = new AbortController()
  #stream: ClientHttp2Stream | undefined
  #reason: Error | undefined
  /** The handler has heard how it ended. */
  #over = false
  #wasRefused = false
  #received = 0

  constructor(outgoing: Http2Outgoing, handler: Dispatcher.DispatchHandler) {
    this.#outgoing = outgoing
    this.#handler = handler
    handler.onRequestStart?.(this, {})
  }

  get over(): boolean {
    return this.#over
  }

  get aborted(): boolean {
    return this.#reason !== undefined
  }

  get reason(): Error | null {
    return this.#reason ?? null
  }

  get paused(): boolean {
    return this.#stream?.isPaused() ?? false
  }

  pause(): void {
    this.#stream?.pause()
  }

  resume(): void {
    this.#stream?.resume()
  }

  abort(reason: Error): void {
    this.#reason ??= reason
    this.fail(this.#reason)
  }

  /** It ends without an answer, or in the middle of it. */
  fail(error: Error): void {
    this.#breaking.abort()
    if (this.#over) return
    this.#over = true
    try {
      this.#handler.onResponseError?.(this, error)
    } catch {
      // who hears of it had nobody to tell
    }
  }

  /**
   * @param scheme of the target, `https`.
   * @param closed once nothing of it is left on the connection; whether it is to be sent again, since the target has not looked at it.
   */
  send(session: ClientHttp2Session, scheme: string, closed: (again: boolean) => void): void {
    const { body } = this.#outgoing
    const { signal } = this.#breaking
    const stream = session.request(this.#head(scheme), { endStream: body === undefined, signal })
    this.#stream = stream
    let failure = new Error('the target broke off')
    stream.on('response', (_headers, _flags, raw: string[]) => this.#begin(stream, raw))
    stream.on('trailers', (_headers, _flags, raw: string[]) => {
      this.rawTrailers = raw
    })
    stream.on('end', () => this.#end(stream))
    stream.on('error', (error: Error) => {
      failure = error
    })
    stream.on('close', () => {
      const again = this.#mayBeSentAgain(stream)
      if (!again) this.fail(failure)
      closed(again)
    })
    if (body !== undefined) void this.#sendBody(stream, body)
  }

  #head(scheme: string): string[] {
    const { method, path, headers, body } = this.#outgoing
    const authority = headers.find(([name]) => name === 'host')?.[1] ?? ''
    const others = headers.filter(([name]) => name !== 'host')
    const length = Buffer.isBuffer(body) ? ['content-length', String(body.length)] : []
    const own = [':method', method, ':scheme', scheme, ':authority', authority, ':path', path]
    return [...own, ...others.flat(), ...length]
  }

  #begin(stream: ClientHttp2Stream, raw: string[]): void {
    if (this.#over) return
    this.rawHeaders = raw
    this.#tell(() => this.#handler.onResponseStart?.(this, Number(headerIn(raw, ':status')), {}))
    stream.on('data', (chunk: Buffer) => {
      this.#received += chunk.length
      if (!this.#over) this.#tell(() => this.#handler.onResponseData?.(this, chunk))
    })
  }

  #end(stream: ClientHttp2Stream): void {
    // what is left of the request, nobody waits for
    if (!stream.writableEnded) this.#breaking.abort()
    if (this.#over || !this.rawHeaders) return
    if (!this.#isWhole(this.rawHeaders)) {
      this.fail(new Error('the target broke off'))
      return
    }
    this.#tell(() => {
      this.#handler.onResponseEnd?.(this, {})
      this.#over = true
    })
  }

  /** What the handler can't take ends the request, and nothing else. */
  #tell(step: () => void): void {
    try {
      step()
    } catch (error) {
      this.fail(error as Error)
    }
  }

  #isWhole(raw: readonly string[]): boolean {
    const length = headerIn(raw, 'content-length')
    const isAboutBody = this.#outgoing.method !== 'HEAD' && headerIn(raw, ':status') !== '304'
    return length === undefined || !isAboutBody || Number(length) === this.#received
  }

  /** Once, and where nothing of the body is gone. https://www.rfc-editor.org/rfc/rfc9113#section-8.7 */
  #mayBeSentAgain({ rstCode }: ClientHttp2Stream): boolean {
    const { body } = this.#outgoing
    const isRefused = rstCode === constants.NGHTTP2_REFUSED_STREAM && !this.rawHeaders && !this.#over
    if (!isRefused || this.#wasRefused || !(body === undefined || Buffer.isBuffer(body))) return false
    this.#wasRefused = true
    this.#stream = undefined
    return true
  }

  async #sendBody(stream: ClientHttp2Stream, body: Buffer | AsyncIterable<Buffer>): Promise<void> {
    if (Buffer.isBuffer(body)) {
      stream.end(body)
      return
    }
    try {
      for await (const chunk of body) {
        if (!stream.writable) return
        if (!stream.write(chunk)) await drained(stream)
      }
      stream.end()
    } catch (error) {
      this.fail(error as Error)
    }
  }
}

function headerIn(raw: readonly string[], name: string): string | undefined {
  const at = raw.findIndex((candidate, index) => index % 2 === 0 && candidate === name)
  return at < 0 ? undefined : raw[at + 1]
}

async function drained(stream: ClientHttp2Stream): Promise<void> {
  if (!stream.writable) return
  await new Promise<void>((resolve) => {
    const done = (): void => {
      stream.off('drain', done).off('close', done)
      resolve()
    }
    stream.on('drain', done).on('close', done)
  })
}
