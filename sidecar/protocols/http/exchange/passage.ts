/** A request that may run: it goes to the target, and what comes back goes to the client as it comes. */
import type { FieldMask } from '@firebreak/policy'
import type { Dispatcher } from 'undici'
import type { Credential, HttpAuthentication } from '../../../session.ts'
import { forwardedHeaders, returnedHeaders } from '../head/forwarded.ts'
import type { BodyMask, HeaderFields, HttpRequest, MaskOf, OpenBodyMask, ResponseHead } from '../request.ts'
import { answer, type ClientRequest, type ClientResponse, forNode, shownHead } from './client.ts'
import { withCredential } from './injection.ts'
import { limitReached, type Problem } from './problems.ts'
import type { CommandRun } from './run.ts'
import { NotConnected, type Upstream } from './upstream.ts'

export interface Passing {
  readonly run: CommandRun
  /** With its body, where that was read to decide. */
  readonly request: HttpRequest
  /** Where the rest of the body comes from; absent where there is none, or it was read. */
  readonly body: ClientRequest | undefined
  readonly response: ClientResponse
  readonly upstream: Upstream
  readonly authentication: HttpAuthentication
  readonly credential: Credential
  /** Absent where responses can't be looked into: those that a mask may be about are withheld. */
  readonly openBodyMask: OpenBodyMask | undefined
}

/** Why the gateway itself ends a request that runs. */
class Ended extends Error {
  override readonly name = 'Ended'
  /** Undefined where nobody is there to hear it. */
  readonly problem: Problem | undefined

  constructor(problem: Problem | undefined, message = problem?.detail ?? 'the client went away') {
    super(message)
    this.problem = problem
  }
}

/** @returns when the answer is with the client, or nobody waits for it any more; the command has its audit line then. Never rejects. */
export async function pass(passing: Passing): Promise<void> {
  const { run, response } = passing
  const passage = new Passage(passing)
  const gone = (): void => {
    if (!response.writableFinished) passage.end(new Ended(undefined))
  }
  const over = (): void => passage.end(sessionOver(run))
  const { commandSeconds } = run.session.terms.limits
  const timer =
    commandSeconds === undefined
      ? undefined
      : setTimeout(() => passage.end(tooSlow(run, commandSeconds)), commandSeconds * 1_000)
  response.on('close', gone)
  run.session.signal.addEventListener('abort', over)
  try {
    await passage.run()
  } finally {
    clearTimeout(timer)
    response.off('close', gone)
    run.session.signal.removeEventListener('abort', over)
  }
}

class Passage implements Dispatcher.DispatchHandler {
  readonly #passing: Passing
  readonly #done = Promise.withResolvers<void>()
  #controller: Dispatcher.DispatchController | undefined
  #ended: Ended | undefined
  #mask: BodyMask | undefined
  #failed: { readonly code: string; readonly message: string } | undefined

  constructor(passing: Passing) {
    this.#passing = passing
  }

  run(): Promise<void> {
    const { request, response, upstream, authentication, credential } = this.#passing
    const { query, headers } = withCredential(
      { query: request.query, headers: this.#requestHeaders() },
      authentication,
      credential,
    )
    const body = request.body ?? this.#body()
    try {
      upstream.pool.dispatch(
        {
          method: request.method,
          path: query === '' ? request.path.text : `${request.path.text}?${query}`,
          headers: ['host', upstream.authority, ...headers.flat()],
          body: body ?? null,
          // what a server leaves unread of a body that it did not expect would be its next request
          reset: body !== undefined && bodiless.has(request.method),
        } as Dispatcher.DispatchOptions,
        this,
      )
    } catch (error) {
      this.#fail(error)
    }
    if (response.destroyed) this.end(new Ended(undefined))
    return this.#done.promise
  }

  /** Ends the request, wherever it is. */
  end(reason: Ended): void {
    this.#ended ??= reason
    this.#controller?.abort(this.#ended)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#ended) controller.abort(this.#ended)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    // what is only provisional is the gateway's own business
    if (status < 200) return
    const { run, request, response, upstream } = this.#passing
    const received = { status, headers: readRaw(controller.rawHeaders) }
    const head = this.#inspect({
      status,
      headers: returnedHeaders(received.headers, upstream.origin, request.path.text),
    })
    if (status >= 400) this.#failed = { code: String(status), message: `the target answered ${status}` }
    if (!head) return
    response.sendDate = false
    response.writeHead(head.status, forNode(head.headers))
    run.shows(shownHead(head.status, head.headers))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#mask) {
      this.#give(controller, chunk)
      return
    }
    const masked = this.#mask.push(chunk)
    if (masked.ok) for (const piece of masked.value) this.#give(controller, piece)
    else this.end(withheld(this.#passing.run, masked.error))
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    const { response } = this.#passing
    const rest = this.#mask?.end()
    if (rest && !rest.ok) {
      this.#fail(withheld(this.#passing.run, rest.error))
      return
    }
    for (const piece of rest?.value ?? []) this.#give(controller, piece)
    if (this.#ended) {
      this.#fail(this.#ended)
      return
    }
    const trailers = this.#mask
      ? []
      : returnedHeaders(readRaw(controller.rawTrailers), this.#passing.upstream.origin, '/')
    if (trailers.length > 0) response.addTrailers(forNode(trailers))
    // the line is written before the client can know that the command is over
    this.#finish(this.#failed)
    response.end()
    this.#done.resolve()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(this.#ended ?? error)
  }

  #give(controller: Dispatcher.DispatchController, bytes: Buffer): void {
    const { run, response } = this.#passing
    run.bytes += bytes.length
    const limit = run.session.meter(0, bytes.length)
    if (limit) {
      this.end(new Ended(limitReached(limit, run.reference)))
      return
    }
    run.shows(bytes)
    const taken = response.write(bytes)
    const ready = run.session.ready()
    if (taken && !ready) return
    controller.pause()
    const drained = taken ? undefined : new Promise<void>((resolve) => response.once('drain', resolve))
    void Promise.all([ready, drained]).then(() => controller.resume())
  }

  /** What goes out of a head, where its body may pass; otherwise the request ends. */
  #inspect(head: ResponseHead): ResponseHead | undefined {
    const { run, request, openBodyMask } = this.#passing
    const { masks, detectors } = run.session.terms
    if (!masks && detectors.length === 0) return head
    const seen = { ...head, headers: head.headers.filter(([name]) => saysNothing.test(name)) }
    if (!mayHaveBody(request.method, head)) return seen
    const { maskKey } = run.session
    const terms = { maskOf: this.#maskOf(), masksFields: masks, detectors, maskKey }
    const opened = openBodyMask?.(request, seen, terms)
    // it was asked to come as it is
    if (opened?.ok && opened.value.codings.length === 0) {
      this.#mask = opened.value
      return opened.value.head
    }
    const why = opened?.ok ? 'it is compressed' : opened?.error
    this.end(withheld(run, why ?? 'responses over HTTP are not looked into yet'))
    return undefined
  }

  /** The policy is asked about each field as about a command that returns just that. */
  #maskOf(): MaskOf {
    const { session, command } = this.#passing.run
    const known = new Map<string, FieldMask | undefined>()
    return (path) => {
      const key = path.join('\0')
      if (known.has(key)) return known.get(key)
      const source = { path: ['$', ...path.slice(0, -1)], part: path.at(-1) ?? '' }
      const label = ['$', ...path].join('.')
      const decision = session.decide({
        ...command,
        fields: [{ label, sources: [source], derivation: 'copy' }],
      })
      const mask = decision.effect === 'deny' ? denied : decision.masks[0]
      if (known.size < rememberedFields) known.set(key, mask)
      return mask
    }
  }

  #requestHeaders(): HeaderFields {
    const { run, request, body } = this.#passing
    const { masks, detectors } = run.session.terms
    const inspected = masks || detectors.length > 0
    const length = request.headers.find(([name]) => name === 'content-length')
    return [
      ...forwardedHeaders(request).filter(([name]) => !(inspected && partial.has(name))),
      ...(inspected ? ([['accept-encoding', 'identity']] as const) : []),
      ...(body && length ? [length] : []),
    ]
  }

  /** Should the target not take it, the client has still to hear why: its stream is left as it is. */
  #body(): AsyncIterable<Buffer> | undefined {
    const { body, run } = this.#passing
    const chunks: AsyncIterable<Buffer> | undefined = body?.iterator({ destroyOnReturn: false })
    const { recorder } = run.session
    return chunks && recorder ? recorded(chunks, (chunk) => recorder.input(chunk)) : chunks
  }

  #fail(error: unknown): void {
    const { run, response } = this.#passing
    const { problem, code, message } = this.#problemOf(error)
    if (problem && !response.headersSent && !response.destroyed) {
      const bytes = answer(response, problem)
      run.bytes += bytes.length
      run.shows(bytes)
    } else response.destroy()
    this.#finish({ code, message })
    this.#done.resolve()
  }

  #finish(error: { readonly code: string; readonly message: string } | undefined): void {
    const { run } = this.#passing
    if (this.#mask) run.maskedFields = this.#mask.masked
    run.finish(error)
  }

  #problemOf(error: unknown): {
    readonly problem: Problem | undefined
    readonly code: string
    readonly message: string
  } {
    const { reference } = this.#passing.run
    if (error instanceof Ended) {
      const { problem, message } = error
      return { problem, code: problem?.kind ?? 'gone', message }
    }
    const [message, hint] =
      error instanceof NotConnected
        ? [error.why.message, error.why.hint]
        : ['the target broke off, or answered what is no HTTP', undefined]
    return {
      problem: { kind: 'unavailable', status: 502, detail: message, hint, reference },
      code: 'unavailable',
      message,
    }
  }
}

const rememberedFields = 10_000
const denied: FieldMask = { strategy: { kind: 'redact' }, rule: { policy: 'firebreak/none', rule: 'none' } }

/** Bodies of these are not expected by every server. */
const bodiless = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE'])

/** What makes an answer one of a part, or of nothing: neither could be masked as the whole is. */
const partial = new Set(['range', 'if-range', 'if-none-match', 'if-modified-since', 'accept-encoding'])

/** Headers that are about the answer, not about what is in it. */
const saysNothing =
  /^(content-(type|length|encoding|language|disposition)|date|server|vary|age|allow|retry-after|cache-control|expires|pragma|last-modified|etag|accept-ranges|www-authenticate|location|link|access-control-.*|(x-)?ratelimit-.*|x-request-id|x-correlation-id|grpc-.*|mcp-.*)$/

function mayHaveBody(method: string, { status, headers }: ResponseHead): boolean {
  if (method === 'HEAD' || status === 204 || status === 304) return false
  return !headers.some(([name, value]) => name === 'content-length' && value === '0')
}

async function* recorded(
  chunks: AsyncIterable<Buffer>,
  record: (chunk: Buffer) => void,
): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    record(chunk)
    yield chunk
  }
}

/** As undici has them: names and values in turn, in bytes. */
function readRaw(raw: Dispatcher.DispatchController['rawHeaders']): HeaderFields {
  if (!Array.isArray(raw)) return []
  const headers: [string, string][] = []
  for (let at = 0; at + 1 < raw.length; at += 2)
    headers.push([asText(raw[at]).toLowerCase(), asText(raw[at + 1])])
  return headers
}

function asText(value: Buffer | string | undefined): string {
  return typeof value === 'string' ? value : (value?.toString('latin1') ?? '')
}

function sessionOver({ session, reference }: CommandRun): Ended {
  const { message } = session.signal.reason as { message: string }
  return new Ended({ kind: 'unauthenticated', status: 401, detail: message, reference })
}

function tooSlow({ reference }: CommandRun, seconds: number): Ended {
  const detail = `ran longer than the ${seconds} s that policy allows`
  return new Ended({ kind: 'too-slow', status: 504, detail, reference })
}

function withheld({ reference }: CommandRun, problem: string): Ended {
  const detail = `the response was withheld because it could not be masked with certainty: ${problem}`
  return new Ended({ kind: 'withheld', status: 502, detail, reference })
}
